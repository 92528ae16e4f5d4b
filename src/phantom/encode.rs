//! Pictures become files of the format that the owner uses.

use std::io::Cursor;

use anyhow::Result;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use crate::phantom::layout::Subject;
use crate::phantom::{Drawing, dicom};
use crate::pixels::Pixels;
use crate::random::Stream;

/// The bytes of the file of picture `order`, in the format that its name asks for.
pub fn picture(drawing: &Drawing, subject: &Subject, order: usize, stream: &mut Stream) -> Result<Vec<u8>> {
    match subject.path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("dcm") => dicom::film(drawing, &subject.id, order, stream),
        Some("jpg") => jpeg(&drawing.pixels, drawing.quality),
        _ => png(&drawing.pixels),
    }
}

/// PNG, 8 bits a sample.
pub fn png(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let [width, height] = [pixels.width() as u32, pixels.height() as u32];
    let png = ImageFormat::Png;
    image::write_buffer_with_format(&mut bytes, pixels.samples(), width, height, colour(pixels), png)?;
    Ok(bytes.into_inner())
}

/// Baseline JPEG of `quality` 1 to 100.
pub fn jpeg(pixels: &Pixels, quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let [width, height] = [pixels.width() as u32, pixels.height() as u32];
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.encode(pixels.samples(), width, height, colour(pixels))?;
    Ok(bytes)
}

fn colour(pixels: &Pixels) -> ExtendedColorType {
    if pixels.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 }
}
