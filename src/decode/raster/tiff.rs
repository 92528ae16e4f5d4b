//! Pages of a TIFF to samples, of every depth and layout that scanners and microscopes write.
//!
//! Grey of 1 to 32 bits, signed, unsigned or float; RGB of 8 and 16 bits; palettes; all in strips or tiles,
//! chunky or planar, in either bit order; uncompressed, LZW, Deflate, PackBits or JPEG. Alpha is dropped. What
//! is read elsewhere or not at all is named.

use anyhow::{Context, Result, bail, ensure};

use super::pages::Directory;
use crate::decode::{Decoded, Taken};
use crate::pixels::Pixels;
use crate::spec::Intensity;

mod chunks;
mod colour;
mod orientation;
mod predictor;
mod unpack;

/// Numbers of tags, TIFF 6.0.
mod tag {
    pub(super) const WIDTH: u16 = 256;
    pub(super) const HEIGHT: u16 = 257;
    pub(super) const BITS: u16 = 258;
    pub(super) const COMPRESSION: u16 = 259;
    pub(super) const PHOTOMETRIC: u16 = 262;
    pub(super) const FILL_ORDER: u16 = 266;
    pub(super) const STRIP_OFFSETS: u16 = 273;
    pub(super) const ORIENTATION: u16 = 274;
    pub(super) const SAMPLES: u16 = 277;
    pub(super) const ROWS_PER_STRIP: u16 = 278;
    pub(super) const STRIP_BYTES: u16 = 279;
    pub(super) const PLANAR: u16 = 284;
    pub(super) const PREDICTOR: u16 = 317;
    pub(super) const COLOUR_MAP: u16 = 320;
    pub(super) const TILE_WIDTH: u16 = 322;
    pub(super) const TILE_HEIGHT: u16 = 323;
    pub(super) const TILE_OFFSETS: u16 = 324;
    pub(super) const TILE_BYTES: u16 = 325;
    pub(super) const SAMPLE_FORMAT: u16 = 339;
    pub(super) const JPEG_TABLES: u16 = 347;
}

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// What samples stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Photometric {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    /// Only within JPEG, which makes it RGB.
    Ybr,
}

/// How a page's samples are laid out.
struct Layout {
    height: usize,
    width: usize,
    /// Bits of a sample.
    bits: usize,
    kind: Kind,
    /// Samples of a pixel, alpha and others among them.
    samples: usize,
    photometric: Photometric,
    compression: u64,
    predictor: u64,
    /// Whether each sample is a plane of its own.
    planar: bool,
    /// Whether the lowest bit of a byte comes first.
    reversed: bool,
    /// Height and width of a strip or tile.
    chunk: (usize, usize),
}

/// Whether a page is one that [`decode`] reads; fax compression and CMYK are left to the image crate.
pub(super) fn is_ours(directory: &Directory) -> bool {
    let is = |tag: u16, numbers: &[u64]| {
        directory.number(tag).ok().flatten().is_some_and(|number| numbers.contains(&number))
    };
    !is(tag::COMPRESSION, &[2, 3, 4]) && !is(tag::PHOTOMETRIC, &[5])
}

/// Refuses what the image crate would read wrongly.
pub(super) fn check_plain(directory: &Directory) -> Result<()> {
    ensure!(
        directory.number(tag::FILL_ORDER)?.unwrap_or(1) == 1,
        "fax compression with the lowest bit first is not read"
    );
    Ok(())
}

/// The picture as it is to be seen, and a word for the policy.
pub(super) fn upright(directory: &Directory, pixels: Pixels) -> Result<(Pixels, &'static str)> {
    Ok(orientation::upright(pixels, directory.number(tag::ORIENTATION)?.unwrap_or(1)))
}

/// Decodes one page to a picture.
///
/// # Errors
/// Names what is damaged or not read.
pub(super) fn decode(directory: &Directory, intensity: &Intensity, limit: u64) -> Result<Decoded> {
    let layout = Layout::read(directory, limit)?;
    let mut repaired = Vec::new();
    let samples = chunks::samples(directory, &layout, &mut repaired)?;
    let (channels, grey, mut policy) = colour::shown(directory, &layout, &samples, intensity)?;
    if layout.samples > layout.shown() {
        policy.push_str("; transparency dropped");
    }
    let pixels = Pixels::new(layout.height, layout.width, channels, grey)?;
    let (pixels, turned) = upright(directory, pixels)?;
    policy.push_str(turned);
    let photometric = match layout.photometric {
        Photometric::WhiteIsZero | Photometric::BlackIsZero => "GREY",
        Photometric::Palette => "PALETTE",
        Photometric::Rgb | Photometric::Ybr => "RGB",
    };
    Ok(Decoded {
        pixels,
        bits: layout.bits as u16,
        photometric: photometric.to_owned(),
        intensity_policy: policy,
        frames: 1,
        repaired,
        taken: Taken::default(),
    })
}

