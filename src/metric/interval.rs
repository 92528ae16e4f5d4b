//! Percentile intervals from a bootstrap over pictures, stratified by class.

use crate::random::Stream;

/// Resamples per interval.
pub const N_RESAMPLES: usize = 1000;

/// The 95 % interval of `metric(normal, anomalous)`; `None` where the metric is undefined.
///
/// Both classes keep their size in every resample. `stream` fixes the draws.
pub fn bootstrap(
    normal: &[f64],
    anomalous: &[f64],
    mut stream: Stream,
    metric: impl Fn(&[f64], &[f64]) -> Option<f64>,
) -> Option<(f64, f64)> {
    metric(normal, anomalous)?;
    let mut resample = |scores: &[f64]| -> Vec<f64> {
        (0..scores.len()).map(|_| scores[stream.below(scores.len())]).collect()
    };
    let mut values: Vec<f64> =
        (0..N_RESAMPLES).filter_map(|_| metric(&resample(normal), &resample(anomalous))).collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    let quantile = |share: f64| values[(share * last).round() as usize];
    Some((quantile(0.025), quantile(0.975)))
}
