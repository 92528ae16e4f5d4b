//! What is compared of a picture: hashes, details, and a few numbers on its grey values.

use std::collections::HashMap;

use anyhow::Result;
use rayon::prelude::*;

use super::details::{Details, ORIENTATIONS, SIDE, oriented};
use crate::decode::difference_hash::difference_hash;
use crate::decode::resize;
use crate::ids::TaskName;
use crate::manifest::{Manifest, Row};
use crate::pixels::Pixels;
use crate::progress;

/// What of pictures is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// Nothing: no pixel store is opened.
    No,
    /// Numbers on grey values.
    Numbers,
    /// Details too, 4 KiB a picture, so that pictures can be compared.
    Compares,
}

/// What is compared of one picture.
pub struct Fingerprint {
    /// Difference hash, laid down in each of [`ORIENTATIONS`].
    pub(super) hashes: [u64; 8],
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
    /// Reads every picture of the smallest pixel store of each task, if anything of it is needed.
    ///
    /// # Errors
    /// A pixel store that is missing, stale or damaged.
    pub fn read(manifest: &Manifest, looks: Looks) -> Result<Fingerprints> {
        if looks == Looks::No {
            return Ok(Fingerprints(HashMap::new()));
        }
        let size = manifest.smallest_size()?;
        let mut fingerprints = HashMap::new();
        let bar = progress::bar(manifest.rows.len(), "looking at pictures");
        for task in manifest.tasks() {
            let rows = manifest.task(&task)?;
            let (store, rows) = (rows.store(size)?, rows.rows);
            let fingerprint = |row: &&Row| -> Result<_> {
                let mut fingerprint = Fingerprint::of(&store.pixels(&row.pixel_hash)?);
                if looks == Looks::Numbers {
                    fingerprint.details = None;
                }
                bar.inc(1);
                Ok(((task.clone(), row.pixel_hash.clone()), fingerprint))
            };
            fingerprints.extend(rows.par_iter().map(fingerprint).collect::<Result<Vec<_>>>()?);
        }
        bar.finish_and_clear();
        Ok(Fingerprints(fingerprints))
    }

    /// The fingerprint of a row of the manifest that was read, if anything was.
    pub fn of(&self, row: &Row) -> &Fingerprint {
        &self.0[&(row.task.clone(), row.pixel_hash.clone())]
    }
}
