//! Near copies that the hash misses: neighbours in a pretrained network's features, confirmed by their details
//! (after Truong, Khun Jush and Lenga, arXiv 2312.07273).

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::candidates::{Candidates, squared_distance};
use super::near::{Limit, ORIENTATIONS, Pair};
use super::sketch::{Axes, Sketch};
use super::transformed::transformed;
use super::{Finding, Gate, Picture, across};
use crate::decode::resize;
use crate::ids::TaskName;
use crate::manifest::store::PixelStore;
use crate::manifest::{Manifest, Row, Split};
use crate::pixels::Pixels;
use crate::progress;
use crate::spec::{Audit, Level};

/// One vector for each picture, all of one length.
pub type Embed<'a> = dyn Fn(&[Pixels]) -> Result<Vec<Vec<f32>>> + 'a;

/// What turns standardised pictures into feature vectors.
pub struct Embedder<'a> {
    /// Network and weights, in words.
    pub teacher: String,
    /// One vector for each picture.
    pub embed: &'a Embed<'a>,
}

/// Pictures of a task of which copies are made, at most.
const N_CALIBRATED: usize = 60;
/// Pictures that are embedded at once.
const BATCH: usize = 32;
/// Every pair may be compared, however many bits of its hashes differ.
const ANY_BITS: u32 = 64;
/// More than rounding adds to a cosine.
const ROUNDING: f64 = 1e-4;

/// Cosine from which pictures of one task are neighbours, and how well it tells made copies from unrelated pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Pictures at least as similar are neighbours.
    pub cosine: f64,
    /// The share of altered copies that reach it.
    pub sensitivity: f64,
    /// The share of unrelated pairs that do not.
    pub specificity: f64,
}

impl Threshold {
    /// The cosine of the greatest Youden index (sensitivity + specificity - 1), and of several the least.
    /// `None` without copies or without unrelated pictures.
    pub fn between(unrelated: &[f64], copies: &[f64]) -> Option<Threshold> {
        let at_least = |values: &[f64], cosine: f64| {
            values.iter().filter(|&&value| value >= cosine).count() as f64 / values.len() as f64
        };
        let mut possible = copies.to_vec();
        possible.sort_unstable_by(f64::total_cmp);
        possible.dedup();
        let thresholds = possible.into_iter().map(|cosine| Threshold {
            cosine,
            sensitivity: at_least(copies, cosine),
            specificity: 1.0 - at_least(unrelated, cosine),
        });
        let youden = |threshold: &Threshold| threshold.sensitivity + threshold.specificity;
        (!unrelated.is_empty()).then(|| {
            thresholds.reduce(|best, next| if youden(&next) > youden(&best) { next } else { best })
        })?
    }
}

/// What two pictures of a task must reach to be neighbours.
#[derive(Clone, Copy)]
struct Needed {
    /// In the network's features.
    cosine: f64,
    /// Correlation of their details.
    confirmed_from: f64,
}

/// Neighbours that the hash did not find.
pub(super) struct Neighbours {
    pub pairs: Vec<Pair>,
    cosines: Vec<f64>,
    notes: Vec<String>,
}

/// Finds neighbours that stand apart or whose labels differ, but for the pairs in `known`.
pub(super) fn neighbours(
    manifest: &Manifest,
    candidates: &Candidates,
    thresholds: &Audit,
    embedder: &Embedder,
    known: &[Pair],
) -> Result<Neighbours> {
    let rows = &manifest.rows;
    let mut notes = vec![format!("features of {}", embedder.teacher)];
    let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); rows.len()];
    let mut tasks: HashMap<TaskName, Option<Needed>> = HashMap::new();
    let size = manifest.smallest_size()?;
    let bar = progress::bar(rows.len(), "embedding pictures");
    for name in manifest.tasks() {
        let places: Vec<usize> = (0..rows.len()).filter(|&place| rows[place].task == name).collect();
        let of_task: Vec<&Row> = places.iter().map(|&place| &rows[place]).collect();
        let store = manifest.task(&name)?.store(size)?;
        for batch in places.chunks(BATCH) {
            let picture = |&place: &usize| store.pixels(&rows[place].pixel_hash);
            let embedded = unit(embedder, &batch.iter().map(picture).collect::<Result<Vec<_>>>()?)?;
            batch.iter().zip(embedded).for_each(|(&place, vector)| vectors[place] = vector);
            bar.inc(batch.len() as u64);
        }
        let threshold = calibrate(&store, &of_task, embedder)?;
        let of_task: Vec<_> = places.iter().map(|&place| candidates.fingerprints[place]).collect();
        let limit = Limit::of(&of_task, &Audit { near_bits: ANY_BITS, ..thresholds.clone() });
        notes.push(match threshold {
            Some(Threshold { cosine, sensitivity, specificity }) => format!(
                "{name}: neighbours from a cosine of {cosine:.4}, which {sensitivity:.3} of made copies reach and \
                 {specificity:.3} of unrelated pictures do not; confirmed from a correlation of {:.3}",
                limit.correlation
            ),
            None => format!("{name}: too few pictures to learn a threshold from"),
        });
        let confirmed_from = limit.correlation;
        tasks.insert(name, threshold.map(|Threshold { cosine, .. }| Needed { cosine, confirmed_from }));
    }
    bar.finish_and_clear();
    let known: HashSet<(usize, usize)> = known.iter().map(|pair| (pair.a, pair.b)).collect();
    let needed: Vec<Option<Needed>> = rows.iter().map(|row| tasks[&row.task]).collect();
    let search = Search { candidates, vectors: &vectors, needed: &needed, known: &known };
    let found = search.run();
    notes.push(format!("{} neighbours that the hash had not found", found.len()));
    let (pairs, cosines) = found.into_iter().unzip();
    Ok(Neighbours { pairs, cosines, notes })
}

