//! AUROC between pictures that trivia cannot tell apart: a covariate-adjusted Mann-Whitney statistic (after arXiv
//! 0905.0436; the weights are ours).
//!
//! Each pair of an anomalous picture with a normal one counts by how alike the two are in the chance, as trivia
//! state it, of being anomalous. With `d` the difference of their logits, the weight is Epanechnikov's kernel
//! `1 - (d / h)^2` up to the bandwidth `h`, times `exp(-d / 2)`. The second factor levels what is left within the
//! bandwidth: where logits are true, a pair and the same pair with labels exchanged weigh alike, so a score that
//! sees trivia alone has exactly 0.5. Logits are first rid of how common each class is and then clipped. A score that
//! does not depend on trivia, given the label, keeps its AUROC.
//!
//! Logits are those of a regression that was fitted on the same pictures, as propensities are: it balances what trivia
//! tell between these pictures. Out of fold, a regression on few pictures knows the shortcut only roughly
//! and leaves part of it (`benchmarks/coverage/adjusted.rs` measures what is left).

use rayon::prelude::*;

use super::auroc_interval::student;
use super::two_level::{N_RESAMPLES, Sample, interval};
use crate::random::Stream;

/// Pairs count up to this difference of logits: odds within a factor of e.
pub const BANDWIDTH: f64 = 1.0;
/// Logits beyond count as this, less that of the classes' numbers: a chance of 0.99 if both were equally common. No
/// regression on few pictures knows better.
pub const CLIPPED_AT: f64 = 4.6;
/// Where fewer pairs are effectively kept, nothing can be decided.
pub const LEAST_SHARE: f64 = 0.1;
/// Where fewer pictures of a class are effectively in them, neither.
pub const LEAST_PICTURES: f64 = 10.0;

/// Resamples that are computed at once; divides their number.
const AT_ONCE: usize = 40;
const _: () = assert!(N_RESAMPLES.is_multiple_of(AT_ONCE));

/// The pairs of a test set that count.
pub struct Pairs<'a> {
    sample: &'a Sample,
    kept: Vec<Pair>,
    /// Effectively kept, of all: the square of the sum of weights over the sum of their squares (Kish).
    pub share: f64,
    /// Pictures of the class with fewer that effectively count: of a picture's weight summed over its pairs, as above.
    pub pictures: f64,
}

struct Pair {
    anomalous: usize,
    normal: usize,
    weight: f64,
}

/// An adjusted AUROC, the mean over draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjusted {
    /// 0 to 1.
    pub value: f64,
    /// 95 % over draws and pictures (patients where known); `None` where a class comes from fewer than two
    /// patients, or no replicate differs from another.
    pub interval: Option<(f64, f64)>,
}

impl<'a> Pairs<'a> {
    /// From each picture's logit of being anomalous by trivia, in the sample's order. `None` without a pair that
    /// counts.
    pub fn new(sample: &'a Sample, logits: &[f64]) -> Option<Pairs<'a>> {
        let of = |class: bool| -> Vec<usize> {
            (0..logits.len()).filter(|&picture| sample.is_anomalous()[picture] == class).collect()
        };
        let (normals, anomalous) = (of(false), of(true));
        // Else most pictures of a skewed test set would be clipped to one value and count as alike.
        let by_numbers = (anomalous.len() as f64 / normals.len() as f64).ln();
        let clipped: Vec<f64> =
            logits.iter().map(|logit| (logit - by_numbers).clamp(-CLIPPED_AT, CLIPPED_AT)).collect();
        let mut of_pictures = vec![0.0; logits.len()];
        let mut kept = Vec::new();
        for &anomalous in &anomalous {
            for &normal in &normals {
                let d = clipped[anomalous] - clipped[normal];
                if d.abs() < BANDWIDTH {
                    let weight = (1.0 - (d / BANDWIDTH).powi(2)) * (-d / 2.0).exp();
                    of_pictures[anomalous] += weight;
                    of_pictures[normal] += weight;
                    kept.push(Pair { anomalous, normal, weight });
                }
            }
        }
        let all = (normals.len() * anomalous.len()) as f64;
        let share = effective(kept.iter().map(|pair| pair.weight))? / all;
        let pictures = |class: &[usize]| effective(class.iter().map(|&picture| of_pictures[picture]));
        let pictures = pictures(&normals)?.min(pictures(&anomalous)?);
        Some(Pairs { sample, kept, share, pictures })
    }

    /// Whether enough pairs are kept, of enough pictures.
    pub fn decide(&self) -> bool {
        self.share >= LEAST_SHARE && self.pictures >= LEAST_PICTURES
    }

    /// Of each draw's scores, in the sample's order. `None` where the pairs do not decide, without draws, or where
    /// a score is no number.
    ///
    /// The interval has two parts, whose reaches are added as squares, as [`super::auroc_interval`] does: pictures are
    /// resampled as units for the mean over draws, and draws have Student's t.
    pub fn adjusted(&self, draws: &[Vec<f64>], purpose: &str) -> Option<Adjusted> {
        let n = self.sample.is_anomalous().len();
        let is_sound = |scores: &Vec<f64>| scores.len() == n && scores.iter().all(|score| !score.is_nan());
        if !self.decide() || draws.is_empty() || !draws.iter().all(is_sound) {
            return None;
        }
        let values: Vec<f64> = draws.iter().map(|scores| self.value(scores)).collect::<Option<_>>()?;
        let value = values.iter().sum::<f64>() / values.len() as f64;
        let mut won = vec![0.0; self.kept.len()];
        for scores in draws {
            let shares = self.won(scores);
            won.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share / draws.len() as f64);
        }
        let replicates = self.sample.varies().then(|| self.replicates(&won, purpose)).flatten();
        // Replicates that do not differ, as of a score that ties throughout, say nothing of errors.
        let found = replicates.as_deref().and_then(interval).filter(|(low, high)| low < high);
        let of_draws = reach(&values);
        let both = |end: f64| (end - value).hypot(of_draws);
        let interval = found.map(|(low, high)| ((value - both(low)).max(0.0), (value + both(high)).min(1.0)));
        Some(Adjusted { value, interval })
    }

