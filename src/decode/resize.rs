//! Resampling as Pillow does it: horizontal pass, rounding to 8 bits, vertical pass.
//!
//! Weights are fixed-point with 22 fractional bits, so the result is the same on every machine.
//! Filters and rounding were checked against Pillow's own results, pixel by pixel.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::sync::{Arc, Mutex, PoisonError};

use crate::pixels::Pixels;

/// Names the arithmetic of [`lanczos`] in manifests and pixel stores.
pub const RESIZE_ID: &str = "pillow-lanczos-hv-v1";

/// Fractional bits of a weight: 32, less 8 for the sample and 2 for overshoot and sign.
const WEIGHT_BITS: u32 = 32 - 8 - 2;

/// Resizes with the Lanczos filter of three lobes.
///
/// # Panics
/// If `height` or `width` is 0.
pub fn lanczos(pixels: &Pixels, height: usize, width: usize) -> Pixels {
    resize(pixels, height, width, &LANCZOS)
}

/// Resizes with the cubic filter of slope -0.5.
///
/// # Panics
/// If `height` or `width` is 0.
pub fn bicubic(pixels: &Pixels, height: usize, width: usize) -> Pixels {
    resize(pixels, height, width, &BICUBIC)
}

/// Resizes with the triangle filter.
///
/// # Panics
/// If `height` or `width` is 0.
pub fn bilinear(pixels: &Pixels, height: usize, width: usize) -> Pixels {
    resize(pixels, height, width, &BILINEAR)
}

/// Weights that are multiplied at once: as many as half a wide register holds.
const LANES: usize = 8;

/// Target samples whose sums are finished together.
const GROUP: usize = 8;

/// A weight is a high half times this, plus a low half.
const HALF: i32 = 1 << 11;

#[derive(Clone, Copy)]
struct Filter {
    name: &'static str,
    /// Half its width, in source samples at scale 1.
    reach: f64,
    value: fn(f64) -> f64,
}

const LANCZOS: Filter = Filter {
    name: "lanczos",
    reach: 3.0,
    value: |x| if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 },
};
const BICUBIC: Filter = Filter { name: "bicubic", reach: 2.0, value: cubic };
const BILINEAR: Filter = Filter { name: "bilinear", reach: 1.0, value: |x| (1.0 - x.abs()).max(0.0) };

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// Keys 1981 with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// For every target sample: where its source samples start, and their weights.
struct Taps {
    /// Source samples in all.
    source: usize,
    /// Target samples in all; those beyond, up to a multiple of [`GROUP`], have no weights.
    target: usize,
    first: Vec<usize>,
    /// `count` weights for each target sample, of which those beyond the edge are 0.
    weights: Vec<i32>,
    /// The same in halves of 16 bits, which processors multiply faster: for each [`GROUP`] of target samples
    /// and each [`LANES`] weights, the high halves of a target sample's weights, then the low ones.
    halves: Vec<[[i16; 2 * LANES]; GROUP]>,
    /// A multiple of [`LANES`].
    count: usize,
}

/// Weights of this many pairs of sizes are kept.
const N_KEPT: usize = 256;

impl Taps {
    /// As [`Taps::new`]; the sizes of one source are few, and come again and again.
    fn of(source: usize, target: usize, filter: &Filter) -> Arc<Taps> {
        type Key = (usize, usize, &'static str);
        static KEPT: Mutex<BTreeMap<Key, Arc<Taps>>> = Mutex::new(BTreeMap::new());
        let key = (source, target, filter.name);
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taps) = kept().get(&key) {
            return Arc::clone(taps);
        }
        let taps = Arc::new(Taps::new(source, target, filter));
        let mut kept = kept();
        if kept.len() >= N_KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&taps));
        taps
    }

    fn new(source: usize, target: usize, filter: &Filter) -> Taps {
        let scale = source as f64 / target as f64;
        // Going down, the filter grows with the scale; going up, it keeps its size.
        let stretch = scale.max(1.0);
        let reach = filter.reach * stretch;
        let center = |index: usize| (index as f64 + 0.5) * scale;
        let range = |index: usize| {
            let first = (center(index) - reach + 0.5).max(0.0) as usize;
            (first, ((center(index) + reach + 0.5) as usize).min(source))
        };
        let most = (0..target).map(|index| range(index).1 - range(index).0).max().unwrap_or(0);
        let count = most.next_multiple_of(LANES);
        let mut weights = vec![0; target.next_multiple_of(GROUP) * count];
        let mut starts = vec![0; target.next_multiple_of(GROUP)];
        for (index, weights) in weights.chunks_exact_mut(count).take(target).enumerate() {
            let (center, (first, last)) = (center(index), range(index));
            let at = |tap: usize| (filter.value)(((first + tap) as f64 - center + 0.5) * (1.0 / stretch));
            let values: Vec<f64> = (0..last - first).map(at).collect();
            let sum: f64 = values.iter().sum();
            let one = f64::from(1 << WEIGHT_BITS);
            for (weight, value) in weights.iter_mut().zip(&values) {
                *weight = (value / sum * one).round() as i32;
            }
            starts[index] = first;
        }
        let low = |weight: i32| (weight + HALF / 2).rem_euclid(HALF) - HALF / 2;
        let high = |weight: i32| (weight - low(weight)) / HALF;
        let mut halves = vec![[[0; 2 * LANES]; GROUP]; weights.len() / (LANES * GROUP)];
        for (index, weights) in weights.chunks_exact(count).enumerate() {
            for (part, weights) in weights.chunks_exact(LANES).enumerate() {
                let target = &mut halves[index / GROUP * (count / LANES) + part][index % GROUP];
                for (place, &weight) in weights.iter().enumerate() {
                    target[place] = high(weight) as i16;
                    target[LANES + place] = low(weight) as i16;
                }
            }
        }
        Taps { source, target, first: starts, weights, halves, count }
    }

    /// The halves of each group of target samples.
    #[inline(always)]
    fn groups(&self) -> impl Iterator<Item = &[[[i16; 2 * LANES]; GROUP]]> {
        self.halves.chunks_exact(self.count / LANES)
    }

    fn weights_of(&self, index: usize) -> &[i32] {
        &self.weights[index * self.count..(index + 1) * self.count]
    }
}