/// Vectors of length 1.
fn unit(embedder: &Embedder, pictures: &[Pixels]) -> Result<Vec<Vec<f32>>> {
    let mut vectors = (embedder.embed)(pictures)?;
    ensure!(vectors.len() == pictures.len(), "{} gave {} vectors", embedder.teacher, vectors.len());
    for vector in &mut vectors {
        let norm = dot(vector, vector).sqrt();
        ensure!(norm.is_finite() && norm > 0.0, "{} gives features without a direction", embedder.teacher);
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    }
    Ok(vectors)
}

/// Learns a task's threshold from copies made of some of its pictures, and from the pairs among them.
fn calibrate(store: &PixelStore, rows: &[&Row], embedder: &Embedder) -> Result<Option<Threshold>> {
    let stride = rows.len().div_ceil(N_CALIBRATED).max(1);
    let mut originals = Vec::new();
    let mut copies = Vec::new();
    for row in rows.iter().step_by(stride) {
        let picture = store.pixels(&row.pixel_hash)?;
        let own = unit(embedder, std::slice::from_ref(&picture))?.remove(0);
        let standard = |copy: Pixels| resize::lanczos(&copy, store.size(), store.size());
        let made: Vec<Pixels> = transformed(&picture)?.into_iter().map(standard).collect();
        copies.extend(unit(embedder, &made)?.iter().map(|copy| dot(&own, copy)));
        originals.push(own);
    }
    let pairs = (0..originals.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let unrelated: Vec<f64> = pairs.map(|(a, b)| dot(&originals[a], &originals[b])).collect();
    Ok(Threshold::between(&unrelated, &copies))
}

/// All of one length.
struct Search<'a> {
    candidates: &'a Candidates<'a>,
    vectors: &'a [Vec<f32>],
    /// `None` where a task has too few pictures to learn from.
    needed: &'a [Option<Needed>],
    known: &'a HashSet<(usize, usize)>,
}

impl Search<'_> {
    /// In the order of the first row, then of the second.
    fn run(&self) -> Vec<(Pair, f64)> {
        let bar = progress::bar(self.vectors.len(), "comparing features");
        let axes = Axes::of(&self.vectors.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let sketches: Vec<Sketch> = self.vectors.par_iter().map(|vector| axes.sketch(vector)).collect();
        let mut order: Vec<usize> = (0..sketches.len()).filter(|&row| self.needed[row].is_some()).collect();
        let first = |row: usize| sketches[row].first();
        order.sort_by(|&a, &b| first(a).total_cmp(&first(b)));
        // No two neighbours are further apart along one axis than they are altogether.
        let furthest =
            self.needed.iter().flatten().map(|needed| within(needed.cosine)).fold(0.0, f32::max).sqrt();
        let of = |place: usize| {
            let row = order[place];
            let window =
                order[place + 1..].iter().take_while(|&&other| first(other) - first(row) <= furthest);
            let found = self.of(row, window.copied(), &sketches);
            bar.inc(1);
            found
        };
        let mut found: Vec<(Pair, f64)> = (0..order.len()).into_par_iter().flat_map_iter(of).collect();
        bar.finish_and_clear();
        found.sort_unstable_by_key(|(pair, _)| (pair.a, pair.b));
        found
    }

    /// Neighbours of a row among others.
    fn of(&self, row: usize, others: impl Iterator<Item = usize>, sketches: &[Sketch]) -> Vec<(Pair, f64)> {
        let mut oriented: Option<Vec<Sketch>> = None;
        let mut found = Vec::new();
        for other in others.filter(|&other| self.candidates.stand_apart(row, other)) {
            let Some(least) = self.least(row, other) else { continue };
            if !sketches[row].may_lie_within(&sketches[other], within(least.cosine)) {
                continue;
            }
            let (a, b) = (row.min(other), row.max(other));
            let cosine = dot(&self.vectors[a], &self.vectors[b]);
            if cosine < least.cosine || self.known.contains(&(a, b)) {
                continue;
            }
            // Whichever of the two is turned, all orientations are tried.
            let all = || {
                (0..ORIENTATIONS.len()).filter_map(|orientation| self.candidates.oriented(row, orientation))
            };
            let oriented = oriented.get_or_insert_with(|| all().collect());
            let may = |sketch: &Sketch| self.candidates.may_correlate(other, sketch, least.confirmed_from);
            if oriented.iter().any(may) {
                found.extend(self.compare(a, b, least.confirmed_from).map(|pair| (pair, cosine)));
            }
        }
        found
    }

    /// What two pictures must reach, which is what both tasks ask for.
    fn least(&self, a: usize, b: usize) -> Option<Needed> {
        let (a, b) = (self.needed[a]?, self.needed[b]?);
        let confirmed_from = a.confirmed_from.max(b.confirmed_from);
        Some(Needed { cosine: a.cosine.max(b.cosine), confirmed_from })
    }

    fn compare(&self, a: usize, b: usize, least: f64) -> Option<Pair> {
        let fingerprints = &self.candidates.fingerprints;
        let found = fingerprints[a].compare(fingerprints[b], ANY_BITS, least);
        found.map(|(bits, correlation, orientation)| Pair { a, b, bits, correlation, orientation })
    }
}