    /// Of resampled pictures; `won` is of each pair, the mean over draws. `None` where a resample has no pair that counts.
    fn replicates(&self, won: &[f64], purpose: &str) -> Option<Vec<f64>> {
        let block = |block: usize| -> Option<Vec<f64>> {
            let indices = block * AT_ONCE..(block + 1) * AT_ONCE;
            let mut streams: Vec<Stream> =
                indices.map(|index| Stream::new(0, purpose, index as u64)).collect();
            let means = self.means(won, &mut streams);
            means.into_iter().map(|mean| mean.is_finite().then_some(mean)).collect()
        };
        let blocks: Option<Vec<Vec<f64>>> = (0..N_RESAMPLES / AT_ONCE).into_par_iter().map(block).collect();
        blocks.map(|blocks| blocks.concat())
    }

    /// The weighted mean over pairs of pictures that count as often as each stream draws them; NaN without any.
    ///
    /// Pairs are walked through once for all streams, whose numbers stand beside each other.
    fn means(&self, won: &[f64], streams: &mut [Stream]) -> [f64; AT_ONCE] {
        let mut counts = vec![[0.0; AT_ONCE]; self.sample.is_anomalous().len()];
        for (at, stream) in streams.iter_mut().enumerate() {
            for (counts, drawn) in counts.iter_mut().zip(self.sample.draw(stream)) {
                counts[at] = f64::from(drawn);
            }
        }
        let (mut sums, mut weights) = ([0.0; AT_ONCE], [0.0; AT_ONCE]);
        let mut won = won.iter();
        for of_one in self.kept.chunk_by(|a, b| a.anomalous == b.anomalous) {
            let (mut sum, mut weight) = ([0.0; AT_ONCE], [0.0; AT_ONCE]);
            for (pair, won) in of_one.iter().zip(won.by_ref()) {
                let product = pair.weight * won;
                for (at, count) in counts[pair.normal].iter().enumerate() {
                    sum[at] += product * count;
                    weight[at] += pair.weight * count;
                }
            }
            for (at, count) in counts[of_one[0].anomalous].iter().enumerate() {
                sums[at] += sum[at] * count;
                weights[at] += weight[at] * count;
            }
        }
        std::array::from_fn(|at| sums[at] / weights[at])
    }

    /// Of one draw's scores, in the sample's order, whether or not the pairs decide; `None` without a weight.
    pub fn value(&self, scores: &[f64]) -> Option<f64> {
        let won = self.won(scores);
        let weights: f64 = self.kept.iter().map(|pair| pair.weight).sum();
        let sum: f64 = self.kept.iter().zip(won).map(|(pair, won)| pair.weight * won).sum();
        (weights > 0.0).then(|| sum / weights)
    }

