//! When enough support draws are scored to tell a method from the best one.

use super::quantile::quantile;
use super::two_level::paired_differences;

/// Numbers of draws after which methods are compared; the last look is at all draws.
const LOOKS: [usize; 4] = [3, 5, 7, 10];

/// Chance that two equal methods are told apart at any look, at most.
const ERROR: f64 = 0.05;

/// The looks at a board of that many draws, the last among them.
pub fn looks(draws: usize) -> Vec<usize> {
    LOOKS.into_iter().filter(|&look| look < draws).chain([draws]).collect()
}

/// Whether the better one of two methods is told from the other at one of `n_looks` looks, from their replicates (see
/// [`super::two_level::replicates`]): zero lies below the central `1 - 0.05 / n_looks` of their differences. The chance of an
/// error is divided among looks (Bonferroni), so that all of them together keep it. `None` without replicates of both.
pub fn is_told_apart(best: &[f64], other: &[f64], n_looks: usize) -> Option<bool> {
    let mut differences = paired_differences(best, other)?;
    differences.sort_unstable_by(f64::total_cmp);
    let low = quantile(&differences, ERROR / n_looks as f64 / 2.0)?;
    Some(low > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_look_at_all_draws() {
        assert_eq!(looks(10), [3, 5, 7, 10]);
        assert_eq!(looks(6), [3, 5, 6]);
        assert_eq!(looks(30), [3, 5, 7, 10, 30]);
        assert_eq!(looks(2), [2]);
    }

    #[test]
    fn more_looks_ask_for_a_larger_difference() {
        // 1 % of the differences are not above zero: inside 95 %, not inside 98.75 %.
        let best: Vec<f64> = (0..2000).map(|i| if i < 20 { 0.0 } else { 0.1 }).collect();
        let other = vec![0.0; 2000];
        assert_eq!(is_told_apart(&best, &other, 1), Some(true));
        assert_eq!(is_told_apart(&best, &other, 4), Some(false));
        assert_eq!(is_told_apart(&other, &best, 1), Some(false));
    }
}