/// One page as a mask: 255 where any sample but alpha is not 0, or the palette's index is not. Where 0 is white, as usual
/// for two levels, what is not black is set, since that is what was drawn; under JPEG, which keeps no zeros, what is 128 or
/// brighter.
///
/// # Errors
/// As [`decode`].
pub(super) fn mask(directory: &Directory, limit: u64, repaired: &mut Vec<String>) -> Result<Pixels> {
    let layout = Layout::read(directory, limit)?;
    if layout.compression == JPEG {
        let decoded = decode(directory, &Intensity::Stated, limit)?;
        repaired.extend(decoded.repaired);
        return Ok(decoded.pixels.to_mask());
    }
    let samples = chunks::samples(directory, &layout, repaired)?;
    let pixel = layout.samples * layout.width_bytes();
    let shown = layout.shown() * layout.width_bytes();
    let black = match layout.photometric {
        Photometric::WhiteIsZero => u64::MAX >> (64 - layout.bits),
        _ => 0,
    };
    let black = &black.to_le_bytes()[..layout.width_bytes()];
    let is_set = |pixel: &[u8]| pixel[..shown].chunks_exact(black.len()).any(|word| word != black);
    let mask = samples.chunks_exact(pixel).map(|pixel| if is_set(pixel) { 255 } else { 0 }).collect();
    let pixels = Pixels::new(layout.height, layout.width, 1, mask)?;
    Ok(upright(directory, pixels)?.0)
}

const JPEG: u64 = 7;

impl Layout {
    fn read(directory: &Directory, limit: u64) -> Result<Layout> {
        let number =
            |tag: u16, default: u64| Ok::<_, anyhow::Error>(directory.number(tag)?.unwrap_or(default));
        let required = |tag: u16, name: &str| {
            directory.number(tag)?.with_context(|| format!("the TIFF page states no {name}"))
        };
        let (height, width) = (required(tag::HEIGHT, "height")?, required(tag::WIDTH, "width")?);
        ensure!(
            (1..=u64::from(super::MAX_SIDE)).contains(&height)
                && (1..=u64::from(super::MAX_SIDE)).contains(&width),
            "{width} x {height} pixels are out of range"
        );
        let samples = number(tag::SAMPLES, 1)?;
        let bits = directory.numbers(tag::BITS)?;
        let bits = if bits.is_empty() { vec![1] } else { bits };
        ensure!(bits.iter().all(|&other| other == bits[0]), "samples of {bits:?} bits in one pixel");
        let formats = directory.numbers(tag::SAMPLE_FORMAT)?;
        ensure!(formats.iter().all(|&other| other == formats[0]), "sample formats {formats:?} in one pixel");
        let kind = match formats.first() {
            None | Some(1 | 4) => Kind::Unsigned,
            Some(2) => Kind::Signed,
            Some(3) => Kind::Float,
            Some(other) => bail!("TIFF sample format {other} is not read"),
        };
        let photometric = photometric(required(tag::PHOTOMETRIC, "photometric interpretation")?)?;
        let layout = Layout {
            height: height as usize,
            width: width as usize,
            bits: bits[0] as usize,
            kind,
            samples: samples as usize,
            photometric,
            compression: number(tag::COMPRESSION, 1)?,
            predictor: number(tag::PREDICTOR, 1)?,
            planar: number(tag::PLANAR, 1)? == 2 && samples > 1,
            reversed: number(tag::FILL_ORDER, 1)? == 2,
            chunk: chunk(directory, height, width)?,
        };
        layout.check(limit)?;
        Ok(layout)
    }

    fn check(&self, limit: u64) -> Result<()> {
        let Layout { height, width, bits, samples, .. } = *self;
        ensure!((1..=8).contains(&samples) && samples >= self.shown(), "{samples} samples a pixel");
        let known = match self.kind {
            Kind::Float => bits == 32 || bits == 64,
            Kind::Signed => matches!(bits, 8 | 16 | 32),
            Kind::Unsigned => (1..=16).contains(&bits) || bits == 32,
        };
        ensure!(known, "samples of {bits} bits ({:?}) are not read", self.kind);
        let total = (height * width) as u64 * (samples * self.width_bytes()) as u64;
        ensure!(
            total <= limit,
            "{width} x {height} pixels would take {total} bytes, over the limit of {limit}"
        );
        ensure!(
            self.photometric != Photometric::Ybr || self.compression == JPEG,
            "YCbCr without JPEG is not read; convert the file to RGB"
        );
        ensure!(
            self.photometric != Photometric::Palette || bits <= 8,
            "a palette of {bits} bits is not read"
        );
        Ok(())
    }

    /// Samples that make up the picture.
    fn shown(&self) -> usize {
        if matches!(self.photometric, Photometric::Rgb | Photometric::Ybr) { 3 } else { 1 }
    }

    /// Bytes that a sample takes once it is unpacked.
    fn width_bytes(&self) -> usize {
        self.bits.div_ceil(8).next_power_of_two()
    }

    /// Samples in one pixel of a chunk.
    fn chunk_samples(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }
}

fn photometric(number: u64) -> Result<Photometric> {
    Ok(match number {
        0 => Photometric::WhiteIsZero,
        1 => Photometric::BlackIsZero,
        2 => Photometric::Rgb,
        3 => Photometric::Palette,
        6 => Photometric::Ybr,
        8..=10 => bail!("CIE Lab is not read; convert the file to RGB"),
        other => {
            bail!("TIFF photometric interpretation {other} is not read; convert the file to RGB or grey")
        }
    })
}

/// Height and width of strips or tiles.
fn chunk(directory: &Directory, height: u64, width: u64) -> Result<(usize, usize)> {
    let sides = match directory.number(tag::TILE_WIDTH)? {
        Some(tile) => (
            directory.number(tag::TILE_HEIGHT)?.context("the TIFF page states no height of its tiles")?,
            tile,
        ),
        None => (directory.number(tag::ROWS_PER_STRIP)?.unwrap_or(height).min(height), width),
    };
    let limit = u64::from(super::MAX_SIDE);
    ensure!(
        (1..=limit).contains(&sides.0) && (1..=limit).contains(&sides.1),
        "strips or tiles of {} x {} pixels",
        sides.1,
        sides.0
    );
    Ok((sides.0 as usize, sides.1 as usize))
}
