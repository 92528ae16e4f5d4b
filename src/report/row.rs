//! An entrant at one number of shots: its numbers, and its place among the others.

use anyhow::Result;
use indicatif::ProgressBar;

use super::averages::{Averages, with_intervals};
use super::entrant::Entrant;
use super::ground::{Ground, common};
use crate::metric::Metric;
use crate::metric::quantile::median;
use crate::metric::two_level::{self, paired_differences};
use crate::metric::{power, sequential};
use crate::protocol::Protocol;
use crate::results::{Provenance, Stopped, StoredCell};

/// The protocols that are shown side by side, the ranked one first.
pub(super) fn shown() -> Vec<Protocol> {
    [vec![Protocol::RANKED], Protocol::with_gap()].concat()
}

/// An entrant at one number of shots.
pub(super) struct Row {
    /// Index into the summary's entrants.
    pub entrant: usize,
    pub shots: usize,
    /// Rank group among the rows of the same shots, from 0; `None` without a mean or on another ground.
    pub group: Option<usize>,
    /// What its mean rests on.
    pub ground: Ground,
    /// Why it has no rank, in words: what it was given, or how its ground differs from that of most rows of its shots.
    pub off_ground: Option<String>,
    /// The ranked protocol's first, then those of protocols with a gap to it.
    pub averages: Vec<(Protocol, Averages)>,
    /// Fit and score, mean over cells.
    pub seconds: Option<f64>,
    /// Scoring the test set after epochs of the training, mean over cells; not in `seconds`.
    pub observe_seconds: Option<f64>,
    /// Of one picture, supports taken in: median over the cells where it was measured.
    pub latency_seconds: Option<f64>,
    pub peak_memory_bytes: Option<u64>,
    pub cells: usize,
    pub failed: usize,
    /// Cells that ran and whose ranked metric is undefined.
    pub undefined: usize,
}

impl Row {
    /// The ranked protocol's average.
    pub(super) fn ranked(&self) -> &Averages {
        &self.averages[0].1
    }

    /// Whether it has a mean, on the ground of most rows.
    pub(super) fn is_ranked(&self) -> bool {
        self.ranked().mean.is_some() && self.off_ground.is_none()
    }

    /// Mean under a protocol less mean under the ranked one.
    pub(super) fn gap(&self, protocol: Protocol) -> Option<f64> {
        let (_, average) = self.averages.iter().find(|(other, _)| *other == protocol)?;
        Some(average.mean?.value - self.ranked().mean?.value)
    }
}

/// The rows of a number of shots, best first; those that have no rank come last and have no group.
///
/// # Errors
/// Scores that cannot be read.
pub(super) fn ranked_rows(
    entrants: &[Entrant],
    tasks: &[&str],
    shots: usize,
    stopped: &[Stopped],
    bar: &ProgressBar,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (index, entrant) in entrants.iter().enumerate() {
        let cells = entrant.at(shots);
        if !cells.is_empty() {
            rows.push(row(index, &cells, tasks, shots)?);
        }
        bar.inc(1);
    }
    let mean = |row: &Row| row.ranked().mean.map(|mean| mean.value);
    rows.sort_by(|a, b| {
        let value = |row: &Row| mean(row).unwrap_or(f64::NEG_INFINITY);
        value(b).total_cmp(&value(a)).then(a.entrant.cmp(&b.entrant))
    });
    let because = |row: &Row| {
        let entrant = &entrants[row.entrant];
        let is_this = |one: &&Stopped| one.method == entrant.method && one.shots == shots;
        let early = stopped.iter().find(is_this).filter(|one| row.ground.draws() <= one.draws);
        let early = early.map(|one| {
            let plural = if one.draws == 1 { "" } else { "s" };
            format!("stopped after {} draw{plural}, told from {}", one.draws, one.from)
        });
        entrant.regime.unranked_because().map(str::to_owned).or(early)
    };
    let reasons: Vec<Option<String>> = rows.iter().map(because).collect();
    let counts = rows.iter().zip(&reasons).filter(|(row, why)| mean(row).is_some() && why.is_none());
    let common = common(counts.map(|(row, _)| &row.ground)).cloned();
    for (row, why) in rows.iter_mut().zip(reasons).filter(|(row, _)| mean(row).is_some()) {
        row.off_ground = why.or_else(|| row.ground.unlike(common.as_ref()?));
    }
    rows.sort_by_key(|row| (mean(row).is_none(), row.off_ground.is_some()));
    group(&mut rows);
    Ok(rows)
}

