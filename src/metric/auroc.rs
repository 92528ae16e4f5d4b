//! Area under the ROC curve: the chance that an anomalous picture scores above a normal one.

/// `None` if a class is absent or a score is not a number. A tie counts one half.
///
/// Sorted ranks (Mann and Whitney), exact, in `O(n log n)`.
pub fn auroc(normal: &[f64], anomalous: &[f64]) -> Option<f64> {
    if normal.is_empty() || anomalous.is_empty() || normal.iter().chain(anomalous).any(|score| score.is_nan())
    {
        return None;
    }
    let mut all: Vec<(f64, bool)> = normal.iter().map(|&score| (score, false)).collect();
    all.extend(anomalous.iter().map(|&score| (score, true)));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the number of pairs won, so that halves stay whole.
    let (mut doubled, mut n_below) = (0u64, 0u64);
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let n_anomalous = ties.iter().filter(|(_, is_anomalous)| *is_anomalous).count() as u64;
        let n_normal = ties.len() as u64 - n_anomalous;
        doubled += n_anomalous * (2 * n_below + n_normal);
        n_below += n_normal;
    }
    Some(doubled as f64 / (2 * normal.len() * anomalous.len()) as f64)
}
