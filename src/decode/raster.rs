//! PNG, JPEG, TIFF and BMP, told by their first bytes.
//!
//! Orientation tags of EXIF are not applied and embedded colour profiles are not used, as in Pillow's `open`.
//! A TIFF with several pages gives its first.

use std::io::Cursor;

use anyhow::{Context, Result, bail, ensure};
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Decoded, jpeg};
use crate::pixels::Pixels;

/// No side beyond this, in pixels, and no more memory than [`MAX_BYTES`]: files are not trusted.
const MAX_SIDE: u32 = 1 << 16;
const MAX_BYTES: u64 = 1 << 30;

/// Decodes a raster file; transparency is dropped, as Pillow's `convert("RGB")` does.
///
/// # Errors
/// Another format, a damaged or cut file, float samples, a frame other than 0.
pub fn decode(bytes: &[u8], frame: u32) -> Result<Decoded> {
    let Some(format) = format_of(bytes) else {
        bail!(
            "neither DICOM (no `DICM` at byte 128) nor PNG, JPEG, TIFF or BMP: the file is no picture known here"
        );
    };
    ensure!(frame == 0, "frame {frame} was asked for, but a {} file holds one", name(format));
    ensure!(
        format != ImageFormat::Jpeg || jpeg::is_whole(bytes),
        "the JPEG file is cut off: its end marker is missing; fetch it again"
    );
    let reading = std::panic::catch_unwind(|| read(bytes, format));
    let (image, original) = reading
        .unwrap_or_else(|_| bail!("the decoder gave up on malformed data"))
        .with_context(|| format!("damaged or unusual {} file", name(format)))?;
    finish(bytes, format, image, original)
}

fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    let format = image::guess_format(bytes).ok()?;
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Bmp];
    known.contains(&format).then_some(format)
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Tiff => "TIFF",
        _ => "BMP",
    }
}

fn read(bytes: &[u8], format: ImageFormat) -> Result<(DynamicImage, ExtendedColorType)> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let total = decoder.total_bytes();
    ensure!(
        total <= MAX_BYTES,
        "{width} x {height} pixels would take {total} bytes, over the limit of {MAX_BYTES}"
    );
    decoder.set_limits(limits())?;
    let original = decoder.original_color_type();
    Ok((DynamicImage::from_decoder(decoder)?, original))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

fn finish(
    bytes: &[u8],
    format: ImageFormat,
    image: DynamicImage,
    original: ExtendedColorType,
) -> Result<Decoded> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let color = image.color();
    let sample_bits = color.bits_per_pixel() / u16::from(color.channel_count());
    ensure!(sample_bits <= 16, "float samples have no stated range; convert the file to 8 or 16 bits");
    let mut policy = match sample_bits {
        16 => "16 bits to 8 by scaling 0 to 65535 onto 0 to 255".to_owned(),
        _ => "8-bit values as decoded".to_owned(),
    };
    if color.has_alpha() {
        policy.push_str("; transparency dropped");
    }
    let (photometric, bits) = describe(bytes, format, original, sample_bits);
    let (channels, samples) = match color.has_color() {
        true => (3, image.into_rgb8().into_raw()),
        false => (1, image.into_luma8().into_raw()),
    };
    let pixels = Pixels::new(height, width, channels, samples)?;
    Ok(Decoded { pixels, bits, photometric, intensity_policy: policy, frames: 1 })
}

/// What the file's header says its samples are, and how many bits one has.
fn describe(
    bytes: &[u8],
    format: ImageFormat,
    original: ExtendedColorType,
    decoded_bits: u16,
) -> (String, u16) {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let palette = |bits: u8| ("PALETTE".to_owned(), u16::from(bits));
    match format {
        // PNG: bit depth at byte 24, colour type 3 is a palette.
        ImageFormat::Png if byte(25) == 3 => palette(byte(24)),
        ImageFormat::Png if byte(25) & 2 == 0 => ("GREY".to_owned(), u16::from(byte(24))),
        ImageFormat::Jpeg if jpeg::stated(bytes).is_some_and(|stated| stated.components == 4) => {
            ("CMYK".to_owned(), decoded_bits)
        }
        // BMP: bits a pixel at byte 28, up to 8 of them are a palette.
        ImageFormat::Bmp if (1..=8).contains(&byte(28)) => palette(byte(28)),
        _ => (photometric_of(original).to_owned(), decoded_bits),
    }
}

fn photometric_of(original: ExtendedColorType) -> &'static str {
    match original {
        ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 => "CMYK",
        other if other.channel_count() < 3 => "GREY",
        _ => "RGB",
    }
}
