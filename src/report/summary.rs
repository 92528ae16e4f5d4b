//! The main numbers, computed once: every table and figure reads them from here.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::averages::means;
use super::entrant::{Entrant, entrants, warning};
use super::published;
use super::row::{Row, ranked_rows};
use crate::metric::Metric;
use crate::progress;
use crate::protocol::Protocol;
use crate::results::{Stopped, StoredCell};

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

impl<'a> Summary<'a> {
    /// Sums up cells; their order does not matter.
    ///
    /// # Errors
    /// Scores that cannot be read.
    pub(super) fn new(results: &'a [StoredCell]) -> Result<Summary<'a>> {
        let tasks = tasks(results);
        let mut shots: Vec<usize> = results.iter().map(|r| r.cell.identity.shots).collect();
        shots.sort_unstable();
        shots.dedup();
        let mut entrants = entrants(results);
        let best = |entrant: &Entrant| {
            let means = shots
                .iter()
                .filter_map(|&k| means(&entrant.at(k), &tasks, Protocol::RANKED, Metric::RANKED).mean);
            means.map(|mean| mean.value).fold(f64::NEG_INFINITY, f64::max)
        };
        entrants.sort_by(|a, b| best(b).total_cmp(&best(a)).then_with(|| a.label.cmp(&b.label)));
        let bar = progress::bar(shots.len() * entrants.len(), "rows and their intervals");
        let stopped = stopped(results)?;
        let rows = shots
            .iter()
            .map(|&k| ranked_rows(&entrants, &tasks, k, &stopped, &bar))
            .collect::<Result<Vec<_>>>()?;
        bar.finish_and_clear();
        let warning = warning(&entrants);
        Ok(Summary { tasks, shots, entrants, rows: rows.into_iter().flatten().collect(), warning })
    }

    /// The entrant of a row.
    pub(super) fn entrant(&self, row: &Row) -> &Entrant<'a> {
        &self.entrants[row.entrant]
    }

    /// The name of an entrant in figures: marked where a mean of its rests on another ground than most.
    pub(super) fn marked(&self, entrant: usize) -> String {
        let is_off = self.rows.iter().any(|row| row.entrant == entrant && row.off_ground.is_some());
        format!("{}{}", self.entrants[entrant].label, if is_off { " *" } else { "" })
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
}

/// Methods that were stopped early, of all runs that the cells lie in.
fn stopped(results: &[StoredCell]) -> Result<Vec<Stopped>> {
    let runs: BTreeSet<&Path> =
        results.iter().filter_map(|stored| stored.folder.parent()?.parent()).collect();
    let all = runs.into_iter().map(Stopped::read).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().flatten().collect())
}

/// The tasks of cells, in the paper's order.
pub(super) fn tasks(results: &[StoredCell]) -> Vec<&str> {
    let mut tasks: Vec<&str> = results.iter().map(|r| r.cell.identity.task.as_str()).collect();
    tasks.sort_by_key(|task| published::task_order(task));
    tasks.dedup();
    tasks
}
