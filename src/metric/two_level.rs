//! Intervals over support draws and pictures together: both are resampled, and where patients are known, patients
//! instead of pictures.

use std::collections::BTreeMap;

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
        let mut units: BTreeMap<(Option<&str>, usize), Vec<usize>> = BTreeMap::new();
        for (picture, group) in groups.iter().enumerate() {
            let key = match group {
                Some(group) => (Some(group.as_str()), 0),
                None => (None, picture),
            };
            units.entry(key).or_default().push(picture);
        }
        let mut strata: BTreeMap<[bool; 2], Vec<Vec<usize>>> = BTreeMap::new();
        for unit in units.into_values() {
            let has = |class: bool| unit.iter().any(|&picture| is_anomalous[picture] == class);
            strata.entry([has(false), has(true)]).or_default().push(unit);
        }
        Sample { is_anomalous, strata: strata.into_values().collect() }
    }

    /// How often each picture is drawn.
    fn draw(&self, stream: &mut Stream) -> Vec<u32> {
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

    /// AUROC of pictures that count as often as they were drawn; `order` lists them by falling score, ties together.
    fn auroc(&self, order: &[Vec<usize>], counts: &[u32]) -> Option<f64> {
        let (mut doubled, mut n_above, mut n_normal) = (0u64, 0u64, 0u64);
        for ties in order {
            let (mut anomalous, mut normal) = (0u64, 0u64);
            for &picture in ties {
                let count = u64::from(counts[picture]);
                if self.is_anomalous[picture] { anomalous += count } else { normal += count }
            }
            doubled += normal * (2 * n_above + anomalous);
            n_above += anomalous;
            n_normal += normal;
        }
        let pairs = n_above * n_normal;
        (pairs > 0).then(|| doubled as f64 / (2 * pairs) as f64)
    }
}

/// Resampled means over draws of AUROC, one for each resample; `None` if a draw's AUROC is undefined.
///
/// `draws` holds each draw's scores, in the sample's order. Two methods that were scored on the same draws and
/// pictures, and are given streams that begin alike, are resampled alike, so their replicates can be subtracted.
pub fn replicates(sample: &Sample, draws: &[Vec<f64>], mut stream: Stream) -> Option<Vec<f64>> {
    let orders: Vec<Vec<Vec<usize>>> = draws
        .iter()
        .map(|scores| {
            let sound = scores.len() == sample.is_anomalous.len() && scores.iter().all(|s| !s.is_nan());
            sound.then(|| by_falling_score(scores))
        })
        .collect::<Option<_>>()?;
    let all = vec![1; sample.is_anomalous.len()];
    sample.auroc(orders.first()?, &all)?;
    let one = |_| {
        let counts = sample.draw(&mut stream);
        let chosen: Vec<usize> = orders.iter().map(|_| stream.below(orders.len())).collect();
        let aurocs: Vec<f64> =
            chosen.iter().map(|&draw| sample.auroc(&orders[draw], &counts)).collect::<Option<_>>()?;
        Some(aurocs.iter().sum::<f64>() / aurocs.len() as f64)
    };
    (0..N_RESAMPLES).map(one).collect()
}

fn by_falling_score(scores: &[f64]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.chunk_by(|&a, &b| scores[a] == scores[b]).map(<[usize]>::to_vec).collect()
}

/// The central 95 % of replicates; `None` without any.
pub fn interval(replicates: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = replicates.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)? as f64;
    let quantile = |share: f64| {
        let place = share * last;
        let (below, part) = (place.floor() as usize, place.fract());
        sorted[below] + part * (sorted[(below + 1).min(sorted.len() - 1)] - sorted[below])
    };
    Some((quantile(0.025), quantile(0.975)))
}
