//! Intervals over support draws and pictures together: both are resampled, and where patients are known, patients
//! instead of pictures.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::quantile::quantile;
use crate::random::Stream;

/// Resamples per interval.
pub const N_RESAMPLES: usize = 2000;

/// The pictures of a test set, in an order that all scores share.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    is_anomalous: Vec<bool>,
    /// Units that are drawn together, by the classes that they hold, so that every resample has as many of each.
    strata: Vec<Vec<Vec<usize>>>,
}

impl Sample {
    /// From each picture's class and its patient or group; a picture without one is a unit of its own.
    pub fn new(is_anomalous: Vec<bool>, groups: &[Option<String>]) -> Sample {
        // In order of their first pictures: names of groups are pseudonyms, and no key may move an interval.
        let mut units: Vec<Vec<usize>> = Vec::new();
        let mut of_group: HashMap<&str, usize> = HashMap::new();
        for (picture, group) in groups.iter().enumerate() {
            let next = units.len();
            let unit = group.as_deref().map_or(next, |group| *of_group.entry(group).or_insert(next));
            if unit == next {
                units.push(Vec::new());
            }
            units[unit].push(picture);
        }
        let mut strata: BTreeMap<[bool; 2], Vec<Vec<usize>>> = BTreeMap::new();
        for unit in units {
            let has = |class: bool| unit.iter().any(|&picture| is_anomalous[picture] == class);
            strata.entry([has(false), has(true)]).or_default().push(unit);
        }
        Sample { is_anomalous, strata: strata.into_values().collect() }
    }

    /// Each picture's class.
    pub fn is_anomalous(&self) -> &[bool] {
        &self.is_anomalous
    }

    /// Divides the pictures into `n` folds: which one each is in. Units stay whole, and every fold has as many of each
    /// class as can be. `None` where a class comes from fewer than `n` units.
    pub fn folds(&self, n: usize, purpose: &str) -> Option<Vec<usize>> {
        if self.n_units(false).min(self.n_units(true)) < n {
            return None;
        }
        let has =
            |unit: &[usize], class: bool| unit.iter().any(|&picture| self.is_anomalous[picture] == class);
        let mut strata: Vec<&Vec<Vec<usize>>> = self.strata.iter().collect();
        // Units of both classes come between those of one, so that each class's units follow each other without a gap.
        strata.sort_by_key(|units| (has(&units[0], false), !has(&units[0], true)));
        let mut stream = Stream::new(0, purpose, 0);
        let mut order: Vec<&Vec<usize>> = Vec::new();
        for units in strata {
            let mut shuffled: Vec<&Vec<usize>> = units.iter().collect();
            stream.shuffle(&mut shuffled);
            order.extend(shuffled);
        }
        let mut folds = vec![0; self.is_anomalous.len()];
        for (place, unit) in order.into_iter().enumerate() {
            unit.iter().for_each(|&picture| folds[picture] = place % n);
        }
        Some(folds)
    }

    /// Units that hold pictures of a class.
    fn n_units(&self, class: bool) -> usize {
        let units = self.strata.iter().flatten();
        units.filter(|unit| unit.iter().any(|&picture| self.is_anomalous[picture] == class)).count()
    }

    /// Pictures that belong together: a patient's, a group's, or one alone.
    pub(super) fn units(&self) -> impl Iterator<Item = &[usize]> {
        self.strata.iter().flatten().map(Vec::as_slice)
    }

    /// Whether both classes come from at least two units: one patient says nothing of how patients differ.
    pub(super) fn varies(&self) -> bool {
        self.n_units(false) >= 2 && self.n_units(true) >= 2
    }

    /// How often each picture is drawn.
    pub(super) fn draw(&self, stream: &mut Stream) -> Vec<u32> {
        let mut counts = vec![0; self.is_anomalous.len()];
        for units in &self.strata {
            for _ in 0..units.len() {
                for &picture in &units[stream.below(units.len())] {
                    counts[picture] += 1;
                }
            }
        }
        counts
    }

