//! Masks in raster files: what is not 0 is lesion.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use image::DynamicImage;
use png::{ColorType, Decoder, Limits, Transformations};

use super::super::jpeg;
use crate::pixels::Pixels;

/// By stored samples: palettes by index, any depth; alpha does not count.
pub(super) fn png(bytes: &[u8], limit: u64) -> Result<Pixels> {
    let limits = Limits { bytes: usize::try_from(limit)? };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().context("the PNG header cannot be read")?;
    let size = reader.output_buffer_size().context("the picture is too large")?;
    ensure!(size as u64 <= limit, "the picture would take {size} bytes, over the limit of {limit}");
    let mut samples = vec![0; size];
    let info = reader.next_frame(&mut samples).context("damaged PNG data")?;
    let (bits, width) = (info.bit_depth as usize, info.width as usize);
    let pixel = |shown: usize| move |pixel: &[u8]| pixel[..shown * bits / 8].iter().any(|&byte| byte != 0);
    let mut mask = Vec::with_capacity(width * info.height as usize);
    for row in samples.chunks_exact(info.line_size) {
        let set = |is_set: bool| if is_set { 255 } else { 0 };
        if bits < 8 {
            let sample = |column: usize| row[column * bits / 8] << (column * bits % 8) >> (8 - bits);
            mask.extend((0..width).map(|column| set(sample(column) != 0)));
            continue;
        }
        let shown = if matches!(info.color_type, ColorType::Rgb | ColorType::Rgba) { 3 } else { 1 };
        let length = info.color_type.samples() * bits / 8;
        mask.extend(row.chunks_exact(length).map(|one| set(pixel(shown)(one))));
    }
    Pixels::new(info.height as usize, width, 1, mask)
}

/// By half brightness, since lossy compression makes small numbers out of 0.
pub(super) fn lossy(bytes: &[u8], limit: u64, repaired: &mut Vec<String>) -> Result<Pixels> {
    let plain = jpeg::plain(bytes, limit)?;
    repaired.extend(plain.repaired);
    Ok(Pixels::new(plain.rows, plain.columns, plain.channels, plain.samples)?.to_mask())
}

/// By decoded colours.
pub(super) fn nonzero(image: DynamicImage) -> Result<Pixels> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let colours = image.into_rgb16().into_raw();
    let is_set = |pixel: &[u16]| pixel.iter().any(|&sample| sample != 0);
    let mask = colours.chunks_exact(3).map(|pixel| if is_set(pixel) { 255 } else { 0 }).collect();
    Pixels::new(height, width, 1, mask)
}
