//! Samples to 8 bits, grey or RGB.

use std::borrow::Cow;

use anyhow::{Result, bail, ensure};

use super::super::super::range::{self, Codes, Distribution};
use super::super::pages::Directory;
use super::super::{WHOLE, kept};
use super::{Kind, Layout, Photometric, tag};
use crate::spec::Intensity;

/// Channels, samples of 8 bits, and how they came to be.
pub(super) fn shown(
    directory: &Directory,
    layout: &Layout,
    samples: &[u8],
    intensity: &Intensity,
) -> Result<(usize, Vec<u8>, String)> {
    let samples = without_extra(layout, samples);
    if layout.photometric == Photometric::Palette {
        return palette(directory, layout, &samples, intensity);
    }
    let channels = layout.shown();
    let (mut grey, mut policy) = match layout.kind {
        Kind::Float => floats(&samples, layout.bits, intensity)?,
        _ => whole_numbers(layout, &samples, intensity)?,
    };
    if layout.photometric == Photometric::WhiteIsZero {
        grey.iter_mut().for_each(|sample| *sample = 255 - *sample);
        policy.push_str("; white is 0, inverted");
    }
    Ok((channels, grey, policy))
}

fn without_extra<'a>(layout: &Layout, samples: &'a [u8]) -> Cow<'a, [u8]> {
    let word = layout.width_bytes();
    let (all, shown) = (layout.samples * word, layout.shown() * word);
    match all == shown {
        true => Cow::Borrowed(samples),
        false => Cow::Owned(samples.chunks_exact(all).flat_map(|pixel| &pixel[..shown]).copied().collect()),
    }
}

fn whole_numbers(layout: &Layout, samples: &[u8], intensity: &Intensity) -> Result<(Vec<u8>, String)> {
    let is_signed = layout.kind == Kind::Signed;
    let bits = layout.bits as u16;
    let codes = Codes { least: if is_signed { -(1i64 << (bits - 1)) } else { 0 }, bits };
    let is_kept = matches!(intensity, Intensity::Stated | Intensity::FullRange);
    if is_kept && bits == 8 && !is_signed {
        return Ok((samples.to_vec(), kept(8)));
    }
    ensure!(
        bits <= 16 || *intensity != Intensity::Stated,
        "samples of {bits} bits have no stated range; give [task.reading] an intensity"
    );
    let asked = if *intensity == Intensity::Stated { &Intensity::FullRange } else { intensity };
    let (grey, policy) = match (layout.width_bytes(), is_signed) {
        (1, false) => codes.spread(samples, asked, WHOLE)?,
        (1, true) => codes.spread(&words(samples, i8::from_le_bytes), asked, WHOLE)?,
        (2, false) => codes.spread(&words(samples, u16::from_le_bytes), asked, WHOLE)?,
        (2, true) => codes.spread(&words(samples, i16::from_le_bytes), asked, WHOLE)?,
        (_, false) => codes.spread(&words(samples, u32::from_le_bytes), asked, WHOLE)?,
        (_, true) => codes.spread(&words(samples, i32::from_le_bytes), asked, WHOLE)?,
    };
    let is_plain = *intensity == Intensity::Stated && bits == 16 && !is_signed;
    Ok((grey, if is_plain { kept(16) } else { policy }))
}

fn words<T, const N: usize>(samples: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    samples.as_chunks().0.iter().map(|&word| number(word)).collect()
}

fn floats(samples: &[u8], bits: usize, intensity: &Intensity) -> Result<(Vec<u8>, String)> {
    ensure!(
        !matches!(intensity, Intensity::Stated | Intensity::FullRange),
        "float samples have no stated range; give [task.reading] a window, min-max or percentiles"
    );
    let values: Vec<f64> = match bits {
        32 => words(samples, f32::from_le_bytes).into_iter().map(f64::from).collect(),
        _ => words(samples, f64::from_le_bytes),
    };
    let distribution = || Distribution::new(values.iter().map(|&value| (value, 1)));
    let (range, policy) =
        range::chosen(intensity, || bail!("floats have no full range"), distribution, WHOLE)?;
    Ok((values.iter().map(|&value| range.grey(value)).collect(), format!("float samples; {policy}")))
}

/// Looks indices up in the page's colour map: all red entries, then green, then blue, of 16 bits.
fn palette(
    directory: &Directory,
    layout: &Layout,
    indices: &[u8],
    intensity: &Intensity,
) -> Result<(usize, Vec<u8>, String)> {
    let map = directory.numbers(tag::COLOUR_MAP)?;
    let entries = 1usize << layout.bits;
    ensure!(map.len() == 3 * entries, "the colour map has {} entries, {} are needed", map.len(), 3 * entries);
    // Some writers fill in 8 bits.
    let shift = if map.iter().all(|&entry| entry < 256) { 0 } else { 8 };
    let colour =
        |index: u8| [0, 1, 2].map(|channel| (map[channel * entries + usize::from(index)] >> shift) as u8);
    let samples: Vec<u8> = indices.iter().flat_map(|&index| colour(index)).collect();
    let policy = format!("{} bits indices; the file's palette", layout.bits);
    if matches!(intensity, Intensity::Stated | Intensity::FullRange) {
        return Ok((3, samples, policy));
    }
    let (samples, range) = Codes::unsigned(8).spread(&samples, intensity, WHOLE)?;
    Ok((3, samples, format!("{policy}; {range}")))
}
