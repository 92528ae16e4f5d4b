//! What finished cells took, for estimates of cells like them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::metric::quantile::median;
use crate::results::{Cell, Identity, Provenance};

/// What a cell takes.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// Seconds of the training that its whole job shares, and of taking in its supports and scoring the test set once.
    pub fit: f64,
    pub score: f64,
    /// Bytes of the host's memory, and of its files.
    pub bytes: Option<u64>,
    pub disk: f64,
}

/// What finished cells took, by method, settings, size of pictures, shots and kind of device.
#[derive(Default)]
pub(super) struct Experience(BTreeMap<String, Cost>);

impl Experience {
    /// From all runs that lie beside this one, and itself; what cannot be read teaches nothing.
    pub(super) fn gather(run: &Path) -> Experience {
        let mut seen: BTreeMap<String, Vec<Cost>> = BTreeMap::new();
        let reports = std::path::absolute(run).ok().and_then(|run| Some(run.parent()?.to_owned()));
        for run in std::fs::read_dir(reports.unwrap_or_default()).into_iter().flatten().flatten() {
            for folder in std::fs::read_dir(run.path().join("cells")).into_iter().flatten().flatten() {
                let text = std::fs::read(folder.path().join("cell.json")).ok();
                let cell: Option<Cell> = text.and_then(|text| serde_json::from_slice(&text).ok());
                let Some(cell) = cell.filter(|cell| cell.error.is_none()) else { continue };
                let Provenance { fit_seconds: Some(fit), score_seconds: Some(score), .. } = cell.provenance
                else {
                    continue;
                };
                let cost = Cost {
                    fit,
                    score,
                    bytes: cell.provenance.peak_memory_bytes,
                    disk: bytes_in(&folder.path()) as f64,
                };
                seen.entry(Experience::key(&cell.identity)).or_default().push(cost);
            }
        }
        let typical = |costs: Vec<Cost>| {
            let of = |pick: fn(&Cost) -> f64| {
                median(&mut costs.iter().map(pick).collect::<Vec<_>>()).unwrap_or_default()
            };
            let bytes = costs.iter().filter_map(|cost| cost.bytes).max();
            Cost { fit: of(|cost| cost.fit), score: of(|cost| cost.score), bytes, disk: of(|cost| cost.disk) }
        };
        Experience(seen.into_iter().map(|(key, costs)| (key, typical(costs))).collect())
    }

    /// Of cells like one that took so many seconds for its training and for scoring.
    #[cfg(test)]
    pub(super) fn of_one(identity: &Identity, [fit, score]: [f64; 2]) -> Experience {
        Experience([(Experience::key(identity), Cost { fit, score, bytes: None, disk: 0.0 })].into())
    }

    fn key(identity: &Identity) -> String {
        let Identity { method, settings, size, shots, device_class, .. } = identity;
        format!("{method} {settings} {size} {shots} {device_class}")
    }

    pub(super) fn of(&self, identity: &Identity) -> Option<Cost> {
        self.0.get(&Experience::key(identity)).copied()
    }
}

/// Of the files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}