/// Numbers the rank groups.
fn group(rows: &mut [Row]) {
    let (mut group, mut leader) = (0, None);
    for index in 0..rows.len() {
        if !rows[index].is_ranked() {
            continue;
        }
        let first = *leader.get_or_insert(index);
        if difference(&rows[first], &rows[index]).is_some_and(|(low, _)| low > 0.0) {
            group += 1;
            leader = Some(index);
        }
        rows[index].group = Some(group);
    }
}

/// The 95 % interval of the first row's mean less the second's, over draws and pictures, which both share; `None` where
/// they do not, or either has no replicates.
pub(super) fn difference(first: &Row, second: &Row) -> Option<(f64, f64)> {
    differences(first, second).as_deref().and_then(two_level::interval)
}

/// Whether the first row is told from the second at one of `n_looks` looks; `None` where they do not share draws and
/// pictures, or either has no replicates.
pub(super) fn is_told_apart(first: &Row, second: &Row, n_looks: usize) -> Option<bool> {
    if first.ground != second.ground {
        return None;
    }
    sequential::is_told_apart(&first.ranked().replicates, &second.ranked().replicates, n_looks)
}

/// The smallest true difference of two rows' means that such an interval would tell from zero with a power of 80 %.
pub(super) fn could_show(first: &Row, second: &Row) -> Option<f64> {
    let means = [first.ranked().mean?.value, second.ranked().mean?.value];
    power::smallest_difference(&differences(first, second)?, means)
}

fn differences(first: &Row, second: &Row) -> Option<Vec<f64>> {
    if first.ground != second.ground {
        return None;
    }
    paired_differences(&first.ranked().replicates, &second.ranked().replicates)
}

/// As [`difference`], on one task.
pub(super) fn difference_on(first: &Row, second: &Row, task: usize) -> Option<(f64, f64)> {
    if first.ground != second.ground {
        return None;
    }
    let of = |row: &Row| row.ranked().of_tasks.get(task).cloned().flatten();
    two_level::interval(&paired_differences(&of(first)?, &of(second)?)?)
}

fn row(entrant: usize, cells: &[&StoredCell], tasks: &[&str], shots: usize) -> Result<Row> {
    let ran: Vec<&StoredCell> = cells.iter().copied().filter(|r| r.cell.error.is_none()).collect();
    let took = |r: &&StoredCell| {
        let Provenance { fit_seconds, score_seconds, .. } = &r.cell.provenance;
        fit_seconds.zip(*score_seconds).map(|(fit, score)| fit + score)
    };
    let seconds: Vec<f64> = ran.iter().filter_map(took).collect();
    let observing: Vec<f64> = ran.iter().filter_map(|r| r.cell.provenance.observe_seconds).collect();
    let mean = |all: Vec<f64>| (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    let mut latencies: Vec<f64> = ran.iter().filter_map(|r| r.cell.provenance.latency_seconds).collect();
    let is_undefined =
        |r: &&&StoredCell| r.metric(Protocol::RANKED, Metric::RANKED).and_then(|m| m.value).is_none();
    Ok(Row {
        entrant,
        shots,
        group: None,
        ground: Ground::of(&ran),
        off_ground: None,
        averages: with_intervals(&ran, tasks, &shown())?,
        seconds: mean(seconds),
        observe_seconds: mean(observing),
        latency_seconds: median(&mut latencies),
        peak_memory_bytes: ran.iter().filter_map(|r| r.cell.provenance.peak_memory_bytes).max(),
        cells: cells.len(),
        failed: cells.len() - ran.len(),
        undefined: ran.iter().filter(is_undefined).count(),
    })
}
