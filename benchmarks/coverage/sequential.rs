//! What does it cost and lose to stop scoring draws of a method once it is told from the best one? Simulated, since only
//! there the best method is known.
//!
//!     cargo run --release --example sequential [TRIALS] [--csv FILE]
//!
//! Scores are those of the example `coverage`: each draw moves a method's classes by a spread and scores every picture anew,
//! with a share of a picture's variance in common. Methods are compared as `bench --stop-when-decided` compares them.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use medfsad::metric::auroc::auroc;
use medfsad::metric::sequential::{is_told_apart, looks};
use medfsad::metric::two_level::{self, Sample};
use medfsad::random::Stream;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

mod arguments;

const DRAWS: usize = 10;
const TASKS: usize = 2;
/// Of each class, in each task.
const PICTURES: usize = 60;
/// Deviation of the classes' distance over draws, in deviations of a class.
const SPREAD: f64 = 0.3;
/// Share of a picture's variance that all draws have in common.
const COMMON: f64 = 0.7;

/// True AUROC of each method.
const BOARDS: [(&str, [f64; 8]); 3] = [
    ("all alike", [0.80; 8]),
    ("in steps of 0.02", [0.88, 0.86, 0.84, 0.82, 0.80, 0.78, 0.76, 0.74]),
    ("one ahead", [0.88, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80, 0.80]),
];

/// What became of one simulated board.
struct Outcome {
    /// Share of the cells of all draws that were scored.
    cells: f64,
    /// Whether a method was stopped that is as good as the best one.
    wrongly_stopped: bool,
    /// Whether the method with the highest mean over all draws was stopped before these were there.
    lost_best: bool,
}

/// Of one method and task, the scores of all draws: normal pictures, then anomalous ones.
fn scores(auroc: f64, trial: u64, method: usize, task: usize) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(1, &format!("sequential {method} {task}"), trial);
    let mean = Normal::standard().inverse_cdf(auroc) * (2.0 + SPREAD.powi(2)).sqrt();
    let pictures: Vec<f64> = (0..2 * PICTURES).map(|_| COMMON.sqrt() * stream.normal()).collect();
    let draw = |_| {
        let distance = mean + SPREAD * stream.normal();
        let score = |(index, own): (usize, &f64)| {
            let shift = if index < PICTURES { 0.0 } else { distance };
            own + (1.0 - COMMON).sqrt() * stream.normal() + shift
        };
        pictures.iter().enumerate().map(score).collect()
    };
    (0..DRAWS).map(draw).collect()
}

/// Mean AUROC over tasks and the first `draws`.
fn mean(tasks: &[Vec<Vec<f64>>], draws: usize) -> f64 {
    let all = tasks.iter().flat_map(|task| &task[..draws]);
    let values: Vec<f64> = all.filter_map(|scores| auroc(&scores[..PICTURES], &scores[PICTURES..])).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Replicates of that mean.
fn replicates(sample: &Sample, tasks: &[Vec<Vec<f64>>], draws: usize, trial: u64) -> Vec<f64> {
    let of_task = |(task, scores): (usize, &Vec<Vec<f64>>)| {
        two_level::replicates(sample, &scores[..draws], &format!("trial {trial} task {task}"))
            .expect("both classes")
    };
    let all: Vec<Vec<f64>> = tasks.iter().enumerate().map(of_task).collect();
    (0..all[0].len()).map(|index| all.iter().map(|task| task[index]).sum::<f64>() / TASKS as f64).collect()
}

fn simulate(aurocs: &[f64], trial: u64) -> Outcome {
    let n = 2 * PICTURES;
    let sample = Sample::new((0..n).map(|index| index >= PICTURES).collect(), &vec![None; n]);
    let scored = |(method, auroc): (usize, &f64)| -> Vec<Vec<Vec<f64>>> {
        (0..TASKS).map(|task| scores(*auroc, trial, method, task)).collect()
    };
    let methods: Vec<Vec<Vec<Vec<f64>>>> = aurocs.iter().enumerate().map(scored).collect();
    let best_of = |among: &[usize], draws: usize| {
        let means = among.iter().map(|&method| (method, mean(&methods[method], draws)));
        means.max_by(|a, b| a.1.total_cmp(&b.1)).expect("a method").0
    };
    let (looks, mut live) = (looks(DRAWS), (0..aurocs.len()).collect::<Vec<_>>());
    let (mut cells, mut wrongly_stopped, mut before) = (0, false, 0);
    for &look in &looks {
        cells += live.len() * (look - before);
        before = look;
        let best = best_of(&live, look);
        let of_best = replicates(&sample, &methods[best], look, trial);
        live.retain(|&method| {
            let of_method = replicates(&sample, &methods[method], look, trial);
            let stops = method != best && is_told_apart(&of_best, &of_method, looks.len()) == Some(true);
            wrongly_stopped |= stops && aurocs[method] == aurocs.iter().copied().fold(0.0, f64::max);
            !stops
        });
    }
    let all: Vec<usize> = (0..aurocs.len()).collect();
    Outcome {
        cells: cells as f64 / (aurocs.len() * DRAWS) as f64,
        wrongly_stopped,
        lost_best: !live.contains(&best_of(&all, DRAWS)),
    }
}

fn main() -> Result<()> {
    let (trials, csv) = arguments::trials_and_csv()?;
    println!(
        "{trials} trials; 8 methods, {TASKS} tasks of {PICTURES} + {PICTURES} pictures, looks after {:?} draws\n",
        looks(DRAWS)
    );
    println!(
        "{:<18} {:>12} {:>26} {:>22}",
        "board", "cells scored", "as good as best, stopped", "highest mean stopped"
    );
    let mut table = String::from("board,trials,cells_scored,wrongly_stopped,lost_best\n");
    for (board, aurocs) in BOARDS {
        let outcomes: Vec<Outcome> =
            (0..trials).into_par_iter().map(|trial| simulate(&aurocs, trial)).collect();
        let share = |count: usize| count as f64 / trials as f64;
        let cells = outcomes.iter().map(|one| one.cells).sum::<f64>() / trials as f64;
        let wrongly = share(outcomes.iter().filter(|one| one.wrongly_stopped).count());
        let lost = share(outcomes.iter().filter(|one| one.lost_best).count());
        println!("{board:<18} {cells:>12.3} {wrongly:>26.3} {lost:>22.3}");
        writeln!(table, "{board},{trials},{cells:.4},{wrongly},{lost}")?;
    }
    if let Some(path) = csv {
        std::fs::write(&path, table).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}
