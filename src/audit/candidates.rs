//! Which pairs of pictures are worth comparing: those that stand apart and that no sketch rules out.

use std::collections::HashMap;

use rayon::prelude::*;

use super::details::ROUNDING;
use super::fingerprint::{Fingerprint, Fingerprints};
use super::sketch::{Axes, Sketch};
use crate::manifest::Row;

/// The rows of a manifest, by what rules pairs of them out.
pub(super) struct Candidates<'a> {
    /// Of each row.
    pub fingerprints: Vec<&'a Fingerprint>,
    standing: Vec<Standing>,
    axes: Axes,
    /// Of the details, where a picture has any.
    sketches: Vec<Option<Sketch>>,
}

/// Where a picture stands, and which it is.
struct Standing {
    /// One number for each task, side and label.
    place: u32,
    /// One number for each picture.
    pixels: u32,
}

impl Standing {
    fn of_all(rows: &[Row]) -> Vec<Standing> {
        let (mut places, mut pixels) = (HashMap::new(), HashMap::new());
        let standing = |row: &'_ Row| {
            let n = places.len() as u32;
            let place = *places.entry((row.task.clone(), row.split, row.label)).or_insert(n);
            let n = pixels.len() as u32;
            Standing { place, pixels: *pixels.entry(row.pixel_hash.clone()).or_insert(n) }
        };
        rows.iter().map(standing).collect()
    }
}

impl Candidates<'_> {
    pub(super) fn of<'a>(rows: &[Row], fingerprints: &'a Fingerprints) -> Candidates<'a> {
        let fingerprints = rows.iter().map(|row| fingerprints.of(row)).collect();
        Candidates::with(fingerprints, Standing::of_all(rows))
    }

    fn with(fingerprints: Vec<&Fingerprint>, standing: Vec<Standing>) -> Candidates<'_> {
        let details: Vec<&[f32]> =
            fingerprints.iter().filter_map(|of| Some(of.details()?.values())).collect();
        let axes = Axes::of(&details);
        let sketch = |of: &&Fingerprint| of.details().map(|details| axes.sketch(details.values()));
        let sketches = fingerprints.par_iter().map(sketch).collect();
        Candidates { fingerprints, standing, axes, sketches }
    }

    /// Pictures that all stand apart from one another.
    #[cfg(test)]
    pub(super) fn apart(fingerprints: &[Fingerprint]) -> Candidates<'_> {
        let standing = (0..).take(fingerprints.len()).map(|n| Standing { place: n, pixels: n }).collect();
        Candidates::with(fingerprints.iter().collect(), standing)
    }

    /// Whether two rows stand apart or their labels differ, and their pixels are not equal.
    pub(super) fn stand_apart(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.standing[a], &self.standing[b]);
        a.place != b.place && a.pixels != b.pixels
    }

    /// The sketch of a row's details, laid down in an orientation; `None` without details.
    pub(super) fn oriented(&self, row: usize, orientation: usize) -> Option<Sketch> {
        Some(self.axes.sketch(&self.fingerprints[row].details()?.oriented(orientation)))
    }

    /// Whether the details of a row may correlate at least so much with those of a sketch.
    pub(super) fn may_correlate(&self, row: usize, sketch: &Sketch, least: f64) -> bool {
        self.sketches[row]
            .as_ref()
            .is_some_and(|own| own.may_lie_within(sketch, squared_distance(least - ROUNDING)))
    }
}

/// Of two vectors of length 1 with this product.
pub(super) fn squared_distance(product: f64) -> f32 {
    (2.0 - 2.0 * product) as f32
}
