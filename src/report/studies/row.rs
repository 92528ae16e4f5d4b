//! One aggregator over one method's scores: its numbers on every task and over all.

use super::basis::Basis;
use crate::metric::auroc::auroc;
use crate::metric::auroc_interval;
use crate::metric::ranking::Ranking;
use crate::metric::two_level::{self, Sample};
use crate::report::averages::mean_of_replicates;

/// A number with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub value: f64,
    pub interval: Option<(f64, f64)>,
}

/// What a trained aggregator saw beside features.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Saw {
    /// The method whose slice scores entered, as the board names it; `None` where features alone did.
    pub scores_of: Option<String>,
}

/// One line of the board.
pub(super) struct BoardRow {
    /// Whose scores: as the leaderboard names it.
    pub method: String,
    pub aggregator: String,
    pub regime: String,
    pub class: &'static str,
    /// Of SAMIL; `None` for aggregators that are not trained.
    pub saw: Option<Saw>,
    /// What its numbers rest on.
    pub basis: Basis,
    /// In the board's order; `None` where it has no numbers there.
    pub tasks: Vec<Option<OnTask>>,
    /// Over all tasks; `None` if one is missing.
    pub auroc: Option<Number>,
    pub precision: Option<Number>,
}

/// On the studies of one task.
pub(super) struct OnTask {
    /// By draw, in the order of studies.
    pub scores: Vec<Vec<f64>>,
    /// Mean over draws.
    pub auroc: Number,
    /// Average precision, likewise.
    pub precision: Number,
    /// Resampled average precisions.
    of_precision: Option<Vec<f64>>,
}

impl OnTask {
    /// From each draw's numbers, in the sample's order; `None` where a class is absent.
    pub(super) fn new(sample: &Sample, scores: Vec<Vec<f64>>, task: &str) -> Option<OnTask> {
        let class = |draw: &[f64], wanted: bool| -> Vec<f64> {
            let pairs = draw.iter().zip(sample.is_anomalous());
            pairs.filter(|(_, is)| **is == wanted).map(|(score, _)| *score).collect()
        };
        let classes = scores.iter().map(|draw| (class(draw, false), class(draw, true)));
        let measured = classes.map(|(normal, anomalous)| {
            let precision = Ranking::new(&normal, &anomalous)?.average_precision();
            Some((auroc(&normal, &anomalous)?, precision))
        });
        let (aurocs, precisions): (Vec<f64>, Vec<f64>) =
            measured.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        if aurocs.is_empty() {
            return None;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let of_precision = two_level::precision_replicates(sample, &scores, &purpose(task));
        Some(OnTask {
            auroc: Number { value: mean(&aurocs), interval: auroc_interval::interval(sample, &scores) },
            precision: Number {
                value: mean(&precisions),
                interval: of_precision.as_deref().and_then(two_level::interval),
            },
            of_precision,
            scores,
        })
    }

    /// Resampled means of AUROC as if there were `draws` draws, those there are standing in turn for the rest: paired with
    /// those of another row of as many draws. `None` where there is no interval.
    pub(super) fn replicates(&self, sample: &Sample, draws: usize, task: &str) -> Option<Vec<f64>> {
        let cycled: Vec<Vec<f64>> = self.scores.iter().cycle().take(draws).cloned().collect();
        two_level::replicates(sample, &cycled, &purpose(task))
    }
}

/// Names the resampling, alike for all rows.
fn purpose(task: &str) -> String {
    format!("bootstrap of studies of {task}")
}

impl BoardRow {
    /// From its numbers on every task.
    pub(super) fn new(
        [method, aggregator, regime]: [String; 3],
        (class, saw): (&'static str, Option<Saw>),
        basis: Basis,
        tasks: Vec<Option<OnTask>>,
    ) -> BoardRow {
        let all: Option<Vec<&OnTask>> = tasks.iter().map(Option::as_ref).collect();
        let mean = |of: fn(&OnTask) -> f64| {
            let all = all.as_ref().filter(|all| !all.is_empty())?;
            Some(all.iter().map(|task| of(task)).sum::<f64>() / all.len() as f64)
        };
        let of_auroc = all.as_ref().and_then(|all| {
            let ends = |task: &&OnTask| task.auroc.interval.map(|(low, high)| (task.auroc.value, low, high));
            auroc_interval::of_mean(&all.iter().map(ends).collect::<Option<Vec<_>>>()?)
        });
        let of_precision = all.as_ref().and_then(|all| {
            let replicates: Vec<_> = all.iter().map(|task| task.of_precision.clone()).collect();
            two_level::interval(&mean_of_replicates(&replicates))
        });
        let number = |value: Option<f64>, interval| value.map(|value| Number { value, interval });
        BoardRow {
            auroc: number(mean(|task| task.auroc.value), of_auroc),
            precision: number(mean(|task| task.precision.value), of_precision),
            method,
            aggregator,
            regime,
            class,
            saw,
            basis,
            tasks,
        }
    }

    /// Support draws, of the task that has most.
    pub(super) fn draws(&self) -> usize {
        self.tasks.iter().flatten().map(|task| task.scores.len()).max().unwrap_or(0)
    }
}
