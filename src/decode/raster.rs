//! PNG, JPEG, TIFF and BMP, told by their first bytes.
//!
//! Orientation tags of EXIF are not applied and embedded colour profiles are not used, as in Pillow's `open`.
//! Pages of a TIFF are its frames.

use std::borrow::Cow;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::range::Codes;
use super::{Decoded, jpeg};
use crate::files;
use crate::pixels::Pixels;
use crate::spec::{Intensity, Reading};

mod pages;

/// What a range is taken of, where a reading asks for one.
const WHOLE: &str = "the picture, its channels together";

/// No side beyond this, in pixels, and no more memory than [`MAX_BYTES`]: files are not trusted.
const MAX_SIDE: u32 = 1 << 16;
const MAX_BYTES: u64 = 1 << 30;

/// What no file is refused for, and beyond it no more bytes of pixels than this for one of the file.
const SMALL_BYTES: u64 = 64 << 20;
const MAX_RATIO: u64 = 4096;

/// A raster file, of which one page at a time is decoded.
pub(super) struct File<'a> {
    bytes: &'a [u8],
    format: ImageFormat,
    /// Where each page of a TIFF begins; one entry for other formats.
    pages: Vec<u64>,
    reading: &'a Reading,
}

impl<'a> File<'a> {
    /// Tells the format and counts pages; nothing is decoded yet.
    pub fn open(bytes: &'a [u8], reading: &'a Reading) -> Result<File<'a>> {
        let Some(format) = format_of(bytes) else {
            bail!(
                "neither DICOM (no `DICM` at byte 128) nor NIfTI, PNG, JPEG, TIFF or BMP: the file is no picture known here"
            );
        };
        ensure!(
            format != ImageFormat::Jpeg || jpeg::is_whole(bytes),
            "the JPEG file is cut off: its end marker is missing; fetch it again"
        );
        let pages = if format == ImageFormat::Tiff { pages::starts(bytes)? } else { vec![0] };
        Ok(File { bytes, format, pages, reading })
    }

    /// One page as a picture; transparency is dropped, as Pillow's `convert("RGB")` does.
    pub fn decode(&self, frame: u32) -> Result<Decoded> {
        self.page(frame, &self.reading.intensity)
    }

    /// One page as a mask: 255 where its grey picture is 128 or brighter.
    pub fn mask(&self, frame: u32) -> Result<Pixels> {
        Ok(self.page(frame, &Intensity::Stated)?.pixels.to_mask())
    }

    fn page(&self, frame: u32, intensity: &Intensity) -> Result<Decoded> {
        let File { bytes, format, pages, .. } = self;
        let (name, count) = (name(*format), pages.len());
        let start = pages.get(frame as usize);
        let start = start
            .with_context(|| format!("frame {frame} was asked for, but the {name} file holds {count}"))?;
        let bytes = match frame {
            0 => Cow::Borrowed(*bytes),
            _ => Cow::Owned(pages::opening_at(bytes, *start)),
        };
        let reading = std::panic::catch_unwind(|| read(&bytes, *format));
        let (image, original) =
            reading.unwrap_or_else(|_| bail!("the decoder gave up on malformed data")).with_context(
                || format!("damaged {name} file, or of a kind that is not read{}", not_read(*format)),
            )?;
        let decoded = finish(&bytes, *format, image, original, intensity)?;
        Ok(Decoded { frames: count as u32, ..decoded })
    }
}

/// How many pages a TIFF has; 1 for any other file.
pub(super) fn n_frames(path: &Path) -> Result<u32> {
    let head = files::read_head(path, 4)?;
    if !pages::is_tiff(&head) {
        return Ok(1);
    }
    let starts = pages::starts(&files::read(path)?).with_context(|| format!("reading {}", path.display()))?;
    Ok(starts.len() as u32)
}

/// What is known not to be read.
fn not_read(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Tiff => " (such as palette, float, or YCbCr without JPEG; convert it to RGB or grey)",
        _ => "",
    }
}

fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    if pages::is_tiff(bytes) {
        return Some(ImageFormat::Tiff);
    }
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
    let limit = MAX_BYTES.min(SMALL_BYTES.max(bytes.len() as u64 * MAX_RATIO));
    ensure!(
        total <= limit,
        "{width} x {height} pixels would take {total} bytes, over the limit of {limit} for a file of {} bytes",
        bytes.len()
    );
    decoder.set_limits(limits())?;
    let original = decoder.original_color_type();
    Ok((DynamicImage::from_decoder(decoder)?, original))
}

pub(super) fn limits() -> Limits {
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
    intensity: &Intensity,
) -> Result<Decoded> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let color = image.color();
    let sample_bits = color.bits_per_pixel() / u16::from(color.channel_count());
    ensure!(sample_bits <= 16, "float samples have no stated range; convert the file to 8 or 16 bits");
    let (photometric, bits) = describe(bytes, format, original, sample_bits);
    let is_kept = matches!(intensity, Intensity::Stated | Intensity::FullRange);
    let channels = if color.has_color() { 3 } else { 1 };
    let (samples, mut policy) = match (is_kept, sample_bits, channels) {
        (true, _, 3) => (image.into_rgb8().into_raw(), kept(sample_bits)),
        (true, _, _) => (image.into_luma8().into_raw(), kept(sample_bits)),
        (false, 16, 3) => Codes::unsigned(16).spread(&image.into_rgb16().into_raw(), intensity, WHOLE)?,
        (false, 16, _) => Codes::unsigned(16).spread(&image.into_luma16().into_raw(), intensity, WHOLE)?,
        (false, _, 3) => Codes::unsigned(8).spread(&image.into_rgb8().into_raw(), intensity, WHOLE)?,
        (false, _, _) => Codes::unsigned(8).spread(&image.into_luma8().into_raw(), intensity, WHOLE)?,
    };
    if color.has_alpha() {
        policy.push_str("; transparency dropped");
    }
    let pixels = Pixels::new(height, width, channels, samples)?;
    Ok(Decoded { pixels, bits, photometric, intensity_policy: policy, frames: 1 })
}

fn kept(sample_bits: u16) -> String {
    match sample_bits {
        16 => "16 bits to 8 by scaling 0 to 65535 onto 0 to 255".to_owned(),
        _ => "8-bit values as decoded".to_owned(),
    }
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
