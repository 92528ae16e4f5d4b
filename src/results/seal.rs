//! A cell's seal: what its files held when they were written, so that a reader can tell whether they still do.
//!
//! It finds what was changed, exchanged or damaged since; it is no signature, and keeps nobody out who computes hashes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Cell;
use crate::files;

/// Holds pictures, maps and masks of a few cases; a cell may lack it.
pub const GALLERY: &str = "gallery.safetensors";
/// Hold a cell's numbers; a cell that did not fail has all of them.
pub(super) const TABLES: [&str; 3] = ["scores.parquet", "metrics.parquet", "epochs.parquet"];

/// Hashes of a cell, each of 32 hexadecimal digits (BLAKE3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Of each file beside `cell.json`, by its name.
    pub files: BTreeMap<String, String>,
    /// Of what `cell.json` says, and of `files`.
    pub cell: String,
}

impl Seal {
    /// Of a cell and of the files that lie in its folder.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn of(cell: &Cell, folder: &Path) -> Result<Seal> {
        let mut hashes = BTreeMap::new();
        for name in TABLES.into_iter().chain([GALLERY]) {
            let path = folder.join(name);
            if path.exists() {
                hashes.insert(name.to_owned(), files::fingerprint(&files::read(&path)?));
            }
        }
        Ok(Seal { cell: hash(cell, &hashes), files: hashes })
    }

    /// What does not hold of a cell in `folder`; `None` if all does. Galleries are not looked at, since they are large and
    /// hold no number of a table: see [`Seal::holds`].
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
        let tables = TABLES.into_iter().filter(|_| cell.error.is_none());
        tables
            .filter(|name| !self.holds(name, folder))
            .map(|name| format!("{name} is not what was written"))
            .next()
    }

    /// Whether a file beside `cell.json` is the one that was written with it.
    pub fn holds(&self, name: &str, folder: &Path) -> bool {
        let bytes = files::read(&folder.join(name));
        bytes.is_ok_and(|bytes| self.files.get(name) == Some(&files::fingerprint(&bytes)))
    }

    /// Over the tables: two computations of a cell that found the same numbers have the same.
    pub(super) fn numbers(&self) -> Vec<Option<&String>> {
        TABLES.iter().map(|name| self.files.get(*name)).collect()
    }
}

fn hash(cell: &Cell, files: &BTreeMap<String, String>) -> String {
    files::fingerprint(&serde_json::to_vec(&(cell, files)).expect("cells are plain data"))
}
