//! All lines of the study-level board.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Result, ensure};

use super::Choice;
use super::against::{Difference, differences};
use super::basis::Basis;
use super::row::{BoardRow, OnTask, Saw};
use super::tested::{Found, TaskStudies, tested};
use crate::ids::{CellId, ImageId, TaskName, is_of_permuted_labels};
use crate::manifest::{Manifest, Rejected};
use crate::protocol::Protocol;
use crate::report::averages::scored;
use crate::report::entrant::Entrant;
use crate::results::StoredCell;
use crate::study::aggregator::Aggregator;
use crate::study::learned::{Learned, LearnedIdentity};

/// The board at one number of shots.
pub(super) struct Board<'a> {
    /// The benchmark's name and its manifest's hash.
    pub benchmark: [String; 2],
    pub shots: usize,
    /// Tasks that have studies, in the manifest's order.
    pub tasks: Vec<(TaskName, TaskStudies<'a>)>,
    /// Best mean first, the trained ones among them.
    pub rows: Vec<BoardRow>,
    /// Of the trained aggregators to those that are not.
    pub differences: Vec<Difference>,
    /// What is not on the board, in words.
    pub left_out: Vec<String>,
    /// Share of slices of [`Aggregator::TopShare`].
    pub top_share: f64,
    /// What each method's scores rest on, in words.
    pub scored: Vec<String>,
    /// Of each training that is shown, in words.
    pub trainings: Vec<String>,
}

/// The line that knows nothing but how many slices a study has.
const COUNT: [&str; 3] = ["control: number of slices", "count", "R0"];

impl<'a> Board<'a> {
    pub(super) fn new(
        entrants: &[Entrant],
        (manifest, rejected): (&'a Manifest, &[Rejected]),
        choice: &Choice,
        shots: usize,
        learned: &[Learned],
    ) -> Result<Board<'a>> {
        let (mut tasks, mut left_out) = (Vec::new(), Vec::new());
        let is_run = |task: &str| {
            entrants.iter().flat_map(|entrant| &entrant.cells).any(|cell| cell.cell.identity.task == *task)
        };
        for task in manifest.tasks().into_iter().filter(|task| is_run(task)) {
            match tested(manifest, rejected, &task) {
                Found::Studies(found) => {
                    left_out.extend(found.notes.iter().cloned());
                    tasks.push((task, found));
                }
                Found::Nothing => left_out.push(format!("{task}, which has no study of several pictures")),
            }
        }
        ensure!(
            !tasks.is_empty(),
            "no task of this run has a study of more than one test picture: rows of the manifest need a study_id, or a \
             volume they are slices of"
        );
        let header = &manifest.header;
        let name = format!("{} ({}, version {})", header.title, header.spec, header.spec_version);
        let mut board = Board {
            benchmark: [name, header.canonical_hash.clone()],
            shots,
            tasks,
            rows: Vec::new(),
            differences: Vec::new(),
            left_out,
            top_share: choice.top_share,
            scored: Vec::new(),
            trainings: Vec::new(),
        };
        board.add_untrained(entrants, choice)?;
        board.add_count();
        board.add_trained(entrants, learned)?;
        board.differences = differences(&board.rows, &board.tasks);
        let value = |row: &BoardRow| row.auroc.map_or(f64::NEG_INFINITY, |number| number.value);
        board.rows.sort_by(|a, b| {
            let names = |row: &BoardRow| (row.method.clone(), row.aggregator.clone());
            value(b).total_cmp(&value(a)).then_with(|| names(a).cmp(&names(b)))
        });
        Ok(board)
    }

