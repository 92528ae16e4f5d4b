//! The 95 % interval of a mean AUROC over support draws and pictures, which also holds near 1 and with few draws.
//!
//! A score interval: it keeps every value from which the measured one is no further than the standard error *at that
//! value* allows. Where all anomalous pictures score above all normal ones the measured
//! variance is 0, but at 0.99 it is not, so the interval has a width (Newcombe, Statistics in Medicine 2006, method 5).
//!
//! The variance at a value has two parts:
//!
//! - *pictures*: Hanley and McNeil's (Radiology 1982) for as many units as there are, times the ratio of the measured
//!   variance of the mean over draws to theirs. A unit is a patient or group where known, else a picture; the measured
//!   variance is DeLong's, summed by unit (Obuchowski, Biometrics 1997). A ratio that rests on few pictures is drawn
//!   towards 1, as if `PRIOR` more pictures had said so.
//! - *draws*: the measured variance of the draws' AUROCs over their number, rescaled as a shift of the logit is.
//!
//! Each part has its own Student's t, and the two reaches are added as squares, so two draws that differ much give a
//! wide interval. One draw says nothing of others: its interval is about that support set. `benchmarks/coverage` simulates
//! how often the interval holds.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::delong::Contributions;
use super::two_level::Sample;

/// Pictures that speak for Hanley and McNeil's variance before any is seen.
const PRIOR: f64 = 4.0;
/// A deviation of draws is rescaled by no more than this: extrapolation from next to 1 knows no bound.
const RESCALED_AT_MOST: f64 = 8.0;
/// Halvings of the interval between 0 and 1, to a precision of 1e-12.
const HALVINGS: usize = 40;

/// The interval of the draws' mean AUROC. `draws` holds each draw's scores, in the sample's order. `None` where an AUROC
/// is undefined or a class comes from fewer than two units.
pub fn interval(sample: &Sample, draws: &[Vec<f64>]) -> Option<(f64, f64)> {
    let measured = Measured::new(sample, draws)?;
    let value = measured.value;
    let low = furthest(value, |distance| measured.reach(value - distance));
    let high = furthest(1.0 - value, |distance| measured.reach(value + distance));
    Some((value - low, value + high))
}

/// The interval of a mean of independent estimates, each with its own interval (value, low, high): the method of
/// variance estimates recovery (Zou and Donner, Statistics in Medicine 2008). `None` without any.
pub fn of_mean(estimates: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    let n = estimates.len() as f64;
    let mean = estimates.iter().map(|(value, ..)| value).sum::<f64>() / n;
    let reach = |side: fn(&(f64, f64, f64)) -> f64| {
        estimates.iter().map(|estimate| side(estimate).powi(2)).sum::<f64>().sqrt() / n
    };
    (!estimates.is_empty())
        .then(|| (mean - reach(|(value, low, _)| value - low), mean + reach(|(value, _, high)| high - value)))
}

/// What draws and pictures say.
struct Measured {
    value: f64,
    n_draws: f64,
    /// Units that hold normal, and that hold anomalous pictures.
    n_normal: f64,
    n_anomalous: f64,
    /// Measured variance from pictures over Hanley and McNeil's.
    ratio: f64,
    /// Of the mean, from draws.
    variance_of_draws: f64,
}

