//! Copies as they come about, made from a picture, to learn how near copies must be.

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, RgbImage};

use crate::decode::resize;
use crate::pixels::Pixels;

/// Kinds of copies that [`transformed`] makes, in its order.
pub const KINDS: [&str; 7] =
    ["halved", "JPEG at quality 50", "cropped by 3 %", "gamma 0.9", "mirrored", "turned", "upside down"];

/// One copy of each of [`KINDS`].
///
/// # Errors
/// If the JPEG encoder gives up.
pub fn transformed(picture: &Pixels) -> Result<Vec<Pixels>> {
    let image = image_of(picture)?;
    let (width, height) = (image.width(), image.height());
    let mut jpeg = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 50))?;
    let (left, top) = ((width * 3 / 200).max(1), (height * 3 / 200).max(1));
    let cropped = image.crop_imm(left, top, width - 2 * left, height - 2 * top);
    let brighter = |&value: &u8| (255.0 * (f64::from(value) / 255.0).powf(0.9)).round() as u8;
    let samples = picture.samples().iter().map(brighter).collect();
    Ok(vec![
        resize::lanczos(picture, picture.height().div_ceil(2), picture.width().div_ceil(2)),
        pixels_of(&image::load_from_memory(&jpeg)?)?,
        pixels_of(&cropped)?,
        Pixels::new(picture.height(), picture.width(), picture.channels(), samples)?,
        pixels_of(&image.fliph())?,
        pixels_of(&image.rotate90())?,
        pixels_of(&image.flipv())?,
    ])
}

fn image_of(pixels: &Pixels) -> Result<DynamicImage> {
    let (width, height) = (pixels.width() as u32, pixels.height() as u32);
    let rgb = RgbImage::from_raw(width, height, pixels.to_rgb().samples().to_vec());
    Ok(DynamicImage::ImageRgb8(rgb.context("a picture has as many samples as it states")?))
}

fn pixels_of(image: &DynamicImage) -> Result<Pixels> {
    let rgb = image.to_rgb8();
    Pixels::new(rgb.height() as usize, rgb.width() as usize, 3, rgb.into_raw())
}