    /// Every method under every aggregator that is not trained.
    fn add_untrained(&mut self, entrants: &[Entrant], choice: &Choice) -> Result<()> {
        for entrant in entrants {
            if is_of_permuted_labels(entrant.method) {
                self.left_out.push(format!("{}, whose labels are permuted slice by slice", entrant.label));
                continue;
            }
            let cells = entrant.at(self.shots);
            if cells.is_empty() {
                continue;
            }
            let slices: Vec<_> =
                self.tasks.iter().map(|(name, task)| of_slices(&cells, name, task)).collect::<Result<_>>()?;
            let class = if entrant.control {
                "control"
            } else if entrant.random {
                "random"
            } else {
                ""
            };
            let basis = Basis::of_cells(&cells);
            if !entrant.control {
                self.scored.push(format!("{}: {}", entrant.label, basis.words()));
            }
            // What a control aggregates is no question: one aggregator shows whether it tells anything.
            let n_shown = if entrant.control { 1 } else { choice.aggregators.len() };
            for &aggregator in choice.aggregators.iter().take(n_shown) {
                let of_task = |((name, task), slices): (&(TaskName, TaskStudies), &Option<Slices>)| {
                    let slices = slices.as_ref()?;
                    let of_draw = |draw: &Vec<f64>| aggregator.of(draw, &slices.studies, choice.top_share);
                    let scores = slices.draws.iter().map(of_draw).collect::<Option<Vec<_>>>()?;
                    OnTask::new(&task.sample, scores, name)
                };
                let tasks = self.tasks.iter().zip(&slices).map(of_task).collect();
                let name = [entrant.label.clone(), aggregator.to_string(), entrant.regime_words()];
                self.rows.push(BoardRow::new(name, (class, None), basis.clone(), tasks));
            }
        }
        Ok(())
    }

    fn add_count(&mut self) {
        let of_task = |(name, task): &(TaskName, TaskStudies)| {
            let counts = task.studies.iter().map(|study| study.rows.len() as f64).collect();
            OnTask::new(&task.sample, vec![counts], name)
        };
        let tasks = self.tasks.iter().map(of_task).collect();
        let name = COUNT.map(str::to_owned);
        self.rows.push(BoardRow::new(name, ("control", None), Basis::default(), tasks));
    }

    /// Trainings of this run, as far as they rest on the cells that are there now.
    fn add_trained(&mut self, entrants: &[Entrant], learned: &[Learned]) -> Result<()> {
        let mut groups: BTreeMap<String, Vec<&Learned>> = BTreeMap::new();
        for one in learned.iter().filter(|one| one.identity.shots.is_none_or(|shots| shots == self.shots)) {
            match self.obstacle(one, entrants) {
                Some(why) => self.left_out.push(format!("a training for {}: {why}", one.identity.task)),
                None => groups.entry(alike(one)).or_default().push(one),
            }
        }
        let mut numbers: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for group in groups.values() {
            let first = group[0];
            let of = entrant_of(&first.identity, entrants).map(|entrant| entrant.label.clone());
            let number = numbers.entry(of.clone()).and_modify(|n| *n += 1).or_insert(1);
            let inputs = of.as_ref().map_or("features".to_owned(), |of| format!("features and {of}"));
            let method = if *number > 1 { format!("{inputs} (training {number})") } else { inputs };
            let of_task = |(name, task): &(TaskName, TaskStudies)| {
                let one = group.iter().find(|one| one.identity.task == *name)?;
                OnTask::new(&task.sample, of_studies(one, task)?, name)
            };
            let tasks = self.tasks.iter().map(of_task).collect();
            let basis = Basis::of_trainings(group);
            self.trainings.push(words(&method, &basis, group));
            let class = if first.training.random_weights { "random" } else { "" };
            let name = [method, super::SAMIL.to_owned(), first.training.regime.to_string()];
            self.rows.push(BoardRow::new(name, (class, Some(Saw { scores_of: of })), basis, tasks));
        }
        Ok(())
    }

    /// Why a training is not shown.
    fn obstacle(&self, one: &Learned, entrants: &[Entrant]) -> Option<String> {
        let LearnedIdentity { manifest_hash, scores_of, cells, task, .. } = &one.identity;
        let hashes = || entrants.iter().flat_map(|entrant| &entrant.cells);
        if hashes().any(|cell| cell.cell.identity.manifest_hash != *manifest_hash) {
            return Some("it is of another benchmark".to_owned());
        }
        if !self.tasks.iter().any(|(name, _)| name == task) {
            return Some("that task has no studies here".to_owned());
        }
        let of = scores_of.as_ref()?;
        let Some(entrant) = entrant_of(&one.identity, entrants) else {
            return Some(format!("{of} was computed anew since; train again"));
        };
        let is_of_it = |other: &TaskName| other == task || one.training.sources.contains(other);
        let known: HashSet<&CellId> = cells.iter().collect();
        let is_new =
            |cell: &&StoredCell| is_of_it(&cell.cell.identity.task) && !known.contains(&cell.cell.id);
        let has_more = entrant.at(self.shots).iter().any(is_new);
        has_more.then(|| format!("{of} has more draws since; train again"))
    }
}

