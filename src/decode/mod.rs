//! Bytes become pixels, by content and never by file name, under a stated intensity policy.

use anyhow::Result;

use crate::pixels::Pixels;

/// DICOM: every syntax that needs no C toolchain beyond gcc.
pub mod dicom;
/// Frame headers and end markers of JPEG streams.
mod jpeg;
/// PNG, JPEG, TIFF, BMP.
pub mod raster;
/// Pillow-compatible resampling.
pub mod resize;

/// A decoded picture and how its samples came to be.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub pixels: Pixels,
    /// Bits a sample had in the file.
    pub bits: u16,
    /// DICOM's photometric interpretation, or `GREY`, `RGB`, `PALETTE`, `CMYK` for a raster file.
    pub photometric: String,
    /// How samples became 0 to 255, and which of it the file stated and which was assumed.
    pub intensity_policy: String,
    /// Frames in the file.
    pub frames: u32,
}

/// Decodes `frame` of a file's bytes, telling the format by content.
///
/// # Errors
/// Names what was found (format, transfer syntax) and why it cannot be read.
pub fn decode(bytes: &[u8], frame: u32) -> Result<Decoded> {
    anyhow::ensure!(!bytes.is_empty(), "the file is empty");
    if dicom::is_dicom(bytes) { dicom::decode(bytes, frame) } else { raster::decode(bytes, frame) }
}
