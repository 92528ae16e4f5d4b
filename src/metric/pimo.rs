//! Per-image overlap at very low false positive rates (PIMO and AUPIMO; Bertoldo et al., arXiv 2401.01984).

use anyhow::Result;

use super::pixel::Maps;

/// False positive rates between which the overlap is averaged, on a logarithmic axis.
pub const RANGE: [f64; 2] = [1e-5, 1e-4];

/// Points of the curve that the range must hold at least.
const FEWEST: usize = 31;

/// Points below which a value is coarse.
pub const COARSE: usize = 300;

/// One value per anomalous picture, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Pimo {
    /// Area under the per-image overlap, 0 to 1.
    pub aupimo: Vec<f64>,
    /// Points of the curve in the range; below [`COARSE`] the values are coarse.
    pub n_points: usize,
}

/// AUPIMO of every picture with a mask. Thresholds are the highest values of pictures without one, all of the same
/// size, so that the mean of their false positive rates is the rate of all their pixels.
///
/// `None` where normal pictures have too few pixels for such low rates.
///
/// # Errors
/// What the maps fail with.
pub fn pimo(maps: &dyn Maps) -> Result<Option<Pimo>> {
    let mut n_normal = 0usize;
    maps.visit(&mut |map, mask| {
        n_normal += if mask.is_none() { map.len() } else { 0 };
        Ok(())
    })?;
    let limit = (RANGE[1] * n_normal as f64).floor() as usize;
    let first = ((RANGE[0] * n_normal as f64).ceil() as usize).max(1);
    if limit < first + FEWEST - 1 {
        return Ok(None);
    }
    // The highest values of normal pictures, one more than the range needs.
    let mut highest: Vec<f32> = Vec::with_capacity(4 * (limit + 1));
    maps.visit(&mut |map, mask| {
        if mask.is_none() {
            highest.extend_from_slice(map);
            keep_highest(&mut highest, limit + 1);
        }
        Ok(())
    })?;
    highest.sort_unstable_by(|a, b| b.total_cmp(a));
    // At the k-th highest value, as many normal pixels reach it as there are up to its last tie.
    let mut points: Vec<(f64, f32)> = Vec::new();
    for (at, &threshold) in highest.iter().enumerate() {
        let count = at + 1;
        let is_last = highest.get(count).is_none_or(|next| *next < threshold);
        if is_last && (first..=limit).contains(&count) {
            points.push(((count as f64 / n_normal as f64).ln(), threshold));
        }
    }
    if points.len() < FEWEST {
        return Ok(None);
    }
    let mut aupimo = Vec::new();
    maps.visit(&mut |map, mask| {
        if let Some(mask) = mask {
            let inside = mask.samples().iter().step_by(mask.channels()).zip(map);
            let mut values: Vec<f32> =
                inside.filter(|(mask, _)| **mask > 0).map(|(_, &value)| value).collect();
            values.sort_unstable_by(|a, b| b.total_cmp(a));
            if !values.is_empty() {
                aupimo.push(area(&points, &values));
            }
        }
        Ok(())
    })?;
    Ok(Some(Pimo { aupimo, n_points: points.len() }))
}

/// Leaves the `n` highest.
fn keep_highest(values: &mut Vec<f32>, n: usize) {
    if values.len() > n {
        values.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
        values.truncate(n);
    }
}

/// The mean overlap over the logarithm of the rate; at the range's ends the nearest point stands for what lies
/// between.
fn area(points: &[(f64, f32)], inside: &[f32]) -> f64 {
    let overlap =
        |threshold: f32| inside.partition_point(|&value| value >= threshold) as f64 / inside.len() as f64;
    let [low, high] = RANGE.map(f64::ln);
    let (mut area, mut before) = (0.0, (low, overlap(points[0].1)));
    for &(rate, threshold) in points {
        let now = overlap(threshold);
        area += (rate - before.0) * (before.1 + now) / 2.0;
        before = (rate, now);
    }
    (area + (high - before.0) * before.1) / (high - low)
}
