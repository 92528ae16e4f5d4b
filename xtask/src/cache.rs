//! The user's cache folder: where it is, its lock, the space left.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::programs;

/// `MEDFSAD_CACHE`, else `XDG_CACHE_HOME/medfsad`, else `~/.cache/medfsad`; shared by all checkouts.
pub(crate) fn folder() -> Result<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given("MEDFSAD_CACHE")
        .or_else(|| given("XDG_CACHE_HOME").map(|folder| folder.join("medfsad")))
        .or_else(|| given("HOME").map(|home| home.join(".cache/medfsad")))
        .context("no cache folder: set MEDFSAD_CACHE to one that you may write to")?;
    std::path::absolute(&folder).with_context(|| format!("cannot resolve {}", folder.display()))
}

/// Holds the cache until dropped; none where the file system knows no locks.
pub(crate) fn lock(cache: &Path) -> Result<Option<File>> {
    create(cache)?;
    let path = cache.join(".lock");
    let file = File::create(&path)
        .with_context(|| format!("cannot write {}; set MEDFSAD_CACHE to another folder", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            eprintln!("another checkout is filling {}; waiting for it", cache.display());
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
            Ok(Some(file))
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Makes a folder and those above it.
pub(crate) fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}; set MEDFSAD_CACHE to another folder", folder.display()))
}

/// Fails when fewer bytes are free where the cache is than are needed.
pub(crate) fn ensure_room(cache: &Path, needed: u64) -> Result<()> {
    let Some(free) = free_bytes(cache) else { return Ok(()) };
    ensure!(
        free >= needed,
        "only {} free at {} and {} needed; make room, or set MEDFSAD_CACHE to a folder on another disk",
        in_gigabytes(free),
        cache.display(),
        in_gigabytes(needed)
    );
    Ok(())
}

/// Bytes free on the disk of a path, which need not exist yet; none if `df` cannot tell.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|folder| folder.exists())?;
    parse_free(&programs::answer("df", &["-Pk".as_ref(), there.as_os_str()])?)
}

fn parse_free(table: &str) -> Option<u64> {
    let kibibytes: u64 = table.lines().nth(1)?.split_whitespace().rev().nth(2)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Bytes in all files below a folder; links are not followed.
pub(crate) fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Bytes for people.
pub(crate) fn in_gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_the_fourth_column_even_when_the_mount_point_is_odd() {
        let table = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                     /dev/vda 1000 400 600 40% /\n";
        assert_eq!(parse_free(table), Some(600 * 1024));
        assert_eq!(parse_free("nothing"), None);
    }

    #[test]
    fn a_full_disk_names_the_remedy() {
        let error = ensure_room(Path::new("/"), u64::MAX).unwrap_err();
        assert!(error.to_string().contains("MEDFSAD_CACHE"), "{error}");
        assert!(ensure_room(Path::new("/no/such/folder"), 0).is_ok());
    }
}
