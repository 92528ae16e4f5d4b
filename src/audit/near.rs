//! Nearly equal pictures: a difference hash finds candidates, also flipped and turned, and the correlation of
//! their details confirms them.
//!
//! Details are what a small grey picture has beyond a much smaller one: two films of the chest are alike as a
//! whole and differ in them, two copies of one film do not.
//!
//! Both look at the standardised square pictures, on which a quarter turn is one of the picture too.

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use rayon::prelude::*;

use super::candidates::Candidates;
pub use super::details::ORIENTATIONS;
use super::details::{Details, SIDE, oriented};
use super::hashes::Hashes;
use super::{Finding, Gate, Picture, across};
use crate::decode::difference_hash::difference_hash;
use crate::decode::resize;
use crate::ids::TaskName;
use crate::manifest::{Manifest, Row, Split};
use crate::pixels::Pixels;
use crate::progress;
use crate::spec::{Audit, Level};

/// What is compared of one picture.
pub struct Fingerprint {
    /// Difference hash, laid down in each of [`ORIENTATIONS`].
    hashes: [u64; 8],
    /// `None` for a picture without any.
    details: Option<Details>,
    /// Mean of all grey values, 0 to 255.
    pub mean: f64,
    /// Their standard deviation.
    pub contrast: f64,
    /// Mean of the outermost sixteenth.
    pub border: f64,
}

impl Fingerprint {
    /// Of a standardised picture, `size x size`.
    pub fn of(picture: &Pixels) -> Fingerprint {
        let grey = picture.to_grey();
        let small = resize::lanczos(&grey, SIDE, SIDE);
        let hashes = std::array::from_fn(|orientation| difference_hash(&oriented(&small, orientation)));
        let (size, samples) = (grey.width(), grey.samples());
        let moments = |values: &mut dyn Iterator<Item = u8>| {
            let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for value in values.map(f64::from) {
                n += 1.0;
                sum += value;
                squares += value * value;
            }
            (sum / n, (squares / n - (sum / n).powi(2)).max(0.0).sqrt())
        };
        let (mean, contrast) = moments(&mut samples.iter().copied());
        let edge = (size / 16).max(1);
        let inner = edge..size - edge;
        let outside = |index: &usize| !(inner.contains(&(index / size)) && inner.contains(&(index % size)));
        let (border, _) = moments(&mut (0..samples.len()).filter(outside).map(|index| samples[index]));
        Fingerprint { hashes, details: Details::of(&small), mean, contrast, border }
    }

    pub(super) fn details(&self) -> Option<&Details> {
        self.details.as_ref()
    }

    /// The orientation in which `other` is most like this one: bits in which the hashes differ, correlation of the
    /// details, index into [`ORIENTATIONS`]. `None` if in every orientation more than `at_most` bits differ or the
    /// correlation is below `least`.
    pub fn compare(&self, other: &Fingerprint, at_most: u32, least: f64) -> Option<(u32, f64, usize)> {
        let (a, b) = (self.details.as_ref()?, other.details.as_ref()?);
        let bits = other.hashes.map(|hash| (self.hashes[0] ^ hash).count_ones());
        // Symmetric pictures have several orientations of few bits, and the fewest need not be the right one.
        let tried = (0..ORIENTATIONS.len()).filter(|&orientation| {
            bits[orientation] <= at_most && (least <= -1.0 || a.may_reach(b, orientation, least))
        });
        let found = tried.map(|orientation| (bits[orientation], a.correlation(b, orientation), orientation));
        found.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|found| found.1 >= least)
    }
}

/// The fingerprint of every picture, by task and pixel hash.
pub struct Fingerprints(HashMap<(TaskName, String), Fingerprint>);

impl Fingerprints {
    /// Reads every picture of the smallest pixel store of each task.
    ///
    /// # Errors
    /// A pixel store that is missing, stale or damaged.
    pub fn read(manifest: &Manifest) -> Result<Fingerprints> {
        let size = manifest.smallest_size()?;
        let mut fingerprints = HashMap::new();
        let bar = progress::bar(manifest.rows.len(), "looking at pictures");
        for task in manifest.tasks() {
            let rows = manifest.task(&task)?;
            let (store, rows) = (rows.store(size)?, rows.rows);
            let fingerprint = |row: &&Row| -> Result<_> {
                let fingerprint = Fingerprint::of(&store.pixels(&row.pixel_hash)?);
                bar.inc(1);
                Ok(((task.clone(), row.pixel_hash.clone()), fingerprint))
            };
            fingerprints.extend(rows.par_iter().map(fingerprint).collect::<Result<Vec<_>>>()?);
        }
        bar.finish_and_clear();
        Ok(Fingerprints(fingerprints))
    }

    /// The fingerprint of a row of the manifest that was read.
    pub fn of(&self, row: &Row) -> &Fingerprint {
        &self.0[&(row.task.clone(), row.pixel_hash.clone())]
    }
}

/// Pictures of a task of which unrelated ones are compared, at most.
const N_UNRELATED: usize = 400;
/// Near copies correlate by this much more than all but one of 1,000 pairs of unrelated pictures ...
const MARGIN: f64 = 0.08;
/// ... but no more than this is asked for, which copies reach even after JPEG at quality 50.
const CEILING: f64 = 0.985;

/// What unrelated pictures of one kind have in common, and so what copies must exceed.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Correlation from which two pictures are near copies.
    pub correlation: f64,
    /// What 99.9 % of the pairs of unrelated pictures stay below; -1 where their hashes differ in too many bits.
    pub unrelated: f64,
    /// Pairs that it was learnt from.
    pub n_pairs: usize,
}