    /// Of each pair: 1 where the anomalous picture scores higher, one half for a tie.
    fn won(&self, scores: &[f64]) -> Vec<f64> {
        let won = |pair: &Pair| match scores[pair.anomalous].total_cmp(&scores[pair.normal]) {
            _ if scores[pair.anomalous] == scores[pair.normal] => 0.5,
            order => f64::from(u8::from(order.is_gt())),
        };
        self.kept.iter().map(won).collect()
    }
}

/// How far the mean of so many draws may be from that of all draws that there could be; 0 of one, which says nothing of others.
fn reach(draws: &[f64]) -> f64 {
    let n = draws.len() as f64;
    if draws.len() < 2 {
        return 0.0;
    }
    let mean = draws.iter().sum::<f64>() / n;
    let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / (n - 1.0);
    student(n - 1.0) * (variance / n).sqrt()
}

/// The square of the sum of weights over the sum of their squares (Kish); `None` where all are zero.
fn effective(weights: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, squares) = weights.fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    (squares > 0.0).then(|| sum * sum / squares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::logistic::in_sample;

    /// 150 normal and 150 anomalous pictures.
    fn made(shortcut: f64, seed: u64) -> (Sample, Vec<f64>, Vec<f64>, Vec<f64>) {
        made_of(halves(300), shortcut, seed)
    }

    fn halves(pictures: usize) -> Vec<bool> {
        (0..pictures).map(|index| index % 2 == 1).collect()
    }

    /// Pictures with one trivial number, which is `shortcut` higher where they are anomalous, and what a method sees
    /// of the disease. Twelve further numbers, two of which follow the first, tell no more. Logits are as a report has them.
    fn made_of(classes: Vec<bool>, shortcut: f64, seed: u64) -> (Sample, Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut stream = Stream::new(seed, "adjusted", 0);
        let n = classes.len();
        let mut drawn = |shift: f64| -> Vec<f64> {
            classes.iter().map(|&class| stream.normal() + if class { shift } else { 0.0 }).collect()
        };
        // Phi(1.2 / sqrt 2) = 0.802.
        let (trivia, disease) = (drawn(shortcut), drawn(1.2));
        let sample = Sample::new(classes, &vec![None; n]);
        let mut row = |&number: &f64| -> Vec<f64> {
            let further = (0..12).map(|at| stream.normal() * 0.5 + if at < 2 { number } else { 0.0 });
            std::iter::once(number).chain(further).collect()
        };
        let numbers: Vec<Vec<f64>> = trivia.iter().map(&mut row).collect();
        let logits = in_sample(&numbers, sample.is_anomalous()).expect("both classes");
        (sample, logits, trivia, disease)
    }

    /// Mean adjusted AUROC over those of 40 trials that are decided, and the share of their intervals that hold
    /// `truth`, at a shift of the shortcut by 1.2.
    fn over_trials(pictures: usize, truth: f64, score: impl Fn(&[f64], &[f64]) -> Vec<f64>) -> (f64, f64) {
        let trial = |seed: u64| {
            let (sample, logits, trivia, disease) = made_of(halves(pictures), 1.2, seed);
            let found = Pairs::new(&sample, &logits)?.adjusted(&[score(&trivia, &disease)], "test")?;
            let (low, high) = found.interval.expect("many pictures");
            Some((found.value, f64::from(u8::from(low <= truth && truth <= high))))
        };
        let all: Vec<(f64, f64)> = (0..40).filter_map(trial).collect();
        assert!(all.len() >= 35, "{}", all.len());
        let mean = |of: fn(&(f64, f64)) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        (mean(|one| one.0), mean(|one| one.1))
    }

    #[test]
    fn a_score_that_sees_the_shortcut_alone_comes_out_at_a_half() {
        // Its plain AUROC is 0.802.
        for pictures in [100, 300] {
            let (mean, holding) = over_trials(pictures, 0.5, |trivia, _| trivia.to_vec());
            assert!((mean - 0.5).abs() < 0.015 && holding >= 0.85, "{pictures} {mean} {holding}");
        }
    }

    #[test]
    fn a_score_that_sees_the_disease_alone_keeps_its_value() {
        for pictures in [100, 300] {
            let (mean, holding) = over_trials(pictures, 0.802, |_, disease| disease.to_vec());
            assert!((mean - 0.802).abs() < 0.02 && holding >= 0.85, "{pictures} {mean} {holding}");
        }
    }

    /// Of ten test sets of 60 normal and 2000 anomalous pictures, the adjusted AUROCs that are decided, of a score that
    /// sees the shortcut alone.
    fn skewed(shortcut: f64) -> Vec<f64> {
        let one = |seed: u64| {
            let (sample, logits, trivia, _) =
                made_of((0..2060).map(|index| index >= 60).collect(), shortcut, seed);
            Pairs::new(&sample, &logits)?.adjusted(&[trivia], "test").map(|found| found.value)
        };
        (0..10).filter_map(one).collect()
    }

    #[test]
    fn a_shortcut_of_a_skewed_test_set_comes_out_at_a_half_or_is_undecided() {
        let moderate = skewed(1.2);
        let mean = moderate.iter().sum::<f64>() / moderate.len() as f64;
        assert!(moderate.len() >= 8 && (mean - 0.5).abs() < 0.03, "{moderate:?}");
        let strong = skewed(2.0);
        assert!(strong.iter().all(|value| (value - 0.5).abs() < 0.05), "{strong:?}");
    }

    #[test]
    fn a_few_pictures_that_bear_all_pairs_decide_nothing() {
        // 5 of 100 normal pictures look like the anomalous ones, the others like none.
        let sample = Sample::new((0..200).map(|index| index >= 100).collect(), &vec![None; 200]);
        let of = |alike: usize| -> Vec<f64> {
            (0..200).map(|index| if index < alike || index >= 100 { 1.0 } else { -4.0 }).collect()
        };
        let few = Pairs::new(&sample, &of(5)).expect("pairs");
        assert!((few.pictures - 5.0).abs() < 1e-9 && !few.decide());
        let some = Pairs::new(&sample, &of(12)).expect("pairs");
        assert!((some.pictures - 12.0).abs() < 1e-9 && some.share > LEAST_SHARE && some.decide());
    }

    #[test]
    fn without_a_shortcut_most_pairs_count_and_with_a_strong_one_nothing_is_decided() {
        let (sample, logits, _, disease) = made(0.0, 1);
        let pairs = Pairs::new(&sample, &logits).expect("pairs");
        assert!(pairs.share > 0.7, "{}", pairs.share);
        let (sample, logits, ..) = made(6.0, 1);
        let few = Pairs::new(&sample, &logits);
        assert!(few.as_ref().is_none_or(|few| few.share < LEAST_SHARE));
        assert_eq!(few.and_then(|few| few.adjusted(&[disease], "test")), None);
    }

    #[test]
    fn means_of_resamples_are_weighted_means_over_the_pairs_that_they_hold() {
        let (sample, logits, _, disease) = made_of(halves(60), 0.5, 3);
        let pairs = Pairs::new(&sample, &logits).expect("pairs");
        let won = pairs.won(&disease);
        let streams = || (0..AT_ONCE).map(|index| Stream::new(0, "test", index as u64)).collect::<Vec<_>>();
        let means = pairs.means(&won, &mut streams());
        for (mut stream, mean) in streams().into_iter().zip(means) {
            let counts = sample.draw(&mut stream);
            let (mut sum, mut weights) = (0.0, 0.0);
            for (pair, won) in pairs.kept.iter().zip(&won) {
                let weight = pair.weight * f64::from(counts[pair.anomalous] * counts[pair.normal]);
                (sum, weights) = (sum + weight * won, weights + weight);
            }
            assert!((mean - sum / weights).abs() < 1e-12, "{mean} is not {}", sum / weights);
        }
    }

    #[test]
    fn draws_have_students_t() {
        // 12.706 is its quantile of 0.975 with one degree of freedom; the mean of these two is 0.1 uncertain.
        assert!((reach(&[0.6, 0.8]) - 1.2706).abs() < 1e-4);
        assert_eq!((reach(&[0.7]), reach(&[0.7, 0.7])), (0.0, 0.0));
    }

    #[test]
    fn draws_that_differ_widen_the_interval_and_one_patient_has_none() {
        let (sample, logits, trivia, disease) = made(0.5, 2);
        let pairs = Pairs::new(&sample, &logits).expect("pairs");
        let width = |draws: &[Vec<f64>]| {
            let (low, high) = pairs.adjusted(draws, "test").expect("pairs").interval.expect("pictures");
            high - low
        };
        assert!(width(&[disease.clone(), trivia]) > 1.5 * width(&[disease.clone(), disease.clone()]));
        let one = Sample::new(sample.is_anomalous().to_vec(), &vec![Some("p".to_owned()); 300]);
        let found = Pairs::new(&one, &logits).expect("pairs").adjusted(&[disease], "test").expect("defined");
        assert_eq!(found.interval, None);
        let ties = pairs.adjusted(&[vec![1.0; 300]], "test").expect("defined");
        assert_eq!(ties, Adjusted { value: 0.5, interval: None });
    }
}
