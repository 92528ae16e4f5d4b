//! The main numbers, computed once: every table and figure reads them from here.

use std::collections::BTreeMap;

use super::averages::{Averages, averages};
use super::published;
use crate::metric::Metric;
use crate::metric::quantile::median;
use crate::metric::two_level;
use crate::protocol::Protocol;
use crate::regime::Regime;
use crate::results::{CellResult, Identity, Provenance};

/// The protocols that are shown side by side, the ranked one first.
pub(super) fn shown() -> Vec<Protocol> {
    [vec![Protocol::RANKED], Protocol::with_gap()].concat()
}

/// What every table and figure of a run without trained weights says.
pub(super) const RANDOM_TEACHER: &str =
    "random teacher: these numbers test the software, not the published method";

/// A method as it was set up; the same method with other settings is another entrant.
pub(super) struct Entrant<'a> {
    pub label: String,
    pub method: &'a str,
    pub regime: Regime,
    pub control: bool,
    pub random: bool,
    pub cells: Vec<&'a CellResult>,
}

/// An entrant at one number of shots.
pub(super) struct Row {
    /// Index into [`Summary::entrants`].
    pub entrant: usize,
    pub shots: usize,
    /// Rank group among the rows of the same shots, from 0; `None` without a mean.
    pub group: Option<usize>,
    /// The ranked protocol's first, then those of protocols with a gap to it.
    pub averages: Vec<(Protocol, Averages)>,
    /// Fit and score, mean over cells.
    pub seconds: Option<f64>,
    /// Of one picture, supports taken in: median over the cells where it was measured.
    pub latency_seconds: Option<f64>,
    pub peak_memory_bytes: Option<u64>,
    pub cells: usize,
    pub failed: usize,
    /// Cells that ran and whose ranked metric is undefined.
    pub undefined: usize,
}

/// Everything that tables and figures draw on.
pub(super) struct Summary<'a> {
    pub tasks: Vec<&'a str>,
    pub shots: Vec<usize>,
    /// Best first.
    pub entrants: Vec<Entrant<'a>>,
    /// By shots, then best first.
    pub rows: Vec<Row>,
    /// The loud label, with the entrants it concerns.
    pub warning: Option<String>,
}

impl Row {
    /// The ranked protocol's average.
    pub(super) fn ranked(&self) -> &Averages {
        &self.averages[0].1
    }

    /// Mean under a protocol less mean under the ranked one.
    pub(super) fn gap(&self, protocol: Protocol) -> Option<f64> {
        let (_, average) = self.averages.iter().find(|(other, _)| *other == protocol)?;
        Some(average.mean?.value - self.ranked().mean?.value)
    }
}

impl<'a> Summary<'a> {
    /// Sums up cells; their order does not matter.
    pub(super) fn new(results: &'a [CellResult]) -> Summary<'a> {
        let mut tasks: Vec<&str> = results.iter().map(|r| r.cell.identity.task.as_str()).collect();
        tasks.sort_by_key(|task| published::task_order(task));
        tasks.dedup();
        let mut shots: Vec<usize> = results.iter().map(|r| r.cell.identity.shots).collect();
        shots.sort_unstable();
        shots.dedup();
        let mut entrants = entrants(results);
        let best = |entrant: &Entrant| {
            let means = shots
                .iter()
                .filter_map(|&k| averages(&entrant.cells, &tasks, k, Protocol::RANKED, Metric::RANKED).mean);
            means.map(|mean| mean.value).fold(f64::NEG_INFINITY, f64::max)
        };
        entrants.sort_by(|a, b| best(b).total_cmp(&best(a)).then_with(|| a.label.cmp(&b.label)));
        let rows = shots.iter().flat_map(|&k| ranked_rows(&entrants, &tasks, k)).collect();
        let warning = warning(&entrants);
        Summary { tasks, shots, entrants, rows, warning }
    }

    /// The entrant of a row.
    pub(super) fn entrant(&self, row: &Row) -> &Entrant<'a> {
        &self.entrants[row.entrant]
    }

    /// How a row is set off: `first` of its shots, `control`, `random`.
    pub(super) fn class(&self, row: &Row) -> String {
        let first = self.rows.iter().find(|other| other.shots == row.shots);
        let first = first.is_some_and(|first| first.entrant == row.entrant);
        let entrant = self.entrant(row);
        let marks = [(first, "first"), (entrant.control, "control"), (entrant.random, "random")];
        let marks: Vec<&str> = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name).collect();
        marks.join(" ")
    }

    /// The row of an entrant at a number of shots.
    pub(super) fn row(&self, entrant: usize, shots: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.entrant == entrant && row.shots == shots)
    }

    /// The cell that stands for entrant and task in figures of single cells: most shots, first draw.
    pub(super) fn exemplar(&self, entrant: usize, task: &str) -> Option<&'a CellResult> {
        let cells = self.entrants[entrant].cells.iter().copied();
        let ran = cells.filter(|r| r.cell.error.is_none() && r.cell.identity.task == task);
        ran.min_by_key(|r| {
            let id = &r.cell.identity;
            (std::cmp::Reverse(id.shots), id.draw, id.seed, &r.cell.id)
        })
    }
}