/// The method whose cells a training rests on, all of them; `None` where it has none, or they are no longer there. Its name
/// may be another by now: methods are numbered when a second set-up joins them.
fn entrant_of<'e, 'a>(identity: &LearnedIdentity, entrants: &'e [Entrant<'a>]) -> Option<&'e Entrant<'a>> {
    identity.scores_of.as_ref()?;
    let has = |entrant: &&Entrant| {
        let own: HashSet<&CellId> = entrant.cells.iter().map(|cell| &cell.cell.id).collect();
        !identity.cells.is_empty() && identity.cells.iter().all(|id| own.contains(id))
    };
    entrants.iter().find(has)
}

/// What must agree for trainings of several tasks to share a row.
fn alike(one: &Learned) -> String {
    let LearnedIdentity { settings, shots, seed, size, held_out, code_hash, .. } = &one.identity;
    let LearnedIdentity { scores_of, weights_hash, device_class, .. } = &one.identity;
    // One recipe gives each target weights of its own.
    let weights = one.training.teacher_recipe.as_ref().unwrap_or(weights_hash);
    format!(
        "{scores_of:?} {shots:?} {settings} {seed} {size} {held_out} {code_hash} {weights} {device_class}"
    )
}

fn words(method: &str, basis: &Basis, group: &[&Learned]) -> String {
    let of = |one: &&Learned| {
        let [normal, anomalous] = one.training.n_studies;
        let left_out = match one.training.n_left_out {
            0 => String::new(),
            n => format!("; {n} left out that share a picture, a file or a patient with the target"),
        };
        let sources: Vec<&str> = one.training.sources.iter().map(TaskName::as_str).collect();
        format!(
            "{}: {normal} normal and {anomalous} anomalous studies of {}{left_out}",
            one.identity.task,
            sources.join(", ")
        )
    };
    let studies = group.iter().map(of).collect::<Vec<_>>().join("; ");
    format!("{method} ({}): {studies}", basis.words())
}

/// Scores of a task's slices by draw, and where each study's slices stand among them.
struct Slices {
    draws: Vec<Vec<f64>>,
    studies: Vec<Vec<usize>>,
}

/// `None` where the cells were scored on different pictures, or lack a slice of a study.
fn of_slices(cells: &[&StoredCell], task: &str, found: &TaskStudies) -> Result<Option<Slices>> {
    let Some(drawn) = scored(cells, task, Protocol::RANKED)? else { return Ok(None) };
    let places: HashMap<&ImageId, usize> =
        drawn.pictures.iter().enumerate().map(|(place, (id, _))| (id, place)).collect();
    let place = |row: &&crate::manifest::Row| places.get(&row.image_id).copied();
    let studies: Option<Vec<Vec<usize>>> =
        found.studies.iter().map(|study| study.rows.iter().map(place).collect()).collect();
    Ok(studies.map(|studies| Slices { draws: drawn.scores, studies }))
}

/// By draw, in the order of a task's studies; `None` where one has no score.
fn of_studies(one: &Learned, task: &TaskStudies) -> Option<Vec<Vec<f64>>> {
    let scores: HashMap<(u64, &str), f64> =
        one.studies.iter().map(|row| ((row.draw, row.study.as_str()), row.score)).collect();
    let n_draws = one.studies.iter().map(|row| row.draw + 1).max()?;
    let of_draw =
        |draw: u64| task.studies.iter().map(|study| scores.get(&(draw, study.id)).copied()).collect();
    (0..n_draws).map(of_draw).collect()
}

impl Board<'_> {
    /// How an aggregator is called on the board.
    pub(super) fn aggregator(&self, row: &BoardRow) -> String {
        if row.aggregator == Aggregator::TopShare.name() {
            return format!("{} {:.0} %", row.aggregator, 100.0 * self.top_share);
        }
        row.aggregator.clone()
    }
}
