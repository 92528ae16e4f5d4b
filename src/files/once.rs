//! Hashes of files that are used again and again: each is read once a process, and again when it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};

/// What tells without reading that a file may have changed: bytes and time.
type Stamp = (u64, Option<SystemTime>);

/// Hashes by one function, remembered.
pub struct Once {
    hash: fn(&Path) -> Result<String>,
    seen: Mutex<BTreeMap<PathBuf, (Stamp, String)>>,
}

impl Once {
    /// By `hash`, of which nothing is remembered yet.
    pub const fn new(hash: fn(&Path) -> Result<String>) -> Once {
        Once { hash, seen: Mutex::new(BTreeMap::new()) }
    }

    /// The hash of a file as it is now, if its size and time tell the truth. Others wait while it is read.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(&self, path: &Path) -> Result<String> {
        let meta = std::fs::metadata(path).with_context(|| format!("opening {}", path.display()))?;
        let stamp = (meta.len(), meta.modified().ok());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = seen.get(path).filter(|(before, _)| *before == stamp) {
            return Ok(hash.clone());
        }
        let hash = (self.hash)(path)?;
        seen.insert(path.to_owned(), (stamp, hash.clone()));
        Ok(hash)
    }
}
