//! The study-level board: slices' scores aggregated to studies, by aggregators that are not trained and by one that is.
//! Never mixed with rows of pictures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::averages::scored;
use super::entrant::{Entrant, entrants, warning_of};
use crate::episode::HeldOut;
use crate::files;
use crate::ids::{TaskName, is_of_permuted_labels};
use crate::manifest::{Manifest, Rejected};
use crate::protocol::Protocol;
use crate::regime::Regime;
use crate::results::StoredCell;
use crate::study::aggregator::{Aggregator, TOP_SHARE, calibrated};
use crate::study::learned::Learned;
use crate::study::slices::{Draw, SliceScores};
use board::Board;
use tested::{Found, tested};

mod against;
mod basis;
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
    /// The benchmark's files that were found and not used.
    rejected: Vec<Rejected>,
}

impl Run {
    /// Reads a run.
    ///
    /// # Errors
    /// A folder that holds no run, one of another benchmark than `manifest`, or a benchmark whose table of rejected files
    /// cannot be read.
    pub fn read(folder: &Path, manifest: &Manifest) -> Result<Run> {
        Run::of(super::read(&[folder.to_owned()])?, folder, manifest)
    }

    /// Reads a run, and the curated benchmark that `curated` finds by the name of its spec.
    ///
    /// # Errors
    /// As [`Run::read`], and what `curated` fails with.
    pub fn read_with(
        folder: &Path,
        curated: impl FnOnce(&str) -> Result<Manifest>,
    ) -> Result<(Run, Manifest)> {
        let results = super::read(&[folder.to_owned()])?;
        let manifest = curated(&results[0].cell.provenance.spec)?;
        Ok((Run::of(results, folder, &manifest)?, manifest))
    }

    fn of(results: Vec<StoredCell>, folder: &Path, manifest: &Manifest) -> Result<Run> {
        let hash = &manifest.header.canonical_hash;
        ensure!(
            results.iter().all(|cell| cell.cell.identity.manifest_hash == *hash),
            "the run {} is of another benchmark than {} (its hash is {hash}); name the curated folder with --folder",
            folder.display(),
            manifest.folder.display()
        );
        Ok(Run { results, folder: folder.to_owned(), rejected: manifest.rejected()? })
    }

    /// Its cells, in the order of methods, tasks, shots, draws and seeds.
    pub fn cells(&self) -> &[StoredCell] {
        &self.results
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Files of the benchmark that were found and not used.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Which tasks are held out for a target: the rule of the first cell that depends on it; every other task trains where
    /// none does.
    pub fn held_out(&self) -> HeldOut {
        let mut rules = self.results.iter().map(|cell| cell.cell.identity.held_out);
        rules.find(|rule| *rule != HeldOut::None).unwrap_or(HeldOut::Dataset)
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
    /// A method that the run has not, or has in several settings, or that learns from other tasks, itself or its teacher:
    /// where it was tested on another task, it had seen pictures of this one, and its scores would carry them into the
    /// aggregator.
    pub fn slice_scores(&self, manifest: &Manifest, method: &str, shots: usize) -> Result<SliceScores> {
        let all = entrants(&self.results);
        let found: Vec<&Entrant> =
            all.iter().filter(|entrant| entrant.label == method || entrant.method == method).collect();
        let [entrant] = found[..] else {
            let known: Vec<&str> = all.iter().map(|entrant| entrant.label.as_str()).collect();
            bail!(
                "the run {} has {} methods called `{method}` (there are: {}); name one of these",
                self.folder.display(),
                found.len(),
                known.join(", ")
            );
        };
        ensure!(
            !is_of_permuted_labels(entrant.method),
            "{method} permutes labels slice by slice; name a method that does not"
        );
        if let Some(regime) = learns_from_others(entrant) {
            bail!(
                "{method} learns from other tasks, itself or its teacher (regime {regime}): its scores on other tasks rest on \
                 pictures of the target, so no aggregator may learn from them; name a method that sees its own task alone, on \
                 a teacher that was not trained on tasks of the benchmark"
            );
        }
        let places = self.places(entrant, manifest, shots)?;
        ensure!(
            !places.is_empty(),
            "{method} has no cells at {shots} shots in {} on a task with studies; name others with --shots, or let the bench \
             run on",
            self.folder.display()
        );
        Ok(SliceScores { label: entrant.label.clone(), regime: entrant.regime, shots, draws: places })
    }

    /// Places of the slices of every task with studies, by draw.
    fn places(
        &self,
        entrant: &Entrant,
        manifest: &Manifest,
        shots: usize,
    ) -> Result<BTreeMap<TaskName, Vec<Draw>>> {
        let mut places = BTreeMap::new();
        let cells = entrant.at(shots);
        for task in manifest.tasks() {
            let Found::Studies(_) = tested(manifest, &self.rejected, &task) else { continue };
            let of_task: Vec<&StoredCell> =
                cells.iter().copied().filter(|cell| cell.cell.identity.task == task).collect();
            if of_task.is_empty() {
                continue;
            }
            let drawn = scored(&of_task, &task, Protocol::RANKED)?.with_context(|| {
                format!(
                    "cells of {} at {shots} shots in {} scored different pictures of {task}, or none, such as where one ended \
                     with an error; run its bench again with --retry-failed",
                    entrant.label,
                    self.folder.display()
                )
            })?;
            let draw = |(cell, scores): (&&StoredCell, &Vec<f64>)| Draw {
                cell: cell.cell.id.clone(),
                places: drawn.pictures.iter().map(|(id, _)| id.clone()).zip(calibrated(scores)).collect(),
            };
            places.insert(task, of_task.iter().zip(&drawn.scores).map(draw).collect());
        }
        Ok(places)
    }
}

/// The regime of a cell or of its teacher that learns from other tasks, whatever the larger of both says.
fn learns_from_others(entrant: &Entrant) -> Option<Regime> {
    let of_cell = |cell: &&StoredCell| {
        let provenance = &cell.cell.provenance;
        [Some(provenance.regime), provenance.teacher_regime]
    };
    let mut regimes = entrant.cells.iter().flat_map(of_cell).flatten();
    regimes.find(|regime| regime.learns_from_others())
}

/// The loud label of a board on which methods or SAMIL have random networks.
fn warning(entrants: &[Entrant], board: &Board) -> Option<String> {
    let trained = || board.rows.iter().filter(|row| row.saw.is_some());
    let of_samil: Vec<String> = trained()
        .filter(|row| row.class == "random")
        .map(|row| format!("{SAMIL} on {}", row.method))
        .collect();
    let mut random: Vec<&str> =
        entrants.iter().filter(|entrant| entrant.random).map(|entrant| entrant.label.as_str()).collect();
    random.extend(of_samil.iter().map(String::as_str));
    let mut others = entrants.iter().filter(|entrant| !entrant.control && !entrant.imported);
    warning_of(&random, others.all(|entrant| entrant.random) && of_samil.len() == trained().count())
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
    let board = Board::new(&all, (manifest, &run.rejected), choice, shots, &learned)?;
    let warning = warning(&all, &board);
    let text = table::markdown(&board, warning.as_deref());
    let drawn = figure::draw(&board, warning.as_deref())?;
    drawn.write(out)?;
    files::write_whole(&out.join("studies.csv"), &table::csv(&board)?)?;
    files::write_whole(&out.join("differences.csv"), &against::csv(&board.differences, &board.benchmark)?)?;
    table::write_scores(&board, &out.join("studies.parquet"))?;
    files::write_whole(&out.join("studies.md"), text.as_bytes())?;
    Ok((text, out.join("studies.svg")))
}