fn ranked_rows(entrants: &[Entrant], tasks: &[&str], shots: usize) -> Vec<Row> {
    let row = |(index, entrant): (usize, &Entrant)| row(index, entrant, tasks, shots);
    let mut rows: Vec<Row> = entrants.iter().enumerate().filter_map(row).collect();
    let mean = |row: &Row| row.ranked().mean.map_or(f64::NEG_INFINITY, |mean| mean.value);
    rows.sort_by(|a, b| mean(b).total_cmp(&mean(a)).then(a.entrant.cmp(&b.entrant)));
    let (mut group, mut leader) = (0, None);
    for index in 0..rows.len() {
        if rows[index].ranked().mean.is_none() {
            continue;
        }
        let first = *leader.get_or_insert(index);
        if !is_apart(&rows[first], &rows[index]) {
            rows[index].group = Some(group);
            continue;
        }
        group += 1;
        leader = Some(index);
        rows[index].group = Some(group);
    }
    rows
}

/// Whether the 95 % interval of the difference of two rows' means, resampled alike, lies above zero.
fn is_apart(better: &Row, worse: &Row) -> bool {
    difference(better, worse).is_some_and(|(low, _)| low > 0.0)
}

/// The 95 % interval of the first row's mean less the second's, over draws and pictures that both share; `None` where
/// either has no replicates.
pub(super) fn difference(first: &Row, second: &Row) -> Option<(f64, f64)> {
    paired_interval(&first.ranked().replicates, &second.ranked().replicates)
}

/// The 95 % interval of a difference, from replicates that were resampled alike.
pub(super) fn paired_interval(first: &[f64], second: &[f64]) -> Option<(f64, f64)> {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    (first.len() == second.len()).then(|| two_level::interval(&differences)).flatten()
}

fn row(index: usize, entrant: &Entrant, tasks: &[&str], shots: usize) -> Option<Row> {
    let cells: Vec<&CellResult> =
        entrant.cells.iter().copied().filter(|r| r.cell.identity.shots == shots).collect();
    let ran: Vec<&CellResult> = cells.iter().copied().filter(|r| r.cell.error.is_none()).collect();
    let took = |r: &&CellResult| {
        let Provenance { fit_seconds, score_seconds, .. } = &r.cell.provenance;
        fit_seconds.zip(*score_seconds).map(|(fit, score)| fit + score)
    };
    let seconds: Vec<f64> = ran.iter().filter_map(took).collect();
    let mut latencies: Vec<f64> = ran.iter().filter_map(|r| r.cell.provenance.latency_seconds).collect();
    let is_undefined =
        |r: &&&CellResult| r.metric(Protocol::RANKED, Metric::RANKED).and_then(|m| m.value).is_none();
    (!cells.is_empty()).then(|| Row {
        entrant: index,
        shots,
        group: None,
        averages: shown()
            .into_iter()
            .map(|protocol| (protocol, averages(&ran, tasks, shots, protocol, Metric::RANKED)))
            .collect(),
        seconds: (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64),
        latency_seconds: median(&mut latencies),
        peak_memory_bytes: ran.iter().filter_map(|r| r.cell.provenance.peak_memory_bytes).max(),
        cells: cells.len(),
        failed: cells.len() - ran.len(),
        undefined: ran.iter().filter(is_undefined).count(),
    })
}

fn entrants(results: &[CellResult]) -> Vec<Entrant<'_>> {
    let mut groups: BTreeMap<(&str, String), Vec<&CellResult>> = BTreeMap::new();
    for result in results {
        let key =
            (result.cell.identity.method.as_str(), set_up(&result.cell.identity, &result.cell.provenance));
        groups.entry(key).or_default().push(result);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let several = |method: &str| groups.keys().filter(|(other, _)| *other == method).count() > 1;
    let mut entrants = Vec::new();
    for ((method, _), cells) in &groups {
        let number = seen.entry(method).and_modify(|n| *n += 1).or_insert(1);
        let label = if several(method) { format!("{method} #{number}") } else { (*method).to_owned() };
        entrants.push(Entrant {
            label,
            method,
            regime: cells[0].cell.provenance.regime,
            control: method.starts_with("control-"),
            random: cells.iter().any(|r| r.cell.provenance.random_weights),
            cells: cells.clone(),
        });
    }
    entrants
}

/// What must agree for two cells to share a row, in words.
pub(super) fn set_up(identity: &Identity, provenance: &Provenance) -> String {
    format!(
        "settings {}; {} px; held out by {}; manifest {}; episode seed {}; weights {}; code {}; {}; regime {}; {}{}{}",
        identity.settings,
        identity.size,
        identity.held_out,
        identity.manifest_hash,
        identity.episode_seed,
        if identity.weights_hash.is_empty() { "none" } else { &identity.weights_hash },
        identity.code_hash,
        identity.device_class,
        provenance.regime,
        if provenance.backbone.is_empty() { "no network" } else { &provenance.backbone },
        if provenance.random_weights { " (random)" } else { "" },
        if identity.epoch_by_sources { "; epoch also chosen on source tasks" } else { "" },
    )
}

fn warning(entrants: &[Entrant]) -> Option<String> {
    let random: Vec<&str> = entrants.iter().filter(|e| e.random).map(|e| e.label.as_str()).collect();
    let all = entrants.iter().filter(|e| !e.control).all(|e| e.random);
    match random.as_slice() {
        [] => None,
        _ if all => Some(RANDOM_TEACHER.to_owned()),
        some => Some(format!("{RANDOM_TEACHER} (concerns: {})", some.join(", "))),
    }
}