fn resize(pixels: &Pixels, height: usize, width: usize, filter: &Filter) -> Pixels {
    assert!(height > 0 && width > 0, "a picture of {height} x {width} cannot be made");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as asked one line above.
        return unsafe { wide::resize(pixels, height, width, filter) };
    }
    resize_by(pixels, height, width, filter, dots)
}

/// The same integer arithmetic in wide registers; the result is the same bit by bit.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_broadcastsi128_si256, _mm256_hadd_epi32,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_permute2x128_si256, _mm256_setr_epi32,
        _mm256_setzero_si256, _mm256_sllv_epi32, _mm256_storeu_si256,
    };

    use super::{Filter, GROUP, HALF, LANES, Pixels, Taps, resize_by};

    #[target_feature(enable = "avx2")]
    pub(super) fn resize(pixels: &Pixels, height: usize, width: usize, filter: &Filter) -> Pixels {
        resize_by(pixels, height, width, filter, |line, taps, sums| dots(line, taps, sums))
    }

    #[target_feature(enable = "avx2")]
    fn dots(line: &[i16], taps: &Taps, sums: &mut [i32]) {
        let groups = taps.first.as_chunks::<GROUP>().0.iter().zip(taps.groups());
        for (target, (first, parts)) in sums.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
            // The high halves' sums in the front of each register, the low halves' in the back.
            let mut sums = [_mm256_setzero_si256(); GROUP];
            for (part, weights) in parts.iter().enumerate() {
                for place in 0..GROUP {
                    let samples = twice(&line[first[place] + part * LANES..]);
                    let products = _mm256_madd_epi16(samples, load(&weights[place]));
                    sums[place] = _mm256_add_epi32(sums[place], products);
                }
            }
            let bits = HALF.ilog2() as i32;
            let bits = _mm256_setr_epi32(bits, bits, bits, bits, 0, 0, 0, 0);
            let [a, b, c, d, e, f, g, h] = sums.map(|sums| _mm256_sllv_epi32(sums, bits));
            let front = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
            let back = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
            let low = _mm256_permute2x128_si256::<0x20>(front, back);
            let high = _mm256_permute2x128_si256::<0x31>(front, back);
            // SAFETY: the eight sums have the register's 32 bytes.
            unsafe { _mm256_storeu_si256(target.as_mut_ptr().cast(), _mm256_add_epi32(low, high)) };
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn twice(samples: &[i16]) -> __m256i {
        let samples = &samples[..LANES];
        // SAFETY: there are 16 bytes, as asked one line above.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(samples.as_ptr().cast()) })
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(weights: &[i16; 2 * LANES]) -> __m256i {
        // SAFETY: there are 32 bytes.
        unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) }
    }
}

/// For one line of samples, the weighted sum for every target sample.
fn dots(line: &[i16], taps: &Taps, sums: &mut [i32]) {
    let groups = taps.first.chunks_exact(GROUP).zip(taps.groups());
    for (sums, (first, parts)) in sums.chunks_exact_mut(GROUP).zip(groups) {
        sums.fill(0);
        for (part, weights) in parts.iter().enumerate() {
            for (place, sum) in sums.iter_mut().enumerate() {
                let samples = &line[first[place] + part * LANES..][..LANES];
                let (high, low) = weights[place].split_at(LANES);
                let dot = |half: &[i16]| -> i32 {
                    samples.iter().zip(half).map(|(&sample, &half)| i32::from(sample) * i32::from(half)).sum()
                };
                *sum += dot(high) * HALF + dot(low);
            }
        }
    }
}

