//! The study-level board: slices' scores aggregated to studies, by aggregators that are not trained and by one that is.
//! Never mixed with rows of pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::averages::scored;
use super::entrant::{Entrant, entrants, warning};
use crate::files;
use crate::ids::{TaskName, is_of_permuted_labels};
use crate::manifest::Manifest;
use crate::protocol::Protocol;
use crate::results::StoredCell;
use crate::study::aggregator::{Aggregator, TOP_SHARE, calibrated};
use crate::study::learned::Learned;
use crate::study::slices::{Draw, SliceScores};
use board::Board;
use tested::{Found, tested};

mod against;
mod board;
mod figure;
mod row;
mod table;
mod tested;

/// What the trained aggregator is called on the board.
const SAMIL: &str = "SAMIL";

/// What a study-level board shows.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Aggregators that are not trained, in this order.
    pub aggregators: Vec<Aggregator>,
    /// Share of slices of [`Aggregator::TopShare`].
    pub top_share: f64,
    /// Number of shots; the greatest in the run if none is named.
    pub shots: Option<usize>,
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { aggregators: Aggregator::TRIVIAL.to_vec(), top_share: TOP_SHARE, shots: None }
    }
}

/// A run's finished cells, held against the curated benchmark that they must be of.
pub struct Run {
    results: Vec<StoredCell>,
    folder: PathBuf,
}

impl Run {
    /// Reads a run.
    ///
    /// # Errors
    /// A folder that holds no run, or one of another benchmark than `manifest`.
    pub fn read(folder: &Path, manifest: &Manifest) -> Result<Run> {
        let results = super::read(&[folder.to_owned()])?;
        let hash = &manifest.header.canonical_hash;
        ensure!(
            results.iter().all(|cell| cell.cell.identity.manifest_hash == *hash),
            "the run {} is of another benchmark than {} (its hash is {hash}); name the curated folder with --folder",
            folder.display(),
            manifest.folder.display()
        );
        Ok(Run { results, folder: folder.to_owned() })
    }

    /// Its cells, in the order of methods, tasks, shots, draws and seeds.
    pub fn cells(&self) -> &[StoredCell] {
        &self.results
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The number of shots that is shown: the one asked for, else the greatest.
    ///
    /// # Errors
    /// A number that no cell has.
    pub fn shots(&self, asked: Option<usize>) -> Result<usize> {
        let mut all: Vec<usize> = self.results.iter().map(|cell| cell.cell.identity.shots).collect();
        all.sort_unstable();
        all.dedup();
        let shots = asked.or(all.last().copied()).unwrap_or_default();
        ensure!(all.contains(&shots), "no cell has {shots} shots (there are: {all:?})");
        Ok(shots)
    }

    /// What a method scored at a number of shots, for a trained aggregator: slices of all tasks that have studies.
    ///
    /// # Errors
    /// A method that the run has not, or has in several settings, or that learns from other tasks: where it was tested on
    /// another task, it had seen pictures of this one, and its scores would carry them into the aggregator.
    pub fn slice_scores(&self, manifest: &Manifest, method: &str, shots: usize) -> Result<SliceScores> {
        let all = entrants(&self.results);
        let found: Vec<&Entrant> =
            all.iter().filter(|entrant| entrant.label == method || entrant.method == method).collect();
        let [entrant] = found[..] else {
            let known: Vec<&str> = all.iter().map(|entrant| entrant.label.as_str()).collect();
            bail!("the run has {} methods called `{method}` (there are: {})", found.len(), known.join(", "));
        };
        ensure!(
            !entrant.regime.learns_from_others() && !is_of_permuted_labels(entrant.method),
            "{method} is of regime {}: its scores on other tasks rest on pictures of the target, so no aggregator may \
             learn from them; name a method that sees supports alone",
            entrant.regime
        );
        let places = places(entrant, manifest, shots)?;
        ensure!(!places.is_empty(), "{method} has no cells at {shots} shots on a task with studies");
        Ok(SliceScores { label: entrant.label.clone(), shots, draws: places })
    }
}

/// Places of the slices of every task with studies, by draw.
fn places(entrant: &Entrant, manifest: &Manifest, shots: usize) -> Result<BTreeMap<TaskName, Vec<Draw>>> {
    let mut places = BTreeMap::new();
    let cells = entrant.at(shots);
    for task in manifest.tasks() {
        let Found::Studies(_) = tested(manifest, &task)? else { continue };
        let of_task: Vec<&StoredCell> =
            cells.iter().copied().filter(|cell| cell.cell.identity.task == task).collect();
        if of_task.is_empty() {
            continue;
        }
        let drawn = scored(&of_task, &task, Protocol::RANKED)?.with_context(|| {
            format!("{} was scored on different pictures of {task}, or not at all", entrant.label)
        })?;
        let draw = |(cell, scores): (&&StoredCell, &Vec<f64>)| Draw {
            cell: cell.cell.id.clone(),
            places: drawn.pictures.iter().map(|(id, _)| id.clone()).zip(calibrated(scores)).collect(),
        };
        places.insert(task, of_task.iter().zip(&drawn.scores).map(draw).collect());
    }
    Ok(places)
}

/// Writes the board of a run into `out`: `studies.md`, `studies.csv`, `differences.csv`, a figure, and `studies.parquet`
/// with every study's number. Trainings that lie in the run are shown with the rest. Returns the text of `studies.md` and
/// the figure.
///
/// # Errors
/// A run without studies, cells that cannot be read, or an output that cannot be written.
pub fn write(run: &Run, manifest: &Manifest, choice: &Choice, out: &Path) -> Result<(String, PathBuf)> {
    ensure!(
        choice.top_share > 0.0 && choice.top_share <= 1.0,
        "the share of slices must be above 0 and at most 1"
    );
    let shots = run.shots(choice.shots)?;
    let learned = Learned::all(&run.folder)?;
    let all = entrants(&run.results);
    let board = Board::new(&all, manifest, choice, shots, &learned)?;
    let text = table::markdown(&board, warning(&all).as_deref());
    let drawn = figure::draw(&board, warning(&all).as_deref())?;
    files::write_whole(&out.join("studies.svg"), drawn.svg.as_bytes())?;
    files::write_whole(&out.join("studies.png"), &drawn.png)?;
    files::write_whole(&out.join("studies.csv"), &table::csv(&board)?)?;
    files::write_whole(&out.join("differences.csv"), &against::csv(&board.differences)?)?;
    table::write_scores(&board, &out.join("studies.parquet"))?;
    files::write_whole(&out.join("studies.md"), text.as_bytes())?;
    Ok((text, out.join("studies.svg")))
}
