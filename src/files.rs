//! Files are written whole: under a temporary name, then renamed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use sha2::Digest;

mod draft;
mod folders;
/// Who works on what.
pub mod lock;
mod owner;
mod remembered;
mod switch;
mod walk;

pub use draft::Draft;
pub use folders::{CACHE, from_to, last_name, stated, without_folders};
pub use remembered::RememberedHashes;
pub use switch::switch;
pub use walk::{Rejected, Scan, scan, walk};

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, never a part.
/// Folders on the way are made.
///
/// # Errors
/// A path that cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_with(path, |file| Ok(file.write_all(bytes)?))
}

/// As [`write_whole`], for content that is streamed into the file.
///
/// # Errors
/// As [`write_whole`], or what `fill` fails with.
pub fn write_whole_with(path: &Path, fill: impl FnOnce(&mut Draft) -> Result<()>) -> Result<()> {
    let draft = draft_path(path);
    let write = || -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Draft::new(fs::File::create(&draft)?).filled(fill)?.sync_all()?;
        Ok(fs::rename(&draft, path)?)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&draft)))
        .with_context(|| format!("writing {}", path.display()))
}

/// Whether it comes of a disk, or a quota, that is full. It is what the system said; no text is looked at.
pub fn lacks_room(error: &anyhow::Error) -> bool {
    let mut of_system = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    of_system.any(|error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}

/// Writes `bytes` without waiting for the disk, for the many files of a folder that a marker of its own calls
/// finished. Folders on the way are made.
///
/// # Errors
/// A path that cannot be written.
pub fn write_unsynced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, bytes)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Removes a folder and all in it; that there is none is no error.
///
/// # Errors
/// A folder that is there and cannot be removed.
pub fn remove_folder_if_there(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a file; that there is none is no error.
///
/// # Errors
/// A file that is there and cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what killed processes left of their attempts to write `path`; for files that one process alone writes.
///
/// # Errors
/// A draft that cannot be removed; a folder that cannot be listed is passed over.
pub fn remove_drafts(path: &Path) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    remove_where(folder, |found| found.strip_prefix(name).is_some_and(|rest| rest.starts_with(DRAFT)))
}

/// As [`remove_drafts`] for every file of a folder that one process alone writes.
///
/// # Errors
/// As [`remove_drafts`].
pub fn remove_drafts_in(folder: &Path) -> Result<()> {
    remove_where(folder, |found| found.contains(DRAFT))
}

fn remove_where(folder: &Path, is_one: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_one) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// What follows a file's name while it is written.
const DRAFT: &str = ".draft-";

/// A name of its own for every write, so that threads and processes writing one file do not meet.
fn draft_path(path: &Path) -> PathBuf {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("{DRAFT}{}-{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Reads a file; the error names it.
///
/// # Errors
/// A file that is missing or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Reads at most the first `limit` bytes of a file; the error names it.
///
/// # Errors
/// As [`read`].
pub fn read_head(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    file.take(limit).read_to_end(&mut head).with_context(|| format!("reading {}", path.display()))?;
    Ok(head)
}

/// Bytes in a file; the error names it.
///
/// # Errors
/// As [`read`].
pub fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("reading {}", path.display()))?.len())
}

/// Reads a text file; the error names it.
///
/// # Errors
/// As [`read`], or bytes that are not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// SHA-256 as 64 hexadecimal digits, the hash that owners publish.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&sha2::Sha256::digest(bytes))
}

/// SHA-256 and length of several files, one after the other, without holding them in memory.
///
/// # Errors
/// Names the first file that cannot be read.
pub fn sha256_of(paths: &[PathBuf]) -> Result<(String, u64)> {
    let (mut hasher, mut length) = (sha2::Sha256::new(), 0);
    let mut part = vec![0; 1 << 18];
    for path in paths {
        let mut read = || -> std::io::Result<()> {
            let mut file = fs::File::open(path)?;
            loop {
                let n_read = file.read(&mut part)?;
                if n_read == 0 {
                    return Ok(());
                }
                hasher.update(&part[..n_read]);
                length += n_read as u64;
            }
        };
        read().with_context(|| format!("reading {}", path.display()))?;
    }
    Ok((hexadecimal(&hasher.finalize()), length))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 32 hexadecimal digits of BLAKE3, our identity for anything we made.
pub fn fingerprint(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

/// As [`fingerprint`] of a file, without holding it in memory.
///
/// # Errors
/// As [`read`].
pub fn fingerprint_file(path: &Path) -> Result<String> {
    let hash = || -> std::io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(path)?)?;
        Ok(hasher.finalize().to_hex()[..32].to_owned())
    };
    hash().with_context(|| format!("reading {}", path.display()))
}

/// As [`fingerprint`] of all parts, one after the other, which need not be in memory together.
pub fn fingerprint_of(parts: impl Iterator<Item = String>) -> String {
    let mut hasher = blake3::Hasher::new();
    parts.for_each(|part| _ = hasher.update(part.as_bytes()));
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Where weights and other things shared by all checkouts of a user are kept:
/// `MEDFSAD_CACHE`, else `XDG_CACHE_HOME/medfsad`, else `~/.cache/medfsad`.
///
/// # Errors
/// None of the three variables is set: asks for `MEDFSAD_CACHE`.
pub fn cache_folder() -> Result<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given("MEDFSAD_CACHE")
        .or_else(|| given("XDG_CACHE_HOME").map(|folder| folder.join("medfsad")))
        .or_else(|| given("HOME").map(|home| home.join(".cache/medfsad")))
        .context("no cache folder: set MEDFSAD_CACHE to one that you may write to")
}
