//! A cell's seal: what its files held when they were written, so that a reader can tell whether they still do.
//!
//! It finds what was changed, exchanged or damaged since; it is no signature, and keeps nobody out who computes hashes.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Cell, MAPS};
use crate::files;
use crate::table::Seals;

/// Holds pictures, maps and masks of a few cases; a cell may lack it.
pub const GALLERY: &str = "gallery.safetensors";
/// One row per test picture.
pub(super) const SCORES: &str = "scores.parquet";
/// One row per protocol and metric.
pub(super) const METRICS: &str = "metrics.parquet";
/// One row per figure of each epoch.
pub(super) const EPOCHS: &str = "epochs.parquet";
/// Hold a cell's numbers; a cell that did not fail has all of them.
const TABLES: [&str; 3] = [SCORES, METRICS, EPOCHS];

/// Hashes of a cell, each of 32 hexadecimal digits (BLAKE3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Of each file beside `cell.json`.
    pub files: Seals,
    /// Of what `cell.json` says, and of `files`.
    pub cell: String,
}

impl Seal {
    /// Of a cell and of the files that lie in its folder.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn of(cell: &Cell, folder: &Path) -> Result<Seal> {
        let names = TABLES.into_iter().chain([GALLERY, MAPS]).filter(|name| folder.join(name).exists());
        let files = Seals::of(folder, &names.collect::<Vec<_>>())?;
        Ok(Seal { cell: hash(cell, &files), files })
    }

    /// What does not hold of a cell in `folder`; `None` if all does. Galleries and maps are not looked at, since they are large
    /// and hold no number of a table: see [`Seal::holds`].
    pub(super) fn broken(&self, cell: &Cell, folder: &Path) -> Option<String> {
        let id = cell.identity.id();
        if id != cell.id {
            return Some(format!("cell.json has the id {} and the identity of {id}", cell.id));
        }
        if folder.file_name().is_none_or(|name| name != cell.id.as_str()) {
            return Some(format!("the folder holds cell {} and is not called so", cell.id));
        }
        if self.cell != hash(cell, &self.files) {
            return Some("cell.json is not what was written".to_owned());
        }
        let mut tables = TABLES.into_iter().filter(|_| cell.error.is_none());
        let changed = tables.find(|name| !self.holds(name, folder))?;
        Some(format!("{changed} is not what was written"))
    }

    /// Whether a file beside `cell.json` is the one that was written with it.
    pub fn holds(&self, name: &str, folder: &Path) -> bool {
        self.files.check(folder, name).is_ok()
    }

    /// Over the tables: two computations of a cell that found the same numbers have the same.
    pub(super) fn numbers(&self) -> [Option<&str>; 3] {
        TABLES.map(|name| self.files.get(name))
    }
}

fn hash(cell: &Cell, files: &Seals) -> String {
    files::fingerprint(&serde_json::to_vec(&(cell, files)).expect("cells are plain data"))
}