impl Measured {
    fn new(sample: &Sample, draws: &[Vec<f64>]) -> Option<Measured> {
        let is_anomalous = sample.is_anomalous();
        let is_sound = |draw: &Vec<f64>| draw.len() == is_anomalous.len();
        if draws.is_empty() || !draws.iter().all(is_sound) {
            return None;
        }
        let n_draws = draws.len() as f64;
        let mut values = Vec::with_capacity(draws.len());
        // Of each picture, over draws: the share of the other class that it stands on the right side of.
        let mut shares = vec![0.0; is_anomalous.len()];
        for draw in draws {
            let class = |wanted: bool| -> Vec<f64> {
                let pairs = draw.iter().zip(is_anomalous);
                pairs.filter(|(_, is)| **is == wanted).map(|(score, _)| *score).collect()
            };
            let found = Contributions::new(&class(false), &class(true))?;
            values.push(found.auroc);
            let (mut normal, mut anomalous) = found.shares();
            for (share, is) in shares.iter_mut().zip(is_anomalous) {
                *share += if *is { anomalous.next()? } else { normal.next()? } / n_draws;
            }
        }
        let value = values.iter().sum::<f64>() / n_draws;
        let variance_of_draws = match draws.len() {
            1 => 0.0,
            _ => values.iter().map(|each| (each - value).powi(2)).sum::<f64>() / (n_draws - 1.0) / n_draws,
        };
        let Pictures { n_normal, n_anomalous, variance, n_telling } = Pictures::new(sample, &shares, value)?;
        let expected = hanley_mcneil(value, n_normal, n_anomalous);
        let ratio = if expected > 0.0 { variance / expected } else { 1.0 };
        let ratio = (n_telling * ratio + PRIOR) / (n_telling + PRIOR);
        Some(Measured { value, n_draws, n_normal, n_anomalous, ratio, variance_of_draws })
    }

    /// How far from `at` the measured value may be, if `at` is true.
    fn reach(&self, at: f64) -> f64 {
        let of_pictures = self.ratio * hanley_mcneil(at, self.n_normal, self.n_anomalous);
        let spread = |value: f64| value * (1.0 - value);
        let rescaled = (spread(at) / spread(self.value)).min(RESCALED_AT_MOST);
        let of_draws =
            if self.variance_of_draws > 0.0 { self.variance_of_draws * rescaled.powi(2) } else { 0.0 };
        let mut squared = student(self.n_normal.min(self.n_anomalous) - 1.0).powi(2) * of_pictures;
        if self.n_draws > 1.0 {
            squared += student(self.n_draws - 1.0).powi(2) * of_draws;
        }
        squared.sqrt()
    }
}

/// Deviations on either side of the mean that hold 95 % of Student's t.
pub(super) fn student(degrees_of_freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees_of_freedom).expect("degrees of freedom above 0").inverse_cdf(0.975)
}

/// What the pictures say of the mean over draws.
struct Pictures {
    n_normal: f64,
    n_anomalous: f64,
    variance: f64,
    /// Pictures of the class that has fewer of them, which stand on the wrong side of some of the other class.
    n_telling: f64,
}

impl Pictures {
    /// `None` where a class comes from fewer than two units.
    fn new(sample: &Sample, shares: &[f64], value: f64) -> Option<Pictures> {
        let is_anomalous = sample.is_anomalous();
        let count = |class: bool| is_anomalous.iter().filter(|is| **is == class).count() as f64;
        let sizes = [count(false), count(true)];
        // By class: units that hold it, squares of their parts of the value, pictures that tell something.
        let (mut n_units, mut squares, mut telling) = ([0.0f64; 2], [0.0; 2], [0.0f64; 2]);
        let (mut n_all, mut products) = (0.0, 0.0);
        for unit in sample.units() {
            n_all += 1.0;
            let mut parts = [None; 2];
            for &picture in unit {
                let class = usize::from(is_anomalous[picture]);
                *parts[class].get_or_insert(0.0) += (shares[picture] - value) / sizes[class];
                telling[class] += f64::from(u8::from(shares[picture] > 0.0 && shares[picture] < 1.0));
            }
            for class in 0..2 {
                n_units[class] += f64::from(u8::from(parts[class].is_some()));
                squares[class] += parts[class].map_or(0.0, |part| part.powi(2));
            }
            products += parts[0].zip(parts[1]).map_or(0.0, |(a, b)| a * b);
        }
        let unbiased = |n: f64| n / (n - 1.0);
        let variance = unbiased(n_units[0]) * squares[0] + unbiased(n_units[1]) * squares[1];
        let variance = (variance + 2.0 * unbiased(n_all) * products).max(0.0);
        (n_units[0].min(n_units[1]) >= 2.0).then(|| Pictures {
            n_normal: n_units[0],
            n_anomalous: n_units[1],
            variance,
            n_telling: telling[0].min(telling[1]),
        })
    }
}

