//! The files that a program is made of, so that a changed one is another method.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::{DirEntry, WalkDir};

use crate::files;

/// Entries of a folder that are looked at, at most, where nobody says which files a program is made of.
const MOST_ENTRIES: usize = 20_000;

/// SHA-256 of each file, by its name as seen from the folder or argument that led to it; where two have one name, the
/// second has its number behind it.
pub(super) type Hashes = BTreeMap<String, String>;

/// Hashes of what a command runs: of its arguments that are files, and of `depends`, files and folders, where they are
/// given. Where they are not, of every file below a program's folder that has the program's ending, since those are what
/// it may import.
///
/// # Errors
/// A file or folder that is missing or cannot be read, or a folder too large to look through.
pub(super) fn hashes(command: &[String], depends: &[PathBuf]) -> Result<Hashes> {
    let mut hashes = Hashes::new();
    for argument in command.iter().map(Path::new).filter(|argument| argument.is_file()) {
        add(&mut hashes, argument.parent(), argument)?;
        if let (true, Some(ending)) = (depends.is_empty(), argument.extension()) {
            let folder = argument.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            for file in below(folder)? {
                if file.extension() == Some(ending) {
                    add(&mut hashes, Some(folder), &file)?;
                }
            }
        }
    }
    for path in depends {
        ensure!(path.exists(), "external: depends names {}, which is not there", path.display());
        if path.is_dir() {
            for file in below(path)? {
                add(&mut hashes, path.parent(), &file)?;
            }
        } else {
            add(&mut hashes, path.parent(), path)?;
        }
    }
    Ok(hashes)
}

fn add(hashes: &mut Hashes, folder: Option<&Path>, file: &Path) -> Result<()> {
    let name = folder.and_then(|folder| file.strip_prefix(folder).ok()).unwrap_or(file);
    let name = name.to_str().with_context(|| format!("{} is not UTF-8; rename it", file.display()))?;
    let hash = files::sha256(&files::read(file)?);
    let names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name} ({number})")));
    for name in names {
        match hashes.get(&name) {
            None => _ = hashes.insert(name, hash),
            Some(known) if *known == hash => {}
            Some(_) => continue,
        }
        break;
    }
    Ok(())
}

/// Every file below a folder, without hidden ones and what Python compiles.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_passed_over = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() > 0 && (name.starts_with('.') || name == "__pycache__")
    };
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut found = Vec::new();
    for (place, entry) in walk.filter_entry(|entry| !is_passed_over(entry)).enumerate() {
        ensure!(
            place < MOST_ENTRIES,
            "external: {} holds over {MOST_ENTRIES} files and folders; name those that the program uses with depends = [...]",
            folder.display()
        );
        // A link that leads nowhere, or a folder that is closed, holds nothing that a program could import.
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}
