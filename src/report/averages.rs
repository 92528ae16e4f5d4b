//! One metric under one protocol: over draws, and over tasks.

use std::collections::BTreeMap;

use crate::manifest::Label;
use crate::metric::Metric;
use crate::metric::auroc_interval;
use crate::metric::two_level::{self, Sample};
use crate::protocol::Protocol;
use crate::results::{CellResult, Score, Seed};

/// A mean over draws with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    pub value: f64,
    /// 95 % over support draws, seeds and pictures (patients where known) together; `None` for metrics other
    /// than AUROC.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// The lowest draw.
    pub worst: f64,
    pub draws: usize,
}

/// A metric on every task.
#[derive(Clone, Debug, Default)]
pub(super) struct Averages {
    /// In the order in which the tasks were asked for.
    pub tasks: Vec<Option<Estimate>>,
    /// Over all tasks; `None` if one is missing, as a mean over fewer would not compare.
    pub mean: Option<Estimate>,
    /// Resampled means over all tasks; empty where there is none. Those of two rows with the same draws are paired.
    pub replicates: Vec<f64>,
}

/// A metric under a protocol: per task over draws and seeds, and over tasks. Image AUROC has intervals.
pub(super) fn averages(
    cells: &[&CellResult],
    tasks: &[&str],
    shots: usize,
    protocol: Protocol,
    metric: Metric,
) -> Averages {
    let of = |task: &&str| {
        let fits = |r: &&&CellResult| r.cell.identity.task == **task && r.cell.identity.shots == shots;
        let cells: Vec<&CellResult> = cells.iter().filter(fits).copied().collect();
        let metrics = cells.iter().filter_map(|r| r.metric(protocol, metric));
        let values: Vec<f64> = metrics.filter_map(|m| m.value.filter(|value| value.is_finite())).collect();
        let drawn = (metric == Metric::RANKED).then(|| Drawn::new(&cells, protocol)).flatten();
        let interval =
            drawn.as_ref().and_then(|drawn| auroc_interval::interval(&drawn.sample, &drawn.scores));
        (estimate(&values, interval), drawn.and_then(|drawn| drawn.replicates(task)))
    };
    let (estimates, replicates): (Vec<Option<Estimate>>, Vec<Option<Vec<f64>>>) =
        tasks.iter().map(of).unzip();
    let replicates = mean_of_replicates(&replicates);
    let mean = mean_over_tasks(&estimates).map(|mean| {
        let worst = worst_draw(cells, tasks, shots, protocol, metric).unwrap_or(mean.value);
        Estimate { worst, ..mean }
    });
    Averages { tasks: estimates, mean, replicates }
}

fn estimate(values: &[f64], interval: Option<(f64, f64)>) -> Option<Estimate> {
    (!values.is_empty()).then(|| Estimate {
        value: values.iter().sum::<f64>() / values.len() as f64,
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        worst: values.iter().copied().fold(f64::INFINITY, f64::min),
        draws: values.len(),
    })
}

/// One task's pictures, and each draw's scores of them.
struct Drawn {
    sample: Sample,
    scores: Vec<Vec<f64>>,
}

impl Drawn {
    /// From the cells, each of which is a draw; `None` where one has no scores, or they were scored on different
    /// pictures.
    fn new(cells: &[&CellResult], protocol: Protocol) -> Option<Drawn> {
        let draws: Vec<Vec<(&Score, f64)>> = cells.iter().map(|cell| by_picture(cell, protocol)).collect();
        let first = draws.first()?;
        let is_same = |draw: &Vec<(&Score, f64)>| {
            draw.len() == first.len() && draw.iter().zip(first).all(|(a, b)| a.0.image_id == b.0.image_id)
        };
        if !draws.iter().all(is_same) {
            return None;
        }
        let classes = first.iter().map(|(score, _)| score.label == Label::Anomalous).collect();
        let groups: Vec<Option<String>> = first.iter().map(|(score, _)| score.group.clone()).collect();
        let scores = draws.iter().map(|draw| draw.iter().map(|(_, value)| *value).collect()).collect();
        Some(Drawn { sample: Sample::new(classes, &groups), scores })
    }

    /// Resampled means of AUROC over the draws.
    fn replicates(&self, task: &str) -> Option<Vec<f64>> {
        two_level::replicates(&self.sample, &self.scores, &format!("bootstrap of {task}"))
    }
}

/// Scores under a protocol that has them, by picture.
fn by_picture(cell: &CellResult, protocol: Protocol) -> Vec<(&Score, f64)> {
    let mut scores: Vec<(&Score, f64)> =
        cell.scores.iter().filter_map(|score| Some((score, score.under(protocol)?))).collect();
    scores.sort_by(|a, b| a.0.image_id.cmp(&b.0.image_id));
    scores
}

/// Tasks are tested on different pictures and resampled independently.
fn mean_of_replicates(tasks: &[Option<Vec<f64>>]) -> Vec<f64> {
    let Some(all) = tasks.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else { return Vec::new() };
    let n = all.first().map_or(0, |first| first.len());
    (0..n).map(|index| all.iter().map(|task| task[index]).sum::<f64>() / all.len() as f64).collect()
}

fn mean_over_tasks(estimates: &[Option<Estimate>]) -> Option<Estimate> {
    let all: Vec<Estimate> = estimates.iter().copied().collect::<Option<_>>()?;
    let value = all.iter().map(|e| e.value).sum::<f64>() / all.len() as f64;
    let each: Option<Vec<_>> = all.iter().map(|e| Some((e.value, e.low?, e.high?))).collect();
    let interval = each.and_then(|each| auroc_interval::of_mean(&each));
    let (low, high) = interval.unzip();
    Some(Estimate { value, low, high, worst: value, draws: all.iter().map(|e| e.draws).min()? })
}

fn worst_draw(
    cells: &[&CellResult],
    tasks: &[&str],
    shots: usize,
    protocol: Protocol,
    metric: Metric,
) -> Option<f64> {
    let mut draws: BTreeMap<(Seed, usize), BTreeMap<&str, f64>> = BTreeMap::new();
    for result in cells.iter().filter(|r| r.cell.identity.shots == shots) {
        let id = &result.cell.identity;
        if let Some(value) = result.metric(protocol, metric).and_then(|m| m.value.filter(|v| v.is_finite())) {
            draws.entry((id.seed, id.draw)).or_default().insert(&id.task, value);
        }
    }
    let whole = draws.values().filter(|tasks_of| tasks_of.len() == tasks.len());
    whole.map(|tasks_of| tasks_of.values().sum::<f64>() / tasks.len() as f64).min_by(f64::total_cmp)
}