#[inline(always)]
fn resize_by(
    pixels: &Pixels,
    height: usize,
    width: usize,
    filter: &Filter,
    dots: impl Fn(&[i16], &Taps, &mut [i32]),
) -> Pixels {
    let channels = pixels.channels();
    let mut samples = Cow::Borrowed(pixels.samples());
    if width != pixels.width() {
        let taps = Taps::of(pixels.width(), width, filter);
        let target = match channels {
            1 => horizontal::<1>(&samples, &taps, dots),
            _ => horizontal::<3>(&samples, &taps, dots),
        };
        samples = Cow::Owned(target);
    }
    if height != pixels.height() {
        let taps = Taps::of(pixels.height(), height, filter);
        samples = Cow::Owned(vertical(&samples, width * channels, &taps));
    }
    // The horizontal pass leaves the channels of a row one after the other.
    let samples = match channels {
        3 if width != pixels.width() => interleaved(&samples, width),
        _ => samples.into_owned(),
    };
    Pixels::new(height, width, channels, samples).expect("both passes fill the shape they are given")
}

/// `[rows, 3, width] -> [rows, width, 3]`
fn interleaved(samples: &[u8], width: usize) -> Vec<u8> {
    let mut target = Vec::with_capacity(samples.len());
    for row in samples.chunks_exact(3 * width) {
        let (red, others) = row.split_at(width);
        let (green, blue) = others.split_at(width);
        target.extend(red.iter().zip(green).zip(blue).flat_map(|((&red, &green), &blue)| [red, green, blue]));
    }
    target
}

/// `[rows, source, CHANNELS] -> [rows, CHANNELS, target]`
#[inline(always)]
fn horizontal<const CHANNELS: usize>(
    samples: &[u8],
    taps: &Taps,
    dots: impl Fn(&[i16], &Taps, &mut [i32]),
) -> Vec<u8> {
    let (length, target_length) = (taps.source * CHANNELS, taps.target * CHANNELS);
    let mut target = vec![0; samples.len() / length * target_length];
    // The channels of one row, each with zeros for the weights that reach beyond it.
    let mut lines = [(); CHANNELS].map(|()| vec![0i16; taps.source + taps.count]);
    let mut sums = vec![0i32; taps.first.len()];
    for (row, target) in samples.chunks_exact(length).zip(target.chunks_exact_mut(target_length)) {
        let targets = target.chunks_exact_mut(taps.target);
        for (channel, (line, target)) in lines.iter_mut().zip(targets).enumerate() {
            for (wide, pixel) in line.iter_mut().zip(row.as_chunks::<CHANNELS>().0) {
                *wide = i16::from(pixel[channel]);
            }
            dots(line, taps, &mut sums);
            for (target, &sum) in target.iter_mut().zip(&sums) {
                *target = rounded(sum);
            }
        }
    }
    target
}

/// `[rows, length] -> [target, length]`
#[inline(always)]
fn vertical(samples: &[u8], length: usize, taps: &Taps) -> Vec<u8> {
    let mut target = Vec::with_capacity(taps.target * length);
    let mut sums = vec![0i32; length];
    for (index, &first) in taps.first[..taps.target].iter().enumerate() {
        sums.fill(0);
        let rows = &samples[first * length..];
        // Four rows at once, so that sums are fetched and put back less often.
        let fours = rows.chunks_exact(4 * length);
        let rest = fours.remainder();
        let weights = taps.weights_of(index).as_chunks::<4>().0;
        let last = weights.get(fours.len()).unwrap_or(&[0; 4]);
        for (rows, &[a, b, c, d]) in fours.zip(weights) {
            let (first, others) = rows.split_at(2 * length);
            let (first, second) = first.split_at(length);
            let (third, fourth) = others.split_at(length);
            let samples = first.iter().zip(second).zip(third.iter().zip(fourth));
            for (sum, ((&first, &second), (&third, &fourth))) in sums.iter_mut().zip(samples) {
                *sum += i32::from(first) * a
                    + i32::from(second) * b
                    + i32::from(third) * c
                    + i32::from(fourth) * d;
            }
        }
        for (row, &weight) in rest.chunks_exact(length).zip(last) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum += i32::from(sample) * weight;
            }
        }
        target.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    target
}

#[inline(always)]
fn rounded(sum: i32) -> u8 {
    ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn every_processor_gives_the_same_pixels() {
        let mut stream = Stream::new(7, "noise", 0);
        for (height, width, channels) in [(1, 1, 1), (5, 300, 3), (64, 33, 1), (97, 1024, 1), (343, 351, 3)] {
            let samples = (0..height * width * channels).map(|_| stream.below(256) as u8).collect();
            let picture = Pixels::new(height, width, channels, samples).unwrap();
            for (height, width) in [(1, 1), (128, 128), (31, 7), (9, 400)] {
                for filter in [LANCZOS, BICUBIC, BILINEAR] {
                    let plain = resize_by(&picture, height, width, &filter, dots);
                    let fast = resize(&picture, height, width, &filter);
                    assert!(plain.samples() == fast.samples(), "{} {height} x {width}", filter.name);
                }
            }
        }
    }
}
