//! Aggregators that are not trained: the scores of a study's slices become one number. Higher is more anomalous.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::metric::quantile::quantile;
use crate::metric::rank::ranks;
use crate::words::word;

/// How the scores of a study's slices become one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Aggregator {
    /// The mean over slices.
    Mean,
    /// The highest slice.
    Max,
    /// The mean of the highest share of slices, of one at least.
    TopShare,
    /// The chance that at least one slice is anomalous, if slices were independent and a slice's chance were its place
    /// among all scored slices of the task: `-ln` of the chance that none is, which ranks alike and does not saturate.
    NoisyOr,
    /// `ln(mean(exp(r s))) / r`, between the mean and the maximum; `r` is [`SHARPNESS`] over the standard deviation of
    /// all scored slices of the task.
    LogMeanExp,
    /// The 95th percentile, on a line between neighbours.
    P95,
}

word!(Aggregator, "aggregator");

/// How steep [`Aggregator::LogMeanExp`] is, per standard deviation of slices.
pub const SHARPNESS: f64 = 4.0;

/// Share of slices of [`Aggregator::TopShare`] where none is named.
pub const TOP_SHARE: f64 = 0.25;

impl Aggregator {
    /// What a trained aggregator is compared with.
    pub const TRIVIAL: [Aggregator; 4] =
        [Aggregator::Mean, Aggregator::Max, Aggregator::TopShare, Aggregator::NoisyOr];

    /// One number for each study. `scores` are of all scored slices of a task, `studies` hold the places of their own
    /// slices, of at least one each; `top` is the share of [`Aggregator::TopShare`]. Neither the order of slices nor any
    /// label counts. `None` where a score is not finite or a study is empty.
    pub fn of(self, scores: &[f64], studies: &[Vec<usize>], top: f64) -> Option<Vec<f64>> {
        if scores.iter().any(|score| !score.is_finite()) {
            return None;
        }
        let chances = matches!(self, Aggregator::NoisyOr).then(|| calibrated(scores));
        let values = chances.as_deref().unwrap_or(scores);
        let sharpness = SHARPNESS / deviation(scores);
        let one = |study: &Vec<usize>| {
            let mut own: Vec<f64> = study.iter().map(|&slice| values[slice]).collect();
            own.sort_unstable_by(f64::total_cmp);
            match self {
                Aggregator::Mean => mean(&own),
                Aggregator::Max => own.last().copied(),
                Aggregator::TopShare => highest(&own, top),
                Aggregator::NoisyOr => noisy_or(&own),
                Aggregator::LogMeanExp => log_mean_exp(&own, sharpness),
                Aggregator::P95 => quantile(&own, 0.95),
            }
        };
        studies.iter().map(one).collect()
    }
}

/// Each score's place among all, strictly between 0 and 1: its rank less a half over their number, ties sharing the mean.
pub fn calibrated(scores: &[f64]) -> Vec<f64> {
    ranks(scores).into_iter().map(|rank| (rank - 0.5) / scores.len() as f64).collect()
}

fn mean(sorted: &[f64]) -> Option<f64> {
    (!sorted.is_empty()).then(|| sorted.iter().sum::<f64>() / sorted.len() as f64)
}

/// The mean of the highest `share`, rounded up to whole slices.
fn highest(sorted: &[f64], share: f64) -> Option<f64> {
    let count = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len().max(1));
    mean(&sorted[sorted.len().saturating_sub(count)..])
}

/// `-ln` of the chance that none happens, of chances below 1; `None` without any.
pub fn noisy_or(chances: &[f64]) -> Option<f64> {
    (!chances.is_empty()).then(|| -chances.iter().map(|chance| (-chance).ln_1p()).sum::<f64>())
}

