//! What a comparison could have shown: the smallest true difference that its pictures and draws would have told
//! from zero.
//!
//! By simulation from the scores themselves: the replicates of a difference, resampled over draws and pictures
//! (patients where known) for both scores alike, are so many trials, each as far off the measured difference as a
//! trial is off the true one. So they hold how the two scores go together on the same pictures. A trial of a true
//! difference `d` measures `d` and its error, and shows a difference where its 95 % interval, as wide as the
//! measured one, leaves out zero.

use super::quantile::quantile;

/// The share of trials that must show the difference.
pub const POWER: f64 = 0.8;

/// Halvings of the range of differences.
const HALVINGS: usize = 40;

/// The smallest difference that a share of [`POWER`] of the trials would show; of both directions the larger.
/// `means` are the two AUROCs that were measured. The other row would lie by that difference below the higher, where
/// its errors are others: a row's variance goes as `a (1 - a)`, and the difference's as the sum of both. Next to 1 this
/// is too large for most scores, and so is the difference that is found.
///
/// `None` without replicates, where these do not differ, where both AUROCs are next to 1, as nothing is known of
/// errors elsewhere, or where even an AUROC of 0 would not show.
pub fn smallest_difference(replicates: &[f64], means: [f64; 2]) -> Option<f64> {
    let mean = replicates.iter().sum::<f64>() / replicates.len() as f64;
    let mut errors: Vec<f64> = replicates.iter().map(|replicate| replicate - mean).collect();
    errors.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| quantile(&errors, share);
    // Above zero: the error less what the interval reaches down must stay above -d in all but a fifth of the trials.
    let above = -(at(0.025)? + at(1.0 - POWER)?);
    let below = at(0.975)? + at(POWER)?;
    let needed = above.max(below);
    let higher = means[0].max(means[1]);
    let variance = |auroc: f64| (auroc * (1.0 - auroc)).max(0.0);
    let measured = variance(means[0]) + variance(means[1]);
    if needed < 1e-9 || measured < 1e-6 {
        return None;
    }
    let is_shown = |d: f64| d >= needed * ((variance(higher) + variance(higher - d)) / measured).sqrt();
    let (mut unseen, mut shown) = (0.0, higher);
    if !is_shown(shown) {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(unseen, shown);
        if is_shown(middle) { shown = middle } else { unseen = middle }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::smallest_difference;
    use crate::metric::two_level::{Sample, interval, replicates};
    use crate::random::Stream;

    /// Scores of 100 normal and 100 anomalous pictures, half of whose noise is the picture's own and so in both.
    fn trial(stream: &mut Stream, shifts: [f64; 2]) -> [Vec<f64>; 2] {
        let own: Vec<f64> = (0..200).map(|_| stream.normal()).collect();
        shifts.map(|shift| {
            let mut noise = |index: usize| (own[index] + stream.normal()) / 2f64.sqrt();
            (0..200).map(|index| noise(index) + if index < 100 { 0.0 } else { shift }).collect()
        })
    }

    fn differences(scores: &[Vec<f64>; 2]) -> Vec<f64> {
        let sample = Sample::new((0..200).map(|index| index >= 100).collect(), &vec![None; 200]);
        let of = |side: usize| replicates(&sample, &scores[side..=side], "power").expect("two classes");
        of(0).into_iter().zip(of(1)).map(|(a, b)| a - b).collect()
    }

    /// AUROC of two normals of deviation 1 that are `shift` apart: Phi(shift / sqrt 2).
    fn auroc(shift: f64) -> f64 {
        0.5 * libm::erfc(-shift / 2.0)
    }

    fn shift(of: f64) -> f64 {
        let (mut low, mut high) = (-6.0, 6.0);
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if auroc(middle) > of { high = middle } else { low = middle }
        }
        low
    }

    /// Mean over 20 trials of two such AUROCs.
    fn planned(stream: &mut Stream, aurocs: [f64; 2]) -> f64 {
        let one = |_| smallest_difference(&differences(&trial(stream, aurocs.map(shift))), aurocs);
        (0..20).map(one).map(|found| found.expect("they differ")).sum::<f64>() / 20.0
    }

    /// Of so many trials, those that show that the second is lower.
    fn shown(stream: &mut Stream, n: usize, aurocs: [f64; 2]) -> usize {
        let mut shows = |_: &usize| {
            let found = interval(&differences(&trial(stream, aurocs.map(shift))));
            found.is_some_and(|(low, _)| low > 0.0)
        };
        (0..n).filter(|index| shows(index)).count()
    }

    #[test]
    fn four_of_five_trials_show_a_difference_of_that_size() {
        let mut stream = Stream::new(1, "power", 0);
        let planned = planned(&mut stream, [0.76, 0.76]);
        assert!((0.06..0.12).contains(&planned), "{planned}");
        let shown = shown(&mut stream, 200, [0.76, 0.76 - planned]);
        println!("0.76 and {planned:.3} less: {shown} of 200 trials");
        assert!((140..=180).contains(&shown), "{shown} of 200 trials");
    }

    #[test]
    fn a_lower_row_that_was_measured_says_how_a_row_close_to_the_higher_would_err() {
        let mut stream = Stream::new(2, "power", 0);
        let planned = planned(&mut stream, [0.98, 0.60]);
        // The lower one's errors, counted as if the higher had them, would ask for 0.20.
        assert!((0.03..0.09).contains(&planned), "{planned}");
        let shown = shown(&mut stream, 100, [0.98, 0.98 - planned]);
        println!("0.98 and {planned:.3} less: {shown} of 100 trials");
        // Next to 1 errors are smaller than `a (1 - a)` has them: it errs towards too large a difference.
        assert!(shown >= 75, "{shown} of 100 trials");
    }

    #[test]
    fn replicates_that_do_not_differ_say_nothing() {
        assert_eq!(smallest_difference(&[], [0.8, 0.8]), None);
        assert_eq!(smallest_difference(&[0.1; 50], [0.8, 0.8]), None);
        let replicates: Vec<f64> = (0..100).map(|index| 0.0001 * f64::from(index)).collect();
        assert!(smallest_difference(&replicates, [0.8, 0.8]).is_some());
        assert_eq!(
            smallest_difference(&replicates, [1.0, 1.0]),
            None,
            "errors at 1 say nothing of errors below"
        );
        let wide: Vec<f64> = (0..100).map(|index| 0.02 * f64::from(index)).collect();
        assert_eq!(smallest_difference(&wide, [0.6, 0.6]), None, "not even 0.6 against 0 would show");
    }
}
