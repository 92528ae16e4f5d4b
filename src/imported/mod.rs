//! Scores that another program computed, as cells of a run: checked against the manifest and the episodes, and
//! from then on measured, compared and reported as any others, but marked as not run here.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};

use crate::episode::{Episodes, HeldOut};
use crate::files;
use crate::ids::{CellId, TaskName};
use crate::manifest::{Manifest, Row, Split};
use crate::regime::Regime;
use crate::results::{
    self, Cell, CellResult, FORMAT, IMPORTED, Identity, Measured, Provenance, Score, Seed, Seen, StoredCell,
    of_maps,
};

/// Cells in the place of earlier ones.
mod exchange;
/// The table as it is read.
pub mod lines;
/// Maps in files.
pub mod map_file;
/// The table against the manifest.
pub mod matched;
/// What scores and maps come to under protocols.
mod predicted;

use exchange::Exchange;
use matched::{Given, Place};
use predicted::Predicted;

/// What an import is made of, beside the table.
pub struct Import<'a> {
    /// The table, for the record.
    pub file: &'a Path,
    /// The curated benchmark.
    pub manifest: &'a Manifest,
    /// Those of the run.
    pub episodes: &'a Episodes,
    /// The run's name.
    pub bench: String,
    /// Receives the cells.
    pub run: &'a Path,
    /// What the author says that the method was given.
    pub regime: Regime,
    /// Which tasks the author kept from training, in regime R2.
    pub held_out: HeldOut,
    /// Side of the pictures in the run.
    pub size: usize,
    /// Where the table names no draw: those that the scores stand for.
    pub draws: Vec<usize>,
    /// Where the table names no seed: those that the scores stand for.
    pub seeds: Vec<u64>,
    /// How the user called the program.
    pub command: String,
    /// Whether cells that were imported before make room.
    pub replace: bool,
}

