//! Anomaly maps in memory and on disk, and Gaussian smoothing as scipy does it.

use std::path::Path;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};

use crate::files;

/// `count` maps of `height x width`, row-major, higher is more anomalous.
///
/// ```
/// use medfsad::maps::MapStack;
///
/// let mut values = vec![0.0; 2 * 9 * 9];
/// values[4 * 9 + 4] = 1.0;
/// let maps = MapStack::new(2, 9, 9, values)?;
/// let smoothed = maps.smoothed(1.0);
/// assert!(smoothed.map(0)[4 * 9 + 4] < 1.0 && smoothed.map(0)[4 * 9 + 5] > 0.0);
/// assert_eq!(smoothed.map(1), maps.map(1));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MapStack {
    count: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl MapStack {
    /// # Errors
    /// A length that does not fit the shape.
    pub fn new(count: usize, height: usize, width: usize, values: Vec<f32>) -> Result<MapStack> {
        ensure!(
            values.len() == count * height * width,
            "{} values do not fill {count} maps of {height} x {width}",
            values.len()
        );
        Ok(MapStack { count, height, width, values })
    }

    /// How many maps.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows of each.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of each.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All values, map after map.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// One map.
    pub fn map(&self, index: usize) -> &[f32] {
        let area = self.height * self.width;
        &self.values[index * area..(index + 1) * area]
    }

    /// The maps of those places, in their order.
    pub fn at(&self, places: &[usize]) -> MapStack {
        let values = places.iter().flat_map(|&place| self.map(place)).copied().collect();
        MapStack { count: places.len(), values, ..*self }
    }

    /// Means of two by two pixels; `None` where a side is odd.
    pub fn halved(&self) -> Option<MapStack> {
        let (height, width) = (self.height / 2, self.width / 2);
        if height * 2 != self.height || width * 2 != self.width {
            return None;
        }
        let mut values = Vec::with_capacity(self.count * height * width);
        for map in self.values.chunks_exact((self.height * self.width).max(1)) {
            for rows in map.chunks_exact(2 * self.width) {
                let (upper, lower) = rows.split_at(self.width);
                let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                values.extend(pairs.map(|(a, b)| (a[0] + a[1] + b[0] + b[1]) / 4.0));
            }
        }
        Some(MapStack { count: self.count, height, width, values })
    }

    /// Each map smoothed by itself, `sigma` in pixels.
    pub fn smoothed(&self, sigma: f64) -> MapStack {
        let kernel = gaussian(sigma);
        let (height, width) = (self.height, self.width);
        let mut values = vec![0.0; self.values.len()];
        let area = height * width;
        values.par_chunks_mut(area).zip(self.values.par_chunks(area)).for_each(|(out, map)| {
            let rows = along(map, height, width, &kernel);
            out.copy_from_slice(&along_last(&rows, width, &kernel));
        });
        MapStack { values, ..*self }
    }

    /// The stack smoothed over all three axes, so that neighbouring maps leak into each other.
    /// This is what the published evaluation does to batches of 16; see `protocol`.
    pub fn smoothed_across(&self, sigma: f64) -> MapStack {
        let area = self.height * self.width;
        let values = along(&self.values, self.count, area, &gaussian(sigma));
        MapStack { values, ..*self }.smoothed(sigma)
    }
}

/// Writes single maps to one safetensors file, each `[height, width]` of f32 under its name.
///
/// # Errors
/// If the file cannot be written.
pub fn write<'a>(path: &Path, maps: impl IntoIterator<Item = (&'a str, &'a MapStack)>) -> Result<()> {
    let maps: Vec<(&str, Vec<usize>, Vec<u8>)> = maps
        .into_iter()
        .map(|(name, map)| {
            let bytes = map.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, vec![map.height, map.width], bytes)
        })
        .collect();
    let mut views = Vec::with_capacity(maps.len());
    for (name, shape, bytes) in &maps {
        views.push((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?));
    }
    files::write_whole(path, &safetensors::serialize(views, None)?)
}

/// One-sided weights of a normalised Gaussian cut at four deviations: index 0 is the centre.
pub fn gaussian(sigma: f64) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as usize;
    let weight = |x: usize| (-0.5 * (x as f64 / sigma).powi(2)).exp();
    let total = weight(0) + 2.0 * (1..=radius).map(weight).sum::<f64>();
    (0..=radius).map(|x| weight(x) / total).collect()
}

/// What smooths `n` values along an axis, as a matrix that multiplies them: `n` rows of `n` weights, borders mirrored.
pub fn smoothing_matrix(sigma: f64, n: usize) -> Vec<Vec<f64>> {
    let kernel = gaussian(sigma);
    let radius = kernel.len() as isize - 1;
    let row = |out: usize| {
        let mut weights = vec![0.0; n];
        for offset in -radius..=radius {
            weights[mirrored(out as isize + offset, n)] += kernel[offset.unsigned_abs()];
        }
        weights
    };
    (0..n).map(row).collect()
}

/// Half-sample symmetric border: ... c b a | a b c ...
fn mirrored(index: isize, n: usize) -> usize {
    let folded = index.rem_euclid(2 * n as isize) as usize;
    if folded < n { folded } else { 2 * n - 1 - folded }
}

/// Filters `[n, inner]` along the first axis.
fn along(values: &[f32], n: usize, inner: usize, kernel: &[f64]) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    let mut sums = vec![0.0f64; inner];
    for index in 0..n {
        sums.fill(0.0);
        for offset in -(kernel.len() as isize - 1)..kernel.len() as isize {
            let from = mirrored(index as isize + offset, n) * inner;
            let weight = kernel[offset.unsigned_abs()];
            for (sum, &value) in sums.iter_mut().zip(&values[from..from + inner]) {
                *sum += weight * f64::from(value);
            }
        }
        out.extend(sums.iter().map(|&sum| sum as f32));
    }
    out
}

/// Filters rows of `width` values along themselves.
fn along_last(values: &[f32], width: usize, kernel: &[f64]) -> Vec<f32> {
    let radius = kernel.len() - 1;
    let border: Vec<usize> =
        (0..width + 2 * radius).map(|i| mirrored(i as isize - radius as isize, width)).collect();
    let mut padded = vec![0.0f64; border.len()];
    let mut out = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        for (value, &from) in padded.iter_mut().zip(&border) {
            *value = f64::from(row[from]);
        }
        let taps = |centre: usize| -> f64 {
            let sides: f64 =
                (1..=radius).map(|x| kernel[x] * (padded[centre - x] + padded[centre + x])).sum();
            kernel[0] * padded[centre] + sides
        };
        out.extend((radius..radius + width).map(|centre| taps(centre) as f32));
    }
    out
}