    /// AUROC of pictures that count as often as they were drawn.
    fn auroc(&self, ranked: &Ranked, counts: &[u32]) -> Option<f64> {
        let (mut doubled, mut n_above, mut n_normal) = (0u64, 0u64, 0u64);
        let (mut anomalous, mut normal) = (0u64, 0u64);
        for &(picture, is_last_tie) in &ranked.0 {
            let count = u64::from(counts[picture as usize]);
            if self.is_anomalous[picture as usize] {
                anomalous += count;
            } else {
                normal += count;
            }
            if is_last_tie {
                doubled += normal * (2 * n_above + anomalous);
                n_above += anomalous;
                n_normal += normal;
                (anomalous, normal) = (0, 0);
            }
        }
        let pairs = n_above * n_normal;
        (pairs > 0).then(|| doubled as f64 / (2 * pairs) as f64)
    }

    /// Average precision of pictures that count as often as they were drawn, as
    /// [`Ranking::average_precision`](super::ranking::Ranking::average_precision).
    fn average_precision(&self, ranked: &Ranked, counts: &[u32]) -> Option<f64> {
        let class = |wanted: bool| -> u64 {
            let pairs = self.is_anomalous.iter().zip(counts);
            pairs.filter(|(is, _)| **is == wanted).map(|(_, &count)| u64::from(count)).sum()
        };
        let (n_normal, n_anomalous) = (class(false), class(true));
        if n_normal == 0 || n_anomalous == 0 {
            return None;
        }
        let (mut found, mut hits, mut hits_before, mut area) = (0u64, 0u64, 0u64, 0.0);
        for &(picture, is_last_tie) in &ranked.0 {
            let count = u64::from(counts[picture as usize]);
            found += count;
            hits += if self.is_anomalous[picture as usize] { count } else { 0 };
            if is_last_tie && hits > hits_before {
                area += hits as f64 / found as f64 * ((hits - hits_before) as f64 / n_anomalous as f64);
                hits_before = hits;
            }
        }
        Some(area)
    }
}

/// Pictures by falling score, each with whether the next one's is lower.
struct Ranked(Vec<(u32, bool)>);

impl Ranked {
    fn new(scores: &[f64]) -> Ranked {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let is_last =
            |place: usize| order.get(place + 1).is_none_or(|&next| scores[next] < scores[order[place]]);
        Ranked(order.iter().enumerate().map(|(place, &picture)| (picture as u32, is_last(place))).collect())
    }
}

/// Resampled means over draws of AUROC, one for each resample; `None` if a draw's AUROC is undefined, or all pictures
/// of a class are one patient's.
///
/// `draws` holds each draw's scores, in the sample's order. Resamples follow from `purpose`, the pictures and the
/// number of draws alone, so two methods that were scored on the same draws and pictures are resampled alike, and
/// their replicates can be subtracted.
pub fn replicates(sample: &Sample, draws: &[Vec<f64>], purpose: &str) -> Option<Vec<f64>> {
    resampled(sample, draws, purpose, Sample::auroc)
}

/// As [`replicates`], of average precision.
pub fn precision_replicates(sample: &Sample, draws: &[Vec<f64>], purpose: &str) -> Option<Vec<f64>> {
    resampled(sample, draws, purpose, Sample::average_precision)
}

fn resampled(
    sample: &Sample,
    draws: &[Vec<f64>],
    purpose: &str,
    measure: fn(&Sample, &Ranked, &[u32]) -> Option<f64>,
) -> Option<Vec<f64>> {
    let n = sample.is_anomalous.len();
    let is_sound = |scores: &Vec<f64>| scores.len() == n && scores.iter().all(|score| !score.is_nan());
    if !sample.varies() || !draws.iter().all(is_sound) {
        return None;
    }
    let ranked: Vec<Ranked> = draws.iter().map(|scores| Ranked::new(scores)).collect();
    measure(sample, ranked.first()?, &vec![1; n])?;
    let one = |index: usize| {
        let mut stream = Stream::new(0, purpose, index as u64);
        let counts = sample.draw(&mut stream);
        // A draw that is chosen twice is measured once.
        let mut times = vec![0u32; ranked.len()];
        (0..ranked.len()).for_each(|_| times[stream.below(ranked.len())] += 1);
        let chosen = ranked.iter().zip(&times).filter(|(_, times)| **times > 0);
        let parts: Vec<f64> = chosen
            .map(|(ranked, &times)| Some(f64::from(times) * measure(sample, ranked, &counts)?))
            .collect::<Option<_>>()?;
        Some(parts.iter().sum::<f64>() / ranked.len() as f64)
    };
    (0..N_RESAMPLES).into_par_iter().map(one).collect()
}

