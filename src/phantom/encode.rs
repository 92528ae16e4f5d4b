//! Pictures as PNG and JPEG.

use std::io::Cursor;

use anyhow::Result;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use crate::pixels::Pixels;

/// PNG, 8 bits a sample.
pub(super) fn png(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let [width, height] = [pixels.width() as u32, pixels.height() as u32];
    let png = ImageFormat::Png;
    image::write_buffer_with_format(&mut bytes, pixels.samples(), width, height, colour(pixels), png)?;
    Ok(bytes.into_inner())
}

/// Baseline JPEG of `quality` 1 to 100.
pub(super) fn jpeg(pixels: &Pixels, quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let [width, height] = [pixels.width() as u32, pixels.height() as u32];
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.encode(pixels.samples(), width, height, colour(pixels))?;
    Ok(bytes)
}

fn colour(pixels: &Pixels) -> ExtendedColorType {
    if pixels.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 }
}
