//! What a run was planned to hold, so that what is missing can be told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Cell, Seed, Stopped, StoredCell};
use crate::files;
use crate::ids::TaskName;

/// Where a cell stands in a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The method's name; a variant follows a colon.
    pub method: String,
    /// Size of the support set.
    pub shots: usize,
    /// The task held out.
    pub task: TaskName,
    /// Which support set of that size, from 0.
    pub draw: usize,
    /// Of the training.
    pub seed: Seed,
    /// Side of the pictures in pixels.
    pub size: usize,
    /// Of the episodes.
    pub episode_seed: Seed,
}

impl Place {
    /// Of a cell.
    fn of(cell: &Cell) -> Place {
        let id = &cell.identity;
        Place {
            method: id.method.clone(),
            shots: id.shots,
            task: id.task.clone(),
            draw: id.draw,
            seed: id.seed,
            size: id.size,
            episode_seed: id.episode_seed,
        }
    }
}

/// Places planned for the run in a folder that none of the cells has. Cells of other runs count where they have the
/// settings of the run's own cells of that method, or where it has none.
pub fn missing(run: &Path, planned: &BTreeSet<Place>, cells: &[StoredCell]) -> Vec<Place> {
    let is_own = |stored: &&StoredCell| stored.folder.starts_with(run);
    let mut own: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for StoredCell { cell, .. } in cells.iter().filter(is_own) {
        own.entry(&cell.identity.method).or_default().insert(&cell.identity.settings);
    }
    let counts = |stored: &&StoredCell| {
        let id = &stored.cell.identity;
        is_own(stored) || own.get(id.method.as_str()).is_none_or(|own| own.contains(id.settings.as_str()))
    };
    let there: BTreeSet<Place> = cells.iter().filter(counts).map(|stored| Place::of(&stored.cell)).collect();
    planned.difference(&there).cloned().collect()
}

/// The part of `plan.json` that says which cells there are to be.
#[derive(Deserialize)]
struct Plan {
    definition: Definition,
}

#[derive(Deserialize)]
struct Definition {
    methods: Vec<String>,
    /// A plan names every one; plans of earlier programs left them out where all were meant.
    tasks: Vec<TaskName>,
    shots: Vec<usize>,
    draws: usize,
    seeds: Vec<Seed>,
    size: usize,
    episode_seed: Seed,
}

/// The places of all cells that the run in a folder was planned to hold; `None` if no plan lies there, or one that does
/// not name its tasks.
///
/// # Errors
/// A plan that cannot be read.
pub fn planned(run: &Path) -> Result<Option<BTreeSet<Place>>> {
    let path = run.join("plan.json");
    if !path.exists() {
        return Ok(None);
    }
    let Plan { definition } = serde_json::from_str(&files::read_text(&path)?)
        .with_context(|| format!("{} is not a plan; plan again", path.display()))?;
    let Definition { methods, tasks, shots, draws, seeds, size, episode_seed } = definition;
    if tasks.is_empty() {
        return Ok(None);
    }
    let stopped = Stopped::read(run)?;
    let is_left_out = |method: &str, shots: usize, draw: usize| {
        stopped.iter().any(|stopped| stopped.leaves_out(method, shots, draw))
    };
    let mut places = BTreeSet::new();
    for method in &methods {
        for &shots in &shots {
            for task in &tasks {
                for draw in (0..draws).filter(|&draw| !is_left_out(method, shots, draw)) {
                    places.extend(seeds.iter().map(|&seed| Place {
                        method: method.clone(),
                        shots,
                        task: task.clone(),
                        draw,
                        seed,
                        size,
                        episode_seed,
                    }));
                }
            }
        }
    }
    Ok(Some(places))
}