impl Import<'_> {
    /// Writes a cell for every place, all or none; an import that was interrupted in the run is finished first.
    ///
    /// # Errors
    /// A draw or more shots than the episodes have, two places that are one cell, cells with other scores or another
    /// regime that were imported before, or a folder that cannot be written.
    pub fn write(&self, found: &BTreeMap<Place, Given>) -> Result<usize> {
        let exchange = Exchange::of(self.run)?;
        let results = self.results(found, exchange.draft())?;
        let old = self.make_room(&results)?;
        results.iter().try_for_each(CellResult::write)?;
        exchange.run(old, results.iter().map(|result| result.cell.id.clone()).collect())?;
        Ok(results.len())
    }

    /// A cell for every place, draw and seed, none of them twice.
    fn results(&self, found: &BTreeMap<Place, Given>, draft: &Path) -> Result<Vec<CellResult>> {
        let mut places: HashMap<CellId, &Place> = HashMap::new();
        let mut results = Vec::new();
        for (place, given) in found {
            // Scores and numbers are the same in every draw and seed that a place stands for.
            let mut first: Option<CellResult> = None;
            for &draw in place.draw.as_ref().map_or(&self.draws[..], std::slice::from_ref) {
                for &seed in place.seed.as_ref().map_or(&self.seeds[..], std::slice::from_ref) {
                    let cell = self.cell(place, draw, seed)?;
                    let result = match &first {
                        None => self.result(place, cell, given, draft)?,
                        Some(first) => CellResult { folder: draft.join(&cell.id), cell, ..first.clone() },
                    };
                    first.get_or_insert_with(|| result.clone());
                    if let Some(other) = places.insert(result.cell.id.clone(), place) {
                        bail!(
                            "nothing was imported: `{}` and `{}` are one cell, draw {draw} and seed {seed}",
                            other.words(),
                            place.words()
                        );
                    }
                    results.push(result);
                }
            }
        }
        Ok(results)
    }

    /// Cells of earlier imports where these shall stand, found by method, task, shots, draw and seed: what else an
    /// id depends on, such as the regime's tasks, does not make another cell of it.
    fn make_room(&self, results: &[CellResult]) -> Result<Vec<CellId>> {
        if !self.run.join("cells").exists() {
            return Ok(Vec::new());
        }
        let mut old = Vec::new();
        for earlier in results::read_run(self.run)? {
            let place = Stands::of(&earlier.cell);
            let Some(result) = results.iter().find(|result| Stands::of(&result.cell) == place) else {
                continue;
            };
            if !self.replace {
                check_same(&earlier, result)?;
            }
            old.push(earlier.cell.id);
        }
        Ok(old)
    }

    fn cell(&self, place: &Place, draw: usize, seed: u64) -> Result<Cell> {
        let identity = self.identity(place, draw, seed)?;
        let provenance = self.provenance()?;
        Ok(Cell { format: FORMAT, id: identity.id(), identity, provenance, error: None, lacked: None })
    }

    fn result(&self, place: &Place, cell: Cell, given: &Given, draft: &Path) -> Result<CellResult> {
        let folder = draft.join(&cell.id);
        let mut rows: Vec<&Row> = self.manifest.select(&place.task, Split::Test).collect();
        // As cells that are computed have them.
        rows.sort_by(|a, b| (b.label, &a.source_path, a.frame).cmp(&(a.label, &b.source_path, b.frame)));
        let measured = Predicted::of(given, &rows, self.size)
            .with_context(|| format!("nothing was imported: a map of {}", place.words()))?;
        let score = |(index, row): (usize, &&Row)| Score {
            image_id: row.image_id.clone(),
            label: row.label,
            finding: row.finding.clone(),
            group: row.patient_id.clone().or_else(|| row.group_id.clone()),
            p_value: None,
            scores: measured
                .scores
                .iter()
                .filter_map(|(protocol, all)| Some((*protocol, all[index]?)))
                .collect(),
        };
        let scores = rows.iter().enumerate().map(score).collect();
        let mut result = CellResult { cell, scores, metrics: Vec::new(), epochs: Vec::new(), folder };
        result.metrics = self.metrics(place, &result, &measured, &rows)?;
        Ok(result)
    }

    /// As those of a cell that is computed: pixels under the protocol that ranks.
    fn metrics(
        &self,
        place: &Place,
        result: &CellResult,
        predicted: &Predicted,
        rows: &[&Row],
    ) -> Result<Vec<Measured>> {
        let mut metrics = Vec::new();
        for &protocol in predicted.scores.keys() {
            let of_scores = results::image_level(result, protocol).into_iter();
            metrics.extend(of_scores.filter(|row| predicted.counts(protocol, row.metric)));
        }
        if let Some(maps) = predicted.maps.as_ref().filter(|_| rows.iter().any(|row| row.mask_hash.is_some()))
        {
            let task = self.manifest.task(&place.task)?;
            metrics.extend(of_maps::pixels(rows, &task.store(self.size)?, maps, None, None)?);
        }
        Ok(metrics)
    }

    fn identity(&self, place: &Place, draw: usize, seed: u64) -> Result<Identity> {
        let Place { method, task, shots, .. } = place;
        let held_out = if self.regime.learns_from_others() { self.held_out } else { HeldOut::None };
        let training = held_out.given_tasks(self.regime, self.manifest, task);
        let n_draws = self.episodes.settings.draws;
        ensure!(
            draw < n_draws,
            "nothing was imported: draw {draw} of {task} is not among the run's {n_draws} support draws, which count from 0"
        );
        Ok(Identity {
            method: format!("{IMPORTED}{method}"),
            settings: "{}".to_owned(),
            task: task.clone(),
            shots: *shots,
            draw,
            seed: Seed(seed),
            size: self.size,
            held_out,
            manifest_hash: self.manifest.header.canonical_hash.clone(),
            episode_seed: Seed(self.episodes.settings.seed),
            episodes_hash: self.episodes.cell_hash(task, draw, *shots, &training)?,
            code_hash: String::new(),
            weights_hash: String::new(),
            device_class: "elsewhere".to_owned(),
            epoch_by_sources: false,
            observed_every: None,
        })
    }

    fn provenance(&self) -> Result<Provenance> {
        let header = &self.manifest.header;
        let (hash, _) = files::sha256_of(&[PathBuf::from(self.file)])?;
        let file = files::last_name(&self.file.display().to_string());
        Ok(Provenance {
            bench: self.bench.clone(),
            regime: self.regime,
            spec: header.spec.clone(),
            spec_version: header.spec_version,
            spec_title: header.title.clone(),
            backbone: String::new(),
            weights: format!("imported, not run here: {file}, SHA-256 {hash}"),
            extension: None,
            random_weights: false,
            weights_trained_on: None,
            seen_before: Some(Seen::Unknown),
            teacher_regime: None,
            teacher_recipe: None,
            version: crate::VERSION.to_owned(),
            git_revision: crate::GIT_REVISION.to_owned(),
            libtorch: "none".to_owned(),
            device: "elsewhere".to_owned(),
            threads: 0,
            precision: "unknown".to_owned(),
            subnormals: None,
            kernels: None,
            command: self.command.clone(),
            started_at: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            fit_seconds: None,
            observe_seconds: None,
            score_seconds: None,
            latency_seconds: None,
            peak_memory_bytes: None,
        })
    }
}

/// Where a cell stands in a run's tables.
#[derive(PartialEq)]
struct Stands<'a> {
    method: &'a str,
    task: &'a TaskName,
    shots: usize,
    draw: usize,
    seed: Seed,
}

impl Stands<'_> {
    fn of(cell: &Cell) -> Stands<'_> {
        let Identity { method, task, shots, draw, seed, .. } = &cell.identity;
        Stands { method, task, shots: *shots, draw: *draw, seed: *seed }
    }
}

/// Whether an earlier import says what this one says.
fn check_same(earlier: &StoredCell, new: &CellResult) -> Result<()> {
    let regimes = [earlier.cell.provenance.regime, new.cell.provenance.regime];
    let what = if regimes[0] != regimes[1] {
        format!("scores under regime {}, not {},", regimes[0], regimes[1])
    } else if earlier.cell.id != new.cell.id {
        "scores with another benchmark, size or episodes".to_owned()
    } else if earlier.scores()? != new.scores {
        "other scores".to_owned()
    } else {
        return Ok(());
    };
    let Identity { method, task, shots, draw, seed, .. } = &new.cell.identity;
    bail!(
        "nothing was imported: {what} of {method} on {task}, {shots} shots, draw {draw}, seed {seed} were imported before \
         ({}); --replace puts these in their place",
        earlier.folder.display()
    );
}