/// Variance of an AUROC at its true value, with so many pictures of the two classes (Hanley and McNeil 1982, with the
/// mean of both numbers in either place, as Newcombe's method 5).
fn hanley_mcneil(value: f64, n_normal: f64, n_anomalous: f64) -> f64 {
    let others = (n_normal + n_anomalous) / 2.0 - 1.0;
    let shared = (1.0 - value) / (2.0 - value) + value / (1.0 + value);
    value * (1.0 - value) * (1.0 + others * shared) / (n_normal * n_anomalous)
}

/// The greatest distance up to `limit` that is within the reach from there.
fn furthest(limit: f64, reach: impl Fn(f64) -> f64) -> f64 {
    let (mut inside, mut outside) = (0.0, limit);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, outside);
        if middle <= reach(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    f64::midpoint(inside, outside)
}

#[cfg(test)]
mod tests {
    use crate::metric::auroc_interval::{interval, of_mean};
    use crate::metric::two_level::Sample;

    fn sample(n: usize, groups: &[Option<String>]) -> Sample {
        Sample::new((0..2 * n).map(|index| index >= n).collect(), groups)
    }

    fn apart(n: usize) -> Vec<f64> {
        (0..2 * n).map(|index| index as f64).collect()
    }

    #[test]
    fn separated_classes_have_an_interval_below_one() {
        let bounds = |n: usize| interval(&sample(n, &vec![None; 2 * n]), &[apart(n)]).unwrap();
        let (low, high) = bounds(32);
        assert!((0.88..0.96).contains(&low) && high == 1.0, "{low} {high}");
        assert!(bounds(250).0 > low, "more pictures say more");
        let upside_down: Vec<f64> = apart(32).iter().map(|score| -score).collect();
        let (mirrored_low, mirrored_high) = interval(&sample(32, &vec![None; 64]), &[upside_down]).unwrap();
        assert!((mirrored_high - (1.0 - low)).abs() < 1e-9 && mirrored_low == 0.0);
    }

    #[test]
    fn patients_count_and_not_their_pictures() {
        let groups: Vec<Option<String>> = (0..64).map(|index| Some(format!("p{}", index / 8))).collect();
        let by_picture = interval(&sample(32, &vec![None; 64]), &[apart(32)]).unwrap();
        let by_patient = interval(&sample(32, &groups), &[apart(32)]).unwrap();
        assert!(by_patient.0 < by_picture.0, "{by_patient:?} {by_picture:?}");
        let one_patient = vec![Some("p".to_owned()); 64];
        assert_eq!(interval(&sample(32, &one_patient), &[apart(32)]), None);
    }

    #[test]
    fn few_draws_that_differ_give_a_wide_interval() {
        let sample = sample(50, &vec![None; 100]);
        let draw = |shift: f64| -> Vec<f64> {
            (0..100)
                .map(|index| f64::from((index * 37) % 50) + if index < 50 { 0.0 } else { shift })
                .collect()
        };
        let width = |draws: &[Vec<f64>]| interval(&sample, draws).map(|(low, high)| high - low).unwrap();
        let (alike, unlike) = ([draw(20.0), draw(20.0)], [draw(8.0), draw(35.0)]);
        assert!(width(&unlike) > 2.0 * width(&alike));
        let many: Vec<Vec<f64>> =
            (0..10).map(|index| draw(if index % 2 == 0 { 8.0 } else { 35.0 })).collect();
        assert!(width(&many) < width(&unlike));
    }

    #[test]
    fn undefined_scores_have_no_interval() {
        let sample = sample(2, &vec![None; 4]);
        assert_eq!(interval(&sample, &[]), None);
        assert_eq!(interval(&sample, &[vec![0.0; 3]]), None);
        assert_eq!(interval(&sample, &[vec![0.0, f64::NAN, 1.0, 2.0]]), None);
    }

    #[test]
    fn a_mean_of_equal_intervals_is_narrower() {
        assert_eq!(of_mean(&[]), None);
        let (low, high) = of_mean(&[(0.8, 0.7, 0.9); 4]).unwrap();
        assert!((low - 0.75).abs() < 1e-12 && (high - 0.85).abs() < 1e-12);
    }
}
