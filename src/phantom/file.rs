//! A drawing becomes a file of the format that the owner uses.

use anyhow::Result;

use super::layout::Subject;
use super::{Drawing, dicom, encode};
use crate::random::Stream;

/// The bytes of the file of picture `order`, in the format that its name asks for.
pub(super) fn picture(
    drawing: &Drawing,
    subject: &Subject,
    order: usize,
    stream: &mut Stream,
) -> Result<Vec<u8>> {
    match subject.path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("dcm") => dicom::film(drawing, &subject.id, order, stream),
        Some("jpg") => encode::jpeg(&drawing.pixels, drawing.quality),
        _ => encode::png(&drawing.pixels),
    }
}
