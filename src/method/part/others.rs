//! What methods that see anomalies of other tasks are given.

use anyhow::{Context as _, Result, ensure};

use crate::episode::batch::Pictures;
use crate::method::contract::TrainTask;

/// The anomalies of each of the tasks that train.
///
/// # Errors
/// No task, a task whose anomalies were not handed over, or no anomaly in any of them; names `method`.
pub fn anomalies<'a>(tasks: &'a [TrainTask], method: &str) -> Result<Vec<&'a Pictures>> {
    ensure!(
        !tasks.is_empty(),
        "{method} learns from other tasks, and there is none; add one to the benchmark, or set --held-out dataset"
    );
    let of = |task: &'a TrainTask| {
        let anomalies = task.anomalies.as_ref();
        anomalies.with_context(|| format!("{method}: the anomalies of `{}` were not given", task.name))
    };
    let anomalies = tasks.iter().map(of).collect::<Result<Vec<_>>>()?;
    ensure!(
        anomalies.iter().any(|anomalies| !anomalies.is_empty()),
        "{method} learns from anomalies of other tasks, and {} have none beside the target's own pictures; add a task that has",
        tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ")
    );
    Ok(anomalies)
}