/// Replicates of a difference, from those of two means that were resampled alike; `None` where they were not.
pub fn paired_differences(first: &[f64], second: &[f64]) -> Option<Vec<f64>> {
    let is_paired = first.len() == second.len() && !first.is_empty();
    is_paired.then(|| first.iter().zip(second).map(|(a, b)| a - b).collect())
}

/// The central 95 % of replicates; `None` without any.
pub fn interval(replicates: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = replicates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, 0.025).zip(quantile(&sorted, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_do_not_depend_on_the_names_of_groups() {
        let sample = |names: [Option<&str>; 6]| {
            let groups: Vec<Option<String>> = names.iter().map(|name| name.map(str::to_owned)).collect();
            Sample::new(vec![false, false, true, false, true, true], &groups)
        };
        let first = sample([Some("z"), None, Some("b"), Some("z"), None, Some("b")]);
        assert_eq!(first, sample([Some("a"), None, Some("y"), Some("a"), None, Some("y")]));
        // Anomalous ones first.
        let units: Vec<&[usize]> = first.units().collect();
        assert_eq!(units, [&[2, 5][..], &[4], &[0, 3], &[1]]);
    }

    #[test]
    fn pictures_that_count_twice_are_as_two_pictures_for_average_precision() {
        let (is_anomalous, scores) = ([true, false, true, false, false], [3.0, 2.0, 2.0, 1.0, 0.5]);
        let counts = [1u32, 3, 2, 0, 1];
        let sample = Sample::new(is_anomalous.to_vec(), &[const { None }; 5]);
        let found = sample.average_precision(&Ranked::new(&scores), &counts).unwrap();
        let class = |wanted: bool| -> Vec<f64> {
            let of = |index: usize| std::iter::repeat_n(scores[index], counts[index] as usize);
            (0..5).filter(|&index| is_anomalous[index] == wanted).flat_map(of).collect()
        };
        let ranking = crate::metric::ranking::Ranking::new(&class(false), &class(true)).unwrap();
        assert!((found - ranking.average_precision()).abs() < 1e-15, "{found}");
        assert_eq!(sample.average_precision(&Ranked::new(&scores), &[0, 1, 0, 1, 1]), None);
    }

    #[test]
    fn folds_keep_units_whole_and_classes_even() {
        let groups: Vec<Option<String>> = (0..60).map(|index| Some(format!("p{}", index / 2))).collect();
        let sample = Sample::new((0..60).map(|index| index >= 40).collect(), &groups);
        let folds = sample.folds(5, "test").expect("20 and 10 patients");
        assert!(folds.chunks(2).all(|pair| pair[0] == pair[1]));
        for fold in 0..5 {
            let of = |range: std::ops::Range<usize>| folds[range].iter().filter(|own| **own == fold).count();
            assert_eq!((of(0..40), of(40..60)), (8, 4));
        }
        assert_eq!(sample.folds(11, "test"), None, "10 patients have anomalous pictures");
    }

    #[test]
    fn patients_with_pictures_of_both_classes_leave_no_fold_without_a_class() {
        // 3 patients are anomalous, 2 are normal, 3 are both, two pictures each.
        let kinds = [[true, true]; 3].into_iter().chain([[false, false]; 2]).chain([[false, true]; 3]);
        let groups: Vec<Option<String>> = (0..16).map(|index| Some(format!("p{}", index / 2))).collect();
        let sample = Sample::new(kinds.flatten().collect(), &groups);
        let folds = sample.folds(5, "test").expect("5 patients of a class at least");
        assert!(folds.chunks(2).all(|pair| pair[0] == pair[1]));
        for fold in 0..5 {
            let patients = |class: bool| {
                let has =
                    |unit: &&[usize]| unit.iter().any(|&picture| sample.is_anomalous()[picture] == class);
                sample.units().filter(|unit| folds[unit[0]] == fold).filter(has).count()
            };
            assert_eq!(patients(false), 1, "5 patients have normal pictures");
            assert!((1..=2).contains(&patients(true)), "6 patients have anomalous ones");
        }
    }
}