/// `ln(mean(exp(sharpness s))) / sharpness`: the mean where `sharpness` is 0, the maximum where it is infinite. `None`
/// without values.
pub fn log_mean_exp(sorted: &[f64], sharpness: f64) -> Option<f64> {
    let most = *sorted.last()?;
    if sharpness == 0.0 {
        return mean(sorted);
    }
    if sharpness.is_infinite() {
        return Some(most);
    }
    let sum: f64 = sorted.iter().map(|value| (sharpness * (value - most)).exp()).sum();
    Some(most + (sum / sorted.len() as f64).ln() / sharpness)
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 8] = [0.3, -1.0, 2.5, 0.7, 0.7, 4.0, -0.2, 1.1];

    fn one(aggregator: Aggregator, study: &[usize]) -> f64 {
        aggregator.of(&SCORES, &[study.to_vec()], TOP_SHARE).unwrap()[0]
    }

    #[test]
    fn worked_examples() {
        let study = [1, 2, 5, 6];
        assert_eq!(one(Aggregator::Mean, &study), 1.325);
        assert_eq!(one(Aggregator::Max, &study), 4.0);
        assert_eq!(one(Aggregator::TopShare, &study), 4.0, "a quarter of four slices is one");
        let half = Aggregator::TopShare.of(&SCORES, &[study.to_vec()], 0.5).unwrap()[0];
        assert_eq!(half, 3.25);
        // Places 1, 7, 8 and 2 of 8: chances 1/16, 13/16, 15/16 and 3/16.
        let none = (15.0 / 16.0) * (3.0 / 16.0) * (1.0 / 16.0) * (13.0 / 16.0);
        assert!((one(Aggregator::NoisyOr, &study) + f64::ln(none)).abs() < 1e-12);
        // 0.95 of the way from the first of four to the last: 2.85, between 2.5 and 4.
        assert!((one(Aggregator::P95, &study) - (2.5 + 0.85 * 1.5)).abs() < 1e-12);
        let sharpness = SHARPNESS / deviation(&SCORES);
        let direct: f64 = study.iter().map(|&slice| (sharpness * SCORES[slice]).exp()).sum::<f64>() / 4.0;
        assert!((one(Aggregator::LogMeanExp, &study) - direct.ln() / sharpness).abs() < 1e-12);
    }

    #[test]
    fn the_order_of_slices_does_not_count() {
        for aggregator in Aggregator::all() {
            let expected = one(aggregator, &[0, 2, 3, 5, 7]);
            for study in [[7, 5, 3, 2, 0], [3, 0, 7, 2, 5]] {
                assert_eq!(one(aggregator, &study), expected, "{aggregator}");
            }
        }
    }

    #[test]
    fn a_study_of_one_slice_is_that_slice() {
        for aggregator in Aggregator::all() {
            for (slice, score) in SCORES.iter().enumerate() {
                let expected = match aggregator {
                    Aggregator::NoisyOr => -(1.0 - calibrated(&SCORES)[slice]).ln(),
                    _ => *score,
                };
                let found = one(aggregator, &[slice]);
                assert!((found - expected).abs() < 1e-12, "{aggregator}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn slices_that_stand_twice_change_only_what_counts_them() {
        for aggregator in Aggregator::all() {
            let [single, doubled] =
                [one(aggregator, &[1, 2, 5, 6]), one(aggregator, &[1, 1, 2, 2, 5, 5, 6, 6])];
            match aggregator {
                Aggregator::NoisyOr => assert!((doubled - 2.0 * single).abs() < 1e-12),
                // Between neighbours, a line is steeper.
                Aggregator::P95 => assert!(doubled >= single),
                _ => assert!((doubled - single).abs() < 1e-12, "{aggregator}: {doubled} for {single}"),
            }
        }
    }

    #[test]
    fn log_mean_exp_lies_between_the_mean_and_the_maximum() {
        let sorted = [-1.0, -0.2, 2.5, 4.0];
        let at = |sharpness| log_mean_exp(&sorted, sharpness).unwrap();
        assert_eq!([at(0.0), at(f64::INFINITY)], [1.325, 4.0]);
        assert!((at(1e-6) - 1.325).abs() < 1e-5 && (at(1e3) - 4.0).abs() < 1e-2);
        assert!(at(0.5) < at(2.0));
        // Scores without spread, and large ones.
        let flat = Aggregator::LogMeanExp.of(&[7.0; 4], &[vec![0, 1, 2]], TOP_SHARE);
        assert_eq!(flat, Some(vec![7.0]));
        assert!((log_mean_exp(&[1e6, 1e6 + 1.0], 1.0).unwrap() - 1e6).is_finite());
    }

    #[test]
    fn many_slices_near_certainty_are_still_told_apart() {
        let scores: Vec<f64> = (0..1000).map(f64::from).collect();
        let studies = [(0..999).collect(), (1..1000).collect()];
        let found = Aggregator::NoisyOr.of(&scores, &studies, TOP_SHARE).unwrap();
        assert!(found[1] > found[0] && found[1].is_finite());
    }

    #[test]
    fn what_is_undefined_is_none() {
        for aggregator in Aggregator::all() {
            assert_eq!(aggregator.of(&SCORES, &[Vec::new()], TOP_SHARE), None, "{aggregator}");
            assert_eq!(aggregator.of(&[1.0, f64::NAN], &[vec![0]], TOP_SHARE), None, "{aggregator}");
        }
    }
}
