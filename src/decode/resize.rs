//! Resampling as Pillow does it: horizontal pass, rounding to 8 bits, vertical pass.
//!
//! Weights are fixed-point with 22 fractional bits, so the result is the same on every machine.
//! Filters and rounding were checked against Pillow's own results, pixel by pixel.

use std::f64::consts::PI;

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

/// Rows that the horizontal pass works on at once, one in each lane of a wide register.
const LANES: usize = 16;

struct Filter {
    /// Half its width, in source samples at scale 1.
    reach: f64,
    value: fn(f64) -> f64,
}

const LANCZOS: Filter =
    Filter { reach: 3.0, value: |x| if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 } };
const BICUBIC: Filter = Filter { reach: 2.0, value: cubic };
const BILINEAR: Filter = Filter { reach: 1.0, value: |x| (1.0 - x.abs()).max(0.0) };

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
    first: Vec<usize>,
    /// `count` weights for each target sample; those beyond the edge are 0.
    weights: Vec<i32>,
    count: usize,
}

impl Taps {
    fn new(source: usize, target: usize, filter: &Filter) -> Taps {
        let scale = source as f64 / target as f64;
        // Going down, the filter grows with the scale; going up, it keeps its size.
        let stretch = scale.max(1.0);
        let reach = filter.reach * stretch;
        let count = reach.ceil() as usize * 2 + 1;
        let mut taps =
            Taps { source, first: Vec::with_capacity(target), weights: vec![0; target * count], count };
        for (index, weights) in taps.weights.chunks_exact_mut(count).enumerate() {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - reach + 0.5).max(0.0) as usize;
            let last = ((center + reach + 0.5) as usize).min(source);
            let at = |tap: usize| (filter.value)(((first + tap) as f64 - center + 0.5) * (1.0 / stretch));
            let values: Vec<f64> = (0..last - first).map(at).collect();
            let sum: f64 = values.iter().sum();
            let one = f64::from(1 << WEIGHT_BITS);
            for (weight, value) in weights.iter_mut().zip(&values) {
                *weight = (value / sum * one).round() as i32;
            }
            taps.first.push(first);
        }
        taps
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
        return unsafe { resize_avx2(pixels, height, width, filter) };
    }
    resize_anywhere(pixels, height, width, filter)
}

/// The same integer arithmetic, compiled for wider registers; the result is the same bit by bit.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn resize_avx2(pixels: &Pixels, height: usize, width: usize, filter: &Filter) -> Pixels {
    resize_anywhere(pixels, height, width, filter)
}

#[inline(always)]
fn resize_anywhere(pixels: &Pixels, height: usize, width: usize, filter: &Filter) -> Pixels {
    let channels = pixels.channels();
    let mut samples = pixels.samples().to_vec();
    if width != pixels.width() {
        samples = horizontal(&samples, channels, &Taps::new(pixels.width(), width, filter));
    }
    if height != pixels.height() {
        samples = vertical(&samples, width * channels, &Taps::new(pixels.height(), height, filter));
    }
    Pixels::new(height, width, channels, samples).expect("both passes fill the shape they are given")
}

/// `[rows, source, channels] -> [rows, target, channels]`, [`LANES`] rows side by side.
#[inline(always)]
fn horizontal(samples: &[u8], channels: usize, taps: &Taps) -> Vec<u8> {
    let (length, target_length) = (taps.source * channels, taps.first.len() * channels);
    let mut target = vec![0; samples.len() / length * target_length];
    let mut block = vec![[0; LANES]; length];
    for (rows, target) in samples.chunks(length * LANES).zip(target.chunks_mut(target_length * LANES)) {
        for (lane, row) in rows.chunks_exact(length).enumerate() {
            for (column, &sample) in block.iter_mut().zip(row) {
                column[lane] = sample;
            }
        }
        for place in 0..target_length {
            let (index, channel) = (place / channels, place % channels);
            let columns = block[taps.first[index] * channels + channel..].iter().step_by(channels);
            let sums = weighted(columns, taps.weights_of(index));
            for (row, sum) in target.chunks_exact_mut(target_length).zip(sums) {
                row[place] = rounded(sum);
            }
        }
    }
    target
}

#[inline(always)]
fn weighted<'a>(columns: impl Iterator<Item = &'a [u8; LANES]>, weights: &[i32]) -> [i32; LANES] {
    let mut sums = [0; LANES];
    for (column, weight) in columns.zip(weights) {
        for lane in 0..LANES {
            sums[lane] += i32::from(column[lane]) * weight;
        }
    }
    sums
}

/// `[rows, length] -> [target, length]`
#[inline(always)]
fn vertical(samples: &[u8], length: usize, taps: &Taps) -> Vec<u8> {
    let mut target = Vec::with_capacity(taps.first.len() * length);
    let mut sums = vec![0i32; length];
    for (index, &first) in taps.first.iter().enumerate() {
        sums.fill(0);
        let rows = samples[first * length..].chunks_exact(length);
        for (row, &weight) in rows.zip(taps.weights_of(index)) {
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