impl Limit {
    /// From the pairs of `fingerprints`, most of which are unrelated even where some are copies.
    pub fn of(fingerprints: &[&Fingerprint], thresholds: &Audit) -> Limit {
        let stride = fingerprints.len().div_ceil(N_UNRELATED).max(1);
        let chosen: Vec<&Fingerprint> = fingerprints.iter().copied().step_by(stride).collect();
        let value = |a: &Fingerprint, b: &Fingerprint| {
            a.compare(b, thresholds.near_bits, f64::NEG_INFINITY).map_or(-1.0, |found| found.1)
        };
        let row = |place: usize| chosen[..place].iter().map(|b| value(chosen[place], b)).collect::<Vec<_>>();
        let mut values: Vec<f64> = (0..chosen.len()).into_par_iter().flat_map_iter(row).collect();
        values.sort_unstable_by(f64::total_cmp);
        let unrelated = values.len().checked_sub(1).map_or(-1.0, |last| {
            // In a small task the copies themselves would be its one pair of 1,000.
            values[last.saturating_sub((last / 1000).max(2))]
        });
        let floor = thresholds.near_correlation;
        Limit {
            correlation: (unrelated + MARGIN).max(floor).min(CEILING.max(floor)),
            unrelated,
            n_pairs: values.len(),
        }
    }
}

/// The limit of every task.
pub(super) fn limits(
    rows: &[Row],
    fingerprints: &Fingerprints,
    thresholds: &Audit,
) -> BTreeMap<TaskName, Limit> {
    let mut tasks: BTreeMap<TaskName, Vec<&Fingerprint>> = BTreeMap::new();
    for row in rows {
        tasks.entry(row.task.clone()).or_default().push(fingerprints.of(row));
    }
    tasks.into_iter().map(|(task, fingerprints)| (task, Limit::of(&fingerprints, thresholds))).collect()
}

/// Two rows that are nearly equal.
pub struct Pair {
    /// Index of the first row.
    pub a: usize,
    /// Index of the second.
    pub b: usize,
    /// Bits in which their hashes differ.
    pub bits: u32,
    /// Correlation of their details.
    pub correlation: f64,
    /// How the second lies, as an index into [`ORIENTATIONS`].
    pub orientation: usize,
}

/// Near copies that stand apart or whose labels differ; equal pixels are not among them. In the order of the first
/// row, then of the second.
pub(super) fn pairs(
    rows: &[Row],
    candidates: &Candidates,
    limits: &BTreeMap<TaskName, Limit>,
    at_most: u32,
) -> Vec<Pair> {
    let limits: Vec<f64> = rows.iter().map(|row| limits[&row.task].correlation).collect();
    let fingerprints = &candidates.fingerprints;
    let upright: Vec<u64> = fingerprints.iter().map(|fingerprint| fingerprint.hashes[0]).collect();
    let hashes = Hashes::of(&upright, at_most);
    let bar = progress::bar(rows.len(), "comparing pictures");
    let partners = |b: usize| -> Vec<Pair> {
        let compare = |a: usize| {
            let found = fingerprints[a].compare(fingerprints[b], at_most, limits[a].max(limits[b]));
            found.map(|(bits, correlation, orientation)| Pair { a, b, bits, correlation, orientation })
        };
        let found = may_pair(candidates, &hashes, &limits, b).into_iter().filter_map(compare).collect();
        bar.inc(1);
        found
    };
    let mut pairs: Vec<Pair> = (0..rows.len()).into_par_iter().flat_map_iter(partners).collect();
    bar.finish_and_clear();
    pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
    pairs
}

/// Rows before `b` that may be near copies of it: in one orientation its hash is near to theirs, and the sketch of
/// its details too.
fn may_pair(candidates: &Candidates, hashes: &Hashes, limits: &[f64], b: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut near = Vec::new();
    for (orientation, &hash) in candidates.fingerprints[b].hashes.iter().enumerate() {
        near.clear();
        hashes.near(hash, b as u32, &mut near);
        near.retain(|&a| candidates.stand_apart(a as usize, b));
        let sketch = if near.is_empty() { None } else { candidates.oriented(b, orientation) };
        if let Some(sketch) = sketch {
            let may = |a: &usize| candidates.may_correlate(*a, &sketch, limits[*a].max(limits[b]));
            found.extend(near.iter().map(|&a| a as usize).filter(may));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

pub(super) fn gate(rows: &[Row], pairs: &[Pair], limits: &BTreeMap<TaskName, Limit>, level: Level) -> Gate {
    let asks = "do nearly equal pictures, also flipped or turned, stand on two sides or in two tasks?";
    let mut gate = Gate::new("near-copies", asks, level);
    if gate.left_out.is_some() {
        return gate;
    }
    for (task, limit) in limits {
        let Limit { correlation, unrelated, n_pairs } = limit;
        gate.notes.push(format!(
            "{task}: near from a correlation of {correlation:.3}; 99.9 % of {n_pairs} pairs stay below {unrelated:.3}"
        ));
    }
    for pair in pairs.iter().filter(|pair| across(&rows[pair.a], &rows[pair.b])) {
        let mut pictures = vec![Picture::of(&rows[pair.a]), Picture::of(&rows[pair.b])];
        if rows[pair.b].split == Split::Train {
            pictures.reverse();
        }
        let Pair { bits, correlation, orientation, .. } = pair;
        gate.findings.push(Finding {
            what: format!(
                "{bits} of 64 bits apart, correlation {correlation:.3}, {}",
                ORIENTATIONS[*orientation]
            ),
            pictures,
        });
    }
    gate
}
