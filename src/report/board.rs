//! One metric under one protocol: over draws, and over tasks.

use std::collections::BTreeMap;

use crate::results::{CellResult, Metric};

/// A mean over draws with its interval over pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    /// Mean over draws of the lower ends; `None` if a draw has none.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// The lowest draw.
    pub worst: f64,
    pub draws: usize,
}

/// A metric on every task.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// In the order in which the tasks were asked for.
    pub tasks: Vec<Option<Estimate>>,
    /// Over all tasks; `None` if one is missing, as a mean over fewer would not compare.
    pub mean: Option<Estimate>,
}

/// A metric under a protocol: per task over draws and seeds, and over tasks.
pub fn board(cells: &[&CellResult], tasks: &[&str], shots: usize, protocol: &str, metric: &str) -> Board {
    let of = |task: &&str| {
        let fits = |r: &&&CellResult| r.cell.identity.task == **task && r.cell.identity.shots == shots;
        let metrics = cells.iter().filter(fits).filter_map(|r| r.metric(protocol, metric));
        let defined: Vec<&Metric> = metrics.filter(|m| m.value.is_some_and(f64::is_finite)).collect();
        estimate(&defined)
    };
    let estimates: Vec<Option<Estimate>> = tasks.iter().map(of).collect();
    let mean = mean_over_tasks(&estimates).map(|mean| {
        let worst = worst_draw(cells, tasks, shots, protocol, metric).unwrap_or(mean.value);
        Estimate { worst, ..mean }
    });
    Board { tasks: estimates, mean }
}

fn estimate(defined: &[&Metric]) -> Option<Estimate> {
    let value = mean(defined.iter().map(|m| m.value))?;
    let (low, high) = (mean(defined.iter().map(|m| m.low)), mean(defined.iter().map(|m| m.high)));
    let worst = defined.iter().filter_map(|m| m.value).fold(f64::INFINITY, f64::min);
    Some(Estimate { value, low, high, worst, draws: defined.len() })
}

/// `None` if there is none or one is undefined.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Tasks are tested on different pictures, so their errors are independent and add in squares.
fn mean_over_tasks(estimates: &[Option<Estimate>]) -> Option<Estimate> {
    let all: Vec<Estimate> = estimates.iter().copied().collect::<Option<_>>()?;
    let n = all.len() as f64;
    let value = all.iter().map(|e| e.value).sum::<f64>() / n;
    let reach = |end: &dyn Fn(&Estimate) -> Option<f64>| {
        let squares: Option<Vec<f64>> = all.iter().map(|e| Some((end(e)? - e.value).powi(2))).collect();
        squares.map(|squares| squares.iter().sum::<f64>().sqrt() / n)
    };
    let (low, high) = (reach(&|e| e.low).map(|r| value - r), reach(&|e| e.high).map(|r| value + r));
    Some(Estimate { value, low, high, worst: value, draws: all.iter().map(|e| e.draws).min()? })
}

fn worst_draw(
    cells: &[&CellResult],
    tasks: &[&str],
    shots: usize,
    protocol: &str,
    metric: &str,
) -> Option<f64> {
    let mut draws: BTreeMap<(u64, usize), BTreeMap<&str, f64>> = BTreeMap::new();
    for result in cells.iter().filter(|r| r.cell.identity.shots == shots) {
        let id = &result.cell.identity;
        if let Some(value) = result.metric(protocol, metric).and_then(|m| m.value.filter(|v| v.is_finite())) {
            draws.entry((id.seed, id.draw)).or_default().insert(&id.task, value);
        }
    }
    let whole = draws.values().filter(|tasks_of| tasks_of.len() == tasks.len());
    whole.map(|tasks_of| tasks_of.values().sum::<f64>() / tasks.len() as f64).min_by(f64::total_cmp)
}
