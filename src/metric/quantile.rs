//! Quantiles and the median.

/// The value below which a `share` of the sorted ones lies, on a line between neighbours; `None` without any.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    Some(sorted[below] + part * (sorted[(below + 1).min(last)] - sorted[below]))
}

/// The value in the middle, of an even number the mean of two; sorts them. `None` without any.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, 0.5)
}