/// The square of the distance within which vectors of this cosine lie, whatever rounding does to their lengths and
/// to their product, which are in single precision.
fn within(cosine: f64) -> f32 {
    squared_distance(cosine - ROUNDING)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Eight sums at once: one alone would wait for each addition before the next.
    let mut sums = [0.0f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for place in 0..8 {
            sums[place] += a[place] * b[place];
        }
    }
    f64::from(sums.iter().sum::<f32>() + rest)
}

pub(super) fn gate(rows: &[Row], neighbours: Option<&Neighbours>, level: Level) -> Gate {
    let asks = "are pictures on two sides or in two tasks neighbours in a pretrained network's features?";
    let mut gate = Gate::new("embedding-neighbours", asks, level);
    let Some(neighbours) = neighbours else {
        gate.left_out.get_or_insert_with(|| {
            "no pretrained network is at hand, which needs a build with libtorch".to_owned()
        });
        return gate;
    };
    gate.notes.clone_from(&neighbours.notes);
    for (pair, cosine) in neighbours.pairs.iter().zip(&neighbours.cosines) {
        let Pair { a, b, correlation, orientation, .. } = *pair;
        if across(&rows[a], &rows[b]) {
            let mut pictures = vec![Picture::of(&rows[a]), Picture::of(&rows[b])];
            if rows[b].split == Split::Train {
                pictures.reverse();
            }
            let what =
                format!("cosine {cosine:.4}, correlation {correlation:.3}, {}", ORIENTATIONS[orientation]);
            gate.findings.push(Finding { what, pictures });
        }
    }
    gate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::fingerprint::Fingerprint;
    use crate::random::Stream;

    /// Fingerprints of noise and vectors of length 1, of which every second one is near the one before it.
    fn made(seed: u64, n: usize) -> (Vec<Fingerprint>, Vec<Vec<f32>>) {
        let mut stream = Stream::new(seed, "neighbours", 0);
        let (mut samples, mut features) = (Vec::new(), Vec::new());
        let mut all = (Vec::new(), Vec::new());
        for row in 0..n {
            if row % 2 == 0 {
                samples = (0..32 * 32).map(|_| stream.below(200) as u8).collect();
                features = (0..70).map(|place| stream.normal() + f64::from(place % 3)).collect();
            }
            samples.iter_mut().for_each(|value| *value += stream.below(2 + seed as usize) as u8);
            features.iter_mut().for_each(|value| *value += 0.2 * stream.normal());
            let norm = features.iter().map(|value| value * value).sum::<f64>().sqrt();
            all.0.push(Fingerprint::of(&Pixels::new(32, 32, 1, samples.clone()).unwrap()));
            all.1.push(features.iter().map(|value| (value / norm) as f32).collect());
        }
        all
    }

    #[test]
    fn neighbours_are_those_that_comparing_all_pairs_finds() {
        for seed in 1..4 {
            let (fingerprints, vectors) = made(seed, 60);
            let candidates = Candidates::apart(&fingerprints);
            for cosine in [0.3, 0.8, 0.97] {
                let strict = Needed { cosine, confirmed_from: 0.9 };
                let tasks = [Some(strict), Some(Needed { cosine: 0.5, confirmed_from: 0.05 }), None];
                let needed: Vec<_> =
                    (0..60).map(|row| tasks[usize::from(row > 30) + usize::from(row > 55)]).collect();
                let known = HashSet::from([(2, 3)]);
                let search =
                    Search { candidates: &candidates, vectors: &vectors, needed: &needed, known: &known };
                let found: Vec<_> =
                    search.run().into_iter().map(|(pair, cosine)| (pair.a, pair.b, cosine)).collect();
                let mut all = Vec::new();
                for (a, b) in (0..60).flat_map(|a| (a + 1..60).map(move |b| (a, b))) {
                    let Some(least) = search.least(a, b) else { continue };
                    let cosine = dot(&vectors[a], &vectors[b]);
                    if cosine >= least.cosine && !known.contains(&(a, b)) {
                        all.extend(search.compare(a, b, least.confirmed_from).map(|_| (a, b, cosine)));
                    }
                }
                assert_eq!(found, all, "{seed} {cosine}");
                assert!(found.len() > 5, "{seed} {cosine}: {found:?}");
            }
        }
    }
}
