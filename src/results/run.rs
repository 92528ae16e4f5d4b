//! The cells of a run, or of several.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;

use super::StoredCell;

/// Reads every finished cell below `run/cells`, sorted by method, task, shots, draw and seed. A cell that is not what was
/// written is a failed one.
///
/// # Errors
/// A folder without `cells`, or a cell that cannot be read.
pub fn read_run(run: &Path) -> Result<Vec<StoredCell>> {
    read_runs(&[run.to_owned()])
}

/// As [`read_run`], over several runs; a cell that lies in more than one, with the same numbers, counts once.
///
/// # Errors
/// As [`read_run`], and two copies of a cell that differ.
pub fn read_runs(runs: &[PathBuf]) -> Result<Vec<StoredCell>> {
    let mut results = BTreeMap::new();
    for run in runs {
        let read = folders(run)?.into_par_iter().map(|folder| StoredCell::read(&folder));
        for result in read.collect::<Vec<Result<StoredCell>>>() {
            let result = result?;
            match results.entry(result.cell.id.clone()) {
                Entry::Vacant(place) => {
                    place.insert(result);
                }
                Entry::Occupied(mut place) => {
                    let kept = one_of(place.get(), &result)?.clone();
                    place.insert(kept);
                }
            }
        }
    }
    let mut results: Vec<StoredCell> = results.into_values().collect();
    let key = |result: &StoredCell| {
        let i = &result.cell.identity;
        (i.method.clone(), i.task.clone(), i.shots, i.draw, i.seed, result.cell.id.clone())
    };
    results.sort_by_key(key);
    Ok(results)
}

/// Folders of finished cells, by name.
fn folders(run: &Path) -> Result<Vec<PathBuf>> {
    let cells = run.join("cells");
    let entries = std::fs::read_dir(&cells).with_context(|| {
        format!("{} holds no run (no folder `cells`); run `cargo xtask bench` first", run.display())
    })?;
    let mut folders = Vec::new();
    for entry in entries {
        let folder = entry.with_context(|| format!("listing {}", cells.display()))?.path();
        if folder.join("cell.json").exists() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Of two copies of a cell, the one to keep, whichever comes first: one that did not fail, else that of the smaller seal.
///
/// # Errors
/// Copies with other numbers, or one that is not what was written: nobody can tell which is right.
fn one_of<'a>(first: &'a StoredCell, second: &'a StoredCell) -> Result<&'a StoredCell> {
    let both = [first, second];
    let has_numbers = |result: &StoredCell| result.cell.error.is_none();
    let differ =
        both.iter().all(|result| has_numbers(result)) && first.seal.numbers() != second.seal.numbers();
    if differ || both.iter().any(|result| result.cell.altered().is_some()) {
        bail!(
            "cell {} ({} on {}) lies in {} and in {}, and the two are not the same; remove the one that is wrong",
            first.cell.id,
            first.cell.identity.method,
            first.cell.identity.task,
            first.folder.display(),
            second.folder.display()
        );
    }
    Ok(match (has_numbers(first), has_numbers(second)) {
        (true, false) => first,
        (false, true) => second,
        _ if first.seal.cell <= second.seal.cell => first,
        _ => second,
    })
}
