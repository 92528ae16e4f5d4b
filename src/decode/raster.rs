//! PNG, JPEG, TIFF and BMP, told by their first bytes.
//!
//! The orientation tag of a TIFF is applied, as Pillow does on opening one; that of EXIF in a JPEG or PNG is not,
//! as in Pillow's `open`. Embedded colour profiles are not used. Pages of a TIFF are its frames, but for reduced
//! copies and transparency masks of others.

use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage,
};

use super::range::Codes;
use super::{Decoded, Taken, jpeg};
use crate::pixels::Pixels;
use crate::spec::{Intensity, Reading};
use crate::{files, panics};

mod bmp;
mod mask;
mod pages;
mod texts;
mod tiff;

pub use texts::tiff_texts;

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
    pub(super) fn open(bytes: &'a [u8], reading: &'a Reading) -> Result<File<'a>> {
        let Some(format) = format_of(bytes) else {
            bail!(
                "neither DICOM (no `DICM` at byte 128) nor NIfTI, PNG, JPEG, TIFF or BMP: the file is no picture known here"
            );
        };
        let pages = if format == ImageFormat::Tiff { pages::starts(bytes)? } else { vec![0] };
        Ok(File { bytes, format, pages, reading })
    }

    /// One page as a picture; transparency is dropped, as Pillow's `convert("RGB")` does.
    pub(super) fn decode(&self, frame: u32) -> Result<Decoded> {
        self.page(frame, &self.reading.intensity)
    }

    /// One page as a mask: 255 where a stored value other than alpha, or a palette's index, is not 0; in BMP, where the
    /// colour is not black; in a TIFF whose 0 is white, where it is not black. JPEG does not keep zeros, so there it is
    /// where the grey picture is 128 or brighter. What was forgiven is added to `repaired`.
    pub(super) fn mask(&self, frame: u32, repaired: &mut Vec<String>) -> Result<Pixels> {
        let start = self.start(frame)?;
        let (bytes, limit) = (self.bytes, limit(self.bytes));
        self.caught(|| match self.format {
            ImageFormat::Png => mask::png(bytes, limit),
            ImageFormat::Jpeg => mask::lossy(bytes, limit, repaired),
            ImageFormat::Tiff => match self.directory(start)? {
                directory if tiff::is_ours(&directory) => tiff::mask(&directory, limit, repaired),
                directory => {
                    let page = read_page(bytes, start, &directory, limit)?;
                    Ok(tiff::upright(&directory, mask::nonzero(page.image)?)?.0)
                }
            },
            _ => mask::nonzero(read_whole(bytes, self.format, limit)?.image),
        })
    }

    fn page(&self, frame: u32, intensity: &Intensity) -> Result<Decoded> {
        let start = self.start(frame)?;
        let (bytes, format, limit) = (self.bytes, self.format, limit(self.bytes));
        let decoded = self.caught(|| match format {
            ImageFormat::Jpeg => finish(bytes, format, read_jpeg(bytes, limit)?, intensity),
            ImageFormat::Tiff => match self.directory(start)? {
                directory if tiff::is_ours(&directory) => tiff::decode(&directory, intensity, limit),
                directory => {
                    let page = read_page(bytes, start, &directory, limit)?;
                    let decoded = finish(bytes, format, page, intensity)?;
                    let (pixels, turned) = tiff::upright(&directory, decoded.pixels)?;
                    Ok(Decoded { pixels, intensity_policy: decoded.intensity_policy + turned, ..decoded })
                }
            },
            _ => finish(bytes, format, read_whole(bytes, format, limit)?, intensity),
        })?;
        Ok(Decoded { frames: self.pages.len() as u32, ..decoded })
    }

    fn start(&self, frame: u32) -> Result<u64> {
        let count = self.pages.len();
        self.pages.get(frame as usize).copied().with_context(|| {
            format!("frame {frame} was asked for, but the {} file holds {count}", name(self.format))
        })
    }

    fn directory(&self, start: u64) -> Result<pages::Directory<'a>> {
        pages::Directory::at(self.bytes, start).context("the page lies beyond the file's end")
    }

    /// A decoder's panic on malformed data is a refusal.
    fn caught<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = panics::caught(read)
            .unwrap_or_else(|panic| bail!("the decoder gave up on malformed data ({panic})"));
        done.with_context(|| format!("damaged {} file, or of a kind that is not read", name(self.format)))
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

/// A picture as its decoder hands it over.
struct Read {
    image: DynamicImage,
    original: ExtendedColorType,
    repaired: Vec<String>,
}

/// Bytes that the picture of a file may take.
fn limit(bytes: &[u8]) -> u64 {
    MAX_BYTES.min(SMALL_BYTES.max(bytes.len() as u64 * MAX_RATIO))
}

/// A page of a TIFF that is left to the image crate.
fn read_page(bytes: &[u8], start: u64, directory: &pages::Directory, limit: u64) -> Result<Read> {
    tiff::check_plain(directory)?;
    read(pages::opening_at(bytes, start), ImageFormat::Tiff, limit)
}

fn read_whole(bytes: &[u8], format: ImageFormat, limit: u64) -> Result<Read> {
    if format == ImageFormat::Bmp {
        bmp::check(bytes)?;
    }
    read(Cursor::new(bytes), format, limit)
}

fn read(file: impl BufRead + Seek, format: ImageFormat, limit: u64) -> Result<Read> {
    let mut reader = ImageReader::with_format(file, format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let total = decoder.total_bytes();
    ensure!(total <= limit, "{width} x {height} pixels would take {total} bytes, over the limit of {limit}");
    decoder.set_limits(limits())?;
    let original = decoder.original_color_type();
    Ok(Read { image: DynamicImage::from_decoder(decoder)?, original, repaired: Vec::new() })
}

fn read_jpeg(bytes: &[u8], limit: u64) -> Result<Read> {
    let jpeg::Plain { rows, columns, channels, samples, repaired } = jpeg::plain(bytes, limit)?;
    let (width, height) = (columns as u32, rows as u32);
    let (image, original) = match channels {
        1 => (GrayImage::from_raw(width, height, samples).map(DynamicImage::from), ExtendedColorType::L8),
        _ => (RgbImage::from_raw(width, height, samples).map(DynamicImage::from), ExtendedColorType::Rgb8),
    };
    Ok(Read { image: image.context("samples do not fill the picture")?, original, repaired })
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    limits
}

fn finish(bytes: &[u8], format: ImageFormat, read: Read, intensity: &Intensity) -> Result<Decoded> {
    let Read { image, original, repaired } = read;
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
    Ok(Decoded {
        pixels,
        bits,
        photometric,
        intensity_policy: policy,
        frames: 1,
        repaired,
        taken: Taken::default(),
    })
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
