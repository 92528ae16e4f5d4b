//! One metric under one protocol: over draws, and over tasks.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::ids::ImageId;
use crate::manifest::Label;
use crate::metric::Metric;
use crate::metric::auroc_interval;
use crate::metric::two_level::{self, Sample};
use crate::protocol::Protocol;
use crate::results::{Score, Seed, StoredCell};

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
    /// Resampled means over all tasks; empty where there is none, and under protocols that do not rank. Those of two rows
    /// with the same draws are paired.
    pub replicates: Vec<f64>,
    /// The same of each task alone.
    pub of_tasks: Vec<Option<Vec<f64>>>,
}

/// A metric under a protocol, without intervals: per task over draws and seeds, and over tasks. The cells are of one
/// method and number of shots.
pub(super) fn means(cells: &[&StoredCell], tasks: &[&str], protocol: Protocol, metric: Metric) -> Averages {
    averages(cells, tasks, (protocol, metric), vec![Resampled::default(); tasks.len()])
}

/// The metric that ranks, under several protocols, with intervals. The cells are of one method and number of shots;
/// scores are read task by task, and not kept.
///
/// # Errors
/// Scores that cannot be read.
pub(super) fn with_intervals(
    cells: &[&StoredCell],
    tasks: &[&str],
    protocols: &[Protocol],
) -> Result<Vec<(Protocol, Averages)>> {
    let mut resampled = vec![Vec::new(); protocols.len()];
    for task in tasks {
        let draws = of_task(cells, task).map(by_picture).collect::<Result<Vec<_>>>()?;
        for (tasks_of, &protocol) in resampled.iter_mut().zip(protocols) {
            tasks_of.push(Resampled::new(&draws, task, protocol));
        }
    }
    let under = |(&protocol, resampled): (&Protocol, Vec<Resampled>)| {
        (protocol, averages(cells, tasks, (protocol, Metric::RANKED), resampled))
    };
    Ok(protocols.iter().zip(resampled).map(under).collect())
}

fn averages(
    cells: &[&StoredCell],
    tasks: &[&str],
    (protocol, metric): (Protocol, Metric),
    resampled: Vec<Resampled>,
) -> Averages {
    let of = |(task, resampled): (&&str, &Resampled)| {
        let metrics = of_task(cells, task).filter_map(|cell| cell.metric(protocol, metric));
        let values: Vec<f64> = metrics.filter_map(|m| m.value.filter(|value| value.is_finite())).collect();
        estimate(&values, resampled.interval)
    };
    let estimates: Vec<Option<Estimate>> = tasks.iter().zip(&resampled).map(of).collect();
    let mean = mean_over_tasks(&estimates).map(|mean| {
        let worst = worst_draw(cells, tasks, protocol, metric).unwrap_or(mean.value);
        Estimate { worst, ..mean }
    });
    let replicates: Vec<_> = resampled.into_iter().map(|task| task.replicates).collect();
    Averages { tasks: estimates, mean, replicates: mean_of_replicates(&replicates), of_tasks: replicates }
}

fn of_task<'a>(cells: &[&'a StoredCell], task: &str) -> impl Iterator<Item = &'a StoredCell> {
    cells.iter().copied().filter(move |cell| cell.cell.identity.task == *task)
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

/// What resampling says of one task under one protocol.
#[derive(Clone, Default)]
struct Resampled {
    interval: Option<(f64, f64)>,
    /// Means of AUROC over the draws.
    replicates: Option<Vec<f64>>,
}

impl Resampled {
    /// From each draw's scores, by picture; nothing where a draw has none, or they were scored on different pictures.
    fn new(draws: &[Vec<Score>], task: &str, protocol: Protocol) -> Resampled {
        let Some(Drawn { sample, scores, .. }) = drawn(draws, protocol) else { return Resampled::default() };
        let ranks = protocol == Protocol::RANKED;
        let replicates = || two_level::replicates(&sample, &scores, &format!("bootstrap of {task}"));
        Resampled {
            interval: auroc_interval::interval(&sample, &scores),
            replicates: ranks.then(replicates).flatten(),
        }
    }
}

/// The pictures that a protocol scores, and each draw's scores of them.
pub(super) struct Drawn {
    pub pictures: Vec<(ImageId, Label)>,
    /// Of each picture, the owner's own label.
    pub findings: Vec<String>,
    /// Of each picture, its patient or group.
    pub groups: Vec<Option<String>>,
    pub sample: Sample,
    /// By draw, in the pictures' order.
    pub scores: Vec<Vec<f64>>,
}

/// What cells of one method and number of shots scored on a task; `None` where they did not, or on different pictures.
///
/// # Errors
/// Scores that cannot be read.
pub(super) fn scored(cells: &[&StoredCell], task: &str, protocol: Protocol) -> Result<Option<Drawn>> {
    let draws = of_task(cells, task).map(by_picture).collect::<Result<Vec<_>>>()?;
    Ok(drawn(&draws, protocol))
}

fn drawn(draws: &[Vec<Score>], protocol: Protocol) -> Option<Drawn> {
    let under = |draw: &Vec<Score>| -> Vec<(usize, f64)> {
        // Pictures whose label is not opened are of no class.
        let scores = draw.iter().enumerate().filter(|(_, score)| score.label != Label::Unopened);
        scores.filter_map(|(place, score)| Some((place, score.under(protocol)?))).collect()
    };
    let scored: Vec<Vec<(usize, f64)>> = draws.iter().map(under).collect();
    let pictures = |draw: usize| scored[draw].iter().map(move |&(place, _)| &draws[draw][place]);
    let ids = |draw: usize| pictures(draw).map(|score| &score.image_id);
    if draws.is_empty() || (1..draws.len()).any(|draw| !ids(draw).eq(ids(0))) {
        return None;
    }
    let classes = pictures(0).map(|score| score.label == Label::Anomalous).collect();
    let groups: Vec<Option<String>> = pictures(0).map(|score| score.group.clone()).collect();
    let scores = scored.iter().map(|draw| draw.iter().map(|&(_, value)| value).collect()).collect();
    let named = pictures(0).map(|score| (score.image_id.clone(), score.label)).collect();
    let findings = pictures(0).map(|score| score.finding.clone()).collect();
    let sample = Sample::new(classes, &groups);
    Some(Drawn { pictures: named, findings, groups, sample, scores })
}

fn by_picture(cell: &StoredCell) -> Result<Vec<Score>> {
    let mut scores = cell.scores()?;
    scores.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    Ok(scores)
}

/// Tasks are tested on different pictures and resampled independently.
pub(super) fn mean_of_replicates(tasks: &[Option<Vec<f64>>]) -> Vec<f64> {
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

fn worst_draw(cells: &[&StoredCell], tasks: &[&str], protocol: Protocol, metric: Metric) -> Option<f64> {
    let mut draws: BTreeMap<(Seed, usize), BTreeMap<&str, f64>> = BTreeMap::new();
    for result in cells {
        let id = &result.cell.identity;
        if let Some(value) = result.metric(protocol, metric).and_then(|m| m.value.filter(|v| v.is_finite())) {
            draws.entry((id.seed, id.draw)).or_default().insert(&id.task, value);
        }
    }
    let whole = draws.values().filter(|tasks_of| tasks_of.len() == tasks.len());
    whole.map(|tasks_of| tasks_of.values().sum::<f64>() / tasks.len() as f64).min_by(f64::total_cmp)
}
