//! Hashes of tables: what damaged a file is noticed before parquet's reader sees it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::files::{self, RememberedHashes};

/// Hashes of the files beside a header, which holds them: BLAKE3 of each file's bytes, by its name.
///
/// Over some damage parquet's reader does not return an error but ends the process. A seal keeps damage by accident
/// from it; a file that was made to do harm can bring a fitting hash along.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seals(BTreeMap<String, String>);

impl Seals {
    /// Of files that were just written to `folder`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(folder: &Path, names: &[&str]) -> Result<Seals> {
        let seal = |name: &&str| Ok(((*name).to_owned(), files::fingerprint_file(&folder.join(name))?));
        Ok(Seals(names.iter().map(seal).collect::<Result<_>>()?))
    }

    /// The hash of a file, if it is among them.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The path of a table in `folder` whose bytes are those that were sealed.
    ///
    /// # Errors
    /// A file that is missing or was changed, or one that has no seal.
    pub fn check(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        self.check_by(files::fingerprint_file, folder, name)
    }

    /// As [`Seals::check`], of a large file: it is read once a process, unless its size or time changes.
    ///
    /// # Errors
    /// As [`Seals::check`].
    pub fn check_once(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        static HASHES: RememberedHashes = RememberedHashes::new(files::fingerprint_file);
        self.check_by(|path| HASHES.of(path), folder, name)
    }

    /// These and others, which have other names.
    #[must_use]
    pub fn and(mut self, others: Seals) -> Seals {
        self.0.extend(others.0);
        self
    }

    fn check_by(&self, hash: impl Fn(&Path) -> Result<String>, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(name);
        let sealed = self.0.get(name);
        let sealed = sealed.with_context(|| {
            format!("the header beside {} has no hash of it; build it again", path.display())
        })?;
        let found = hash(&path)?;
        ensure!(
            found == *sealed,
            "{} is damaged or is not the file of its header: its bytes hash to {found}, the header says {sealed}; \
             copy the whole folder anew or build it again",
            path.display()
        );
        Ok(path)
    }
}
