//! Near copies that the hash misses: neighbours in a pretrained network's features, confirmed by their details
//! (after Truong, Khun Jush and Lenga, arXiv 2312.07273).

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::near::{Fingerprints, Limit, ORIENTATIONS, Pair};
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

/// A task's threshold, and what of it the details must confirm.
struct Task {
    threshold: Option<Threshold>,
    limit: Limit,
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
    fingerprints: &Fingerprints,
    thresholds: &Audit,
    embedder: &Embedder,
    known: &[Pair],
) -> Result<Neighbours> {
    let rows = &manifest.rows;
    let mut notes = vec![format!("features of {}", embedder.teacher)];
    let mut vectors: Vec<Vec<f32>> = vec![Vec::new(); rows.len()];
    let mut tasks: HashMap<TaskName, Task> = HashMap::new();
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
        let of_task: Vec<_> = of_task.iter().map(|row| fingerprints.of(row)).collect();
        let limit = Limit::of(&of_task, &Audit { near_bits: ANY_BITS, ..thresholds.clone() });
        notes.push(match threshold {
            Some(Threshold { cosine, sensitivity, specificity }) => format!(
                "{name}: neighbours from a cosine of {cosine:.4}, which {sensitivity:.3} of made copies reach and \
                 {specificity:.3} of unrelated pictures do not; confirmed from a correlation of {:.3}",
                limit.correlation
            ),
            None => format!("{name}: too few pictures to learn a threshold from"),
        });
        tasks.insert(name, Task { threshold, limit });
    }
    bar.finish_and_clear();
    let known: HashSet<(usize, usize)> = known.iter().map(|pair| (pair.a, pair.b)).collect();
    let search = Search { rows, fingerprints, vectors: &vectors, tasks: &tasks, known: &known };
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

struct Search<'a> {
    rows: &'a [Row],
    fingerprints: &'a Fingerprints,
    vectors: &'a [Vec<f32>],
    tasks: &'a HashMap<TaskName, Task>,
    known: &'a HashSet<(usize, usize)>,
}

impl Search<'_> {
    fn run(&self) -> Vec<(Pair, f64)> {
        let bar = progress::bar(self.rows.len(), "comparing features");
        let of = |a: usize| {
            let found: Vec<_> = (a + 1..self.rows.len()).filter_map(|b| self.compare(a, b)).collect();
            bar.inc(1);
            found
        };
        let found: Vec<Vec<(Pair, f64)>> = (0..self.rows.len()).into_par_iter().map(of).collect();
        bar.finish_and_clear();
        found.into_iter().flatten().collect()
    }

    fn compare(&self, a: usize, b: usize) -> Option<(Pair, f64)> {
        let (first, second) = (&self.rows[a], &self.rows[b]);
        if first.pixel_hash == second.pixel_hash || !(across(first, second) || first.label != second.label) {
            return None;
        }
        let (one, other) = (&self.tasks[&first.task], &self.tasks[&second.task]);
        let least = one.threshold?.cosine.max(other.threshold?.cosine);
        let cosine = dot(&self.vectors[a], &self.vectors[b]);
        if cosine < least || self.known.contains(&(a, b)) {
            return None;
        }
        let least = one.limit.correlation.max(other.limit.correlation);
        let found = self.fingerprints.of(first).compare(self.fingerprints.of(second), ANY_BITS, least);
        found.map(|(bits, correlation, orientation)| (Pair { a, b, bits, correlation, orientation }, cosine))
    }
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
