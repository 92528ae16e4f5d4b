//! Tests of paired values, such as two methods' AUROCs over the same support draws, and Holm's correction.

use std::collections::BTreeMap;

use super::rank::ranks;

/// Wilcoxon's signed-rank test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRank {
    /// The smaller of the two rank sums.
    pub statistic: f64,
    /// Two-sided, exact: over all signs that the differences could have.
    pub p: f64,
    /// Differences that are not zero.
    pub n: usize,
}

/// Whether paired differences lie around zero; zeros are dropped (Wilcoxon's rule). `None` without any other, or
/// with more than 200, for which the exact distribution is not worth its time.
pub fn signed_rank(differences: &[f64]) -> Option<SignedRank> {
    let kept: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    if kept.is_empty() || kept.len() > 200 || kept.iter().any(|difference| difference.is_nan()) {
        return None;
    }
    let sizes: Vec<f64> = kept.iter().map(|difference| difference.abs()).collect();
    // Doubled, so that the means of ties are whole.
    let ranks: Vec<usize> = ranks(&sizes).iter().map(|rank| (2.0 * rank) as usize).collect();
    let total: usize = ranks.iter().sum();
    let positive: usize =
        ranks.iter().zip(&kept).filter(|(_, difference)| **difference > 0.0).map(|(rank, _)| rank).sum();
    let smaller = positive.min(total - positive);
    // Chance of each sum of ranks, a fair coin deciding each sign.
    let mut chances = vec![0.0; total + 1];
    chances[0] = 1.0;
    let mut reach = 0;
    for rank in &ranks {
        for sum in (0..=reach).rev() {
            let half = chances[sum] / 2.0;
            chances[sum] = half;
            chances[sum + rank] += half;
        }
        reach += rank;
    }
    let tail: f64 = chances[..=smaller].iter().sum();
    Some(SignedRank { statistic: smaller as f64 / 2.0, p: (2.0 * tail).min(1.0), n: kept.len() })
}

/// The smallest p-value that [`signed_rank`] can give of `n` pairs: all of one sign.
pub fn least_p(n: usize) -> f64 {
    (2.0 * 0.5f64.powi(n as i32)).min(1.0)
}

/// Holm's step-down correction: p-values that keep the chance of any false claim among all of them.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least = 0.0f64;
    for (place, &index) in order.iter().enumerate() {
        least = least.max((p_values.len() - place) as f64 * p_values[index]).min(1.0);
        corrected[index] = least;
    }
    corrected
}

/// Mean ranks and Borda points of entrants over tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// 1 is best; ties share the mean of theirs.
    pub mean_rank: f64,
    /// Per task, how many others are beaten, ties counting one half; summed.
    pub borda: f64,
}

/// Standings of entrants over the tasks on which all of them have a value; higher values are better. `None` without
/// such a task.
pub fn standings(values: &[Vec<Option<f64>>]) -> Option<Vec<Standing>> {
    let n_tasks = values.first()?.len();
    let whole: Vec<Vec<f64>> =
        (0..n_tasks).filter_map(|task| values.iter().map(|entrant| entrant[task]).collect()).collect();
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    for task in &whole {
        let from_best: Vec<f64> = task.iter().map(|value| -value).collect();
        for (entrant, rank) in ranks(&from_best).into_iter().enumerate() {
            *sums.entry(entrant).or_default() += rank;
        }
    }
    let (tasks, entrants) = (whole.len() as f64, values.len() as f64);
    (!whole.is_empty()).then(|| {
        sums.values().map(|sum| Standing { mean_rank: sum / tasks, borda: tasks * entrants - sum }).collect()
    })
}
