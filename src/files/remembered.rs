//! Hashes of files that are used again and again: each is read once a process, and again when it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};

/// What tells without reading that a file may have changed: bytes and time.
type Stamp = (u64, Option<SystemTime>);

/// What is remembered of one file; whoever reads it has it locked, and others wait.
type Memory = Arc<Mutex<Option<(Stamp, String)>>>;

/// Hashes by one function, remembered.
pub struct RememberedHashes {
    hash: fn(&Path) -> Result<String>,
    seen: Mutex<BTreeMap<PathBuf, Memory>>,
}

impl RememberedHashes {
    /// By `hash`, of which nothing is remembered yet.
    pub const fn new(hash: fn(&Path) -> Result<String>) -> RememberedHashes {
        RememberedHashes { hash, seen: Mutex::new(BTreeMap::new()) }
    }

    /// The hash of a file as it is now, if its size and time tell the truth.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(&self, path: &Path) -> Result<String> {
        let memory = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(seen.entry(path.to_owned()).or_default())
        };
        let mut known = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let meta = std::fs::metadata(path).with_context(|| format!("opening {}", path.display()))?;
        let stamp = (meta.len(), meta.modified().ok());
        match &*known {
            Some((before, hash)) if *before == stamp => Ok(hash.clone()),
            _ => {
                let hash = (self.hash)(path)?;
                *known = Some((stamp, hash.clone()));
                Ok(hash)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static N_READ: AtomicUsize = AtomicUsize::new(0);

    fn counted(path: &Path) -> Result<String> {
        N_READ.fetch_add(1, Ordering::Relaxed);
        crate::files::fingerprint_file(path)
    }

    #[test]
    fn a_file_is_read_once_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let hashes = RememberedHashes::new(counted);
        std::fs::write(&path, "one").unwrap();
        let first = hashes.of(&path).unwrap();
        assert_eq!((hashes.of(&path).unwrap(), N_READ.load(Ordering::Relaxed)), (first.clone(), 1));
        std::fs::write(&path, "longer").unwrap();
        assert_ne!(hashes.of(&path).unwrap(), first);
        assert_eq!(N_READ.load(Ordering::Relaxed), 2);
        assert!(hashes.of(&folder.path().join("absent")).is_err());
    }
}
