//! Nearly equal pictures: a difference hash finds candidates, also flipped and turned, and the correlation of
//! their details confirms them.
//!
//! Details are what a small grey picture has beyond a much smaller one: two films of the chest are alike as a
//! whole and differ in them, two copies of one film do not.
//!
//! Both look at the standardised square pictures, on which a quarter turn is one of the picture too.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::candidates::Candidates;
pub use super::details::ORIENTATIONS;
pub use super::fingerprint::{Fingerprint, Fingerprints};
use super::hashes::Hashes;
use super::{Finding, Gate, Picture, across};
use crate::ids::TaskName;
use crate::manifest::{Row, Split};
use crate::progress;
use crate::spec::{Audit, Level};

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
