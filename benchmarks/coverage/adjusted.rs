//! Does the adjusted AUROC take a shortcut out and leave the disease in, and do its 95 % intervals hold the truth?
//! Simulated, since only there both are known.
//!
//!     cargo run --release --example adjusted [TRIALS] [--csv FILE]
//!
//! A picture has a trivial number, higher by a shift where it is anomalous, alone or among twelve others of which two
//! follow it and ten say nothing (reports take 13 together), and what a method sees of the disease. Logits are as reports
//! have them, by a regression on these numbers of the same pictures. One score sees the first number alone: the truth
//! is 0.5. One sees the disease alone: the truth is its AUROC over all pictures and draws that there could be. One sees
//! the sum of both: the truth is what true logits give on very many pictures.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use medfsad::metric::adjusted::Pairs;
use medfsad::metric::auroc::auroc;
use medfsad::metric::logistic::in_sample;
use medfsad::metric::two_level::Sample;
use medfsad::random::Stream;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

mod arguments;

/// Distance of the classes in what a method sees of the disease, in deviations of a class.
const DISEASE: f64 = 1.2;
/// Deviation of that distance over draws, where there are several.
const SPREAD: f64 = 0.3;
/// Normal and anomalous pictures.
const TEST_SETS: [[usize; 2]; 4] = [[50, 50], [150, 150], [100, 30], [30, 100]];
/// Distance of the classes in the trivial number, in deviations of a class.
const SHORTCUTS: [f64; 3] = [0.0, 0.6, 1.2];
/// Draws, and trivial numbers of a picture.
const DRAWS_AND_NUMBERS: [[usize; 2]; 3] = [[1, 1], [1, 13], [3, 13]];
/// Trivial numbers that follow the first.
const FOLLOWERS: usize = 2;
/// Test sets, and normal and as many anomalous pictures of each, that the truth of a sum is taken from.
const MANY: u64 = 100;
const LARGE: usize = 1000;

/// What one score of one simulated test set gave.
struct Outcome {
    plain: f64,
    /// `None` where the pairs do not decide.
    adjusted: Option<f64>,
    /// Whether the interval holds the truth; `None` without one.
    holds: Option<bool>,
}

/// What a score sees.
#[derive(Clone, Copy, PartialEq)]
enum Sees {
    Shortcut,
    Disease,
    Both,
}

impl Sees {
    fn name(self) -> &'static str {
        match self {
            Sees::Shortcut => "the shortcut",
            Sees::Disease => "the disease",
            Sees::Both => "both",
        }
    }

    fn truth(self, shortcut: f64, n_draws: usize) -> f64 {
        match self {
            Sees::Shortcut => 0.5,
            Sees::Disease => Normal::standard().cdf(DISEASE / (2.0 + spread(n_draws).powi(2)).sqrt()),
            Sees::Both => truth_of_both(shortcut, n_draws),
        }
    }
}

const ALL: [Sees; 3] = [Sees::Shortcut, Sees::Disease, Sees::Both];

fn spread(n_draws: usize) -> f64 {
    if n_draws > 1 { SPREAD } else { 0.0 }
}

/// With the logits that these normal distributions have, the mean over many large test sets.
fn truth_of_both(shortcut: f64, n_draws: usize) -> f64 {
    let classes: Vec<bool> = (0..2 * LARGE).map(|index| index >= LARGE).collect();
    let sample = Sample::new(classes.clone(), &vec![None; classes.len()]);
    let value = |index: u64| {
        let mut stream = Stream::new(1, "truth of both", index);
        let (mut logits, mut scores) = (Vec::new(), Vec::new());
        for &class in &classes {
            let number = stream.normal() + shift(class, shortcut);
            // A distance of its own for each picture gives, over many, what the mean over many draws does.
            let distance = DISEASE + spread(n_draws) * stream.normal();
            logits.push(shortcut * number - shortcut.powi(2) / 2.0);
            scores.push(number + stream.normal() + shift(class, distance));
        }
        Pairs::new(&sample, &logits).and_then(|pairs| pairs.value(&scores)).expect("many pictures")
    };
    let values: Vec<f64> = (0..MANY).into_par_iter().map(value).collect();
    values.iter().sum::<f64>() / MANY as f64
}

fn shift(class: bool, distance: f64) -> f64 {
    if class { distance } else { 0.0 }
}

/// What is simulated over and over.
struct Setting {
    normals: usize,
    anomalous: usize,
    n_draws: usize,
    n_numbers: usize,
    shortcut: f64,
    truths: [f64; 3],
}

/// One test set, scored by all three.
fn simulate(setting: &Setting, trial: u64) -> [Outcome; 3] {
    let &Setting { normals, anomalous, n_draws, n_numbers, shortcut, truths } = setting;
    let n = normals + anomalous;
    let purpose = format!("adjusted {normals} {anomalous} {shortcut} {n_draws} {n_numbers}");
    let mut stream = Stream::new(1, &purpose, trial);
    let classes: Vec<bool> = (0..n).map(|index| index >= normals).collect();
    let trivia: Vec<f64> = classes.iter().map(|&class| stream.normal() + shift(class, shortcut)).collect();
    let mut draw = |sees: Sees| -> Vec<f64> {
        let distance = DISEASE + spread(n_draws) * stream.normal();
        let score = |(&class, &number): (&bool, &f64)| match sees {
            Sees::Shortcut => number + spread(n_draws) * stream.normal(),
            Sees::Disease => stream.normal() + shift(class, distance),
            Sees::Both => number + stream.normal() + shift(class, distance),
        };
        classes.iter().zip(&trivia).map(score).collect()
    };
    let scores = ALL.map(|sees| (0..n_draws).map(|_| draw(sees)).collect::<Vec<_>>());
    let mut row = |&number: &f64| -> Vec<f64> {
        let further =
            (1..n_numbers).map(|at| 0.5 * stream.normal() + if at <= FOLLOWERS { number } else { 0.0 });
        std::iter::once(number).chain(further).collect()
    };
    let numbers: Vec<Vec<f64>> = trivia.iter().map(&mut row).collect();
    let sample = Sample::new(classes, &vec![None; n]);
    let logits = in_sample(&numbers, sample.is_anomalous()).expect("both classes");
    let pairs = Pairs::new(&sample, &logits);
    [0, 1, 2].map(|index| {
        let found = pairs.as_ref().and_then(|pairs| pairs.adjusted(&scores[index], &purpose));
        let holds = |(low, high): (f64, f64)| low <= truths[index] && truths[index] <= high;
        Outcome {
            plain: plain(&scores[index], sample.is_anomalous()),
            adjusted: found.map(|found| found.value),
            holds: found.and_then(|found| found.interval).map(holds),
        }
    })
}

/// Mean AUROC over draws.
fn plain(draws: &[Vec<f64>], is_anomalous: &[bool]) -> f64 {
    let of = |scores: &Vec<f64>| {
        let class = |wanted: bool| -> Vec<f64> {
            scores
                .iter()
                .zip(is_anomalous)
                .filter(|(_, is)| **is == wanted)
                .map(|(score, _)| *score)
                .collect()
        };
        auroc(&class(false), &class(true)).expect("both classes")
    };
    draws.iter().map(of).sum::<f64>() / draws.len() as f64
}

fn mean(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    match values.len() {
        0 => String::new(),
        n => format!("{:.4}", values.iter().sum::<f64>() / n as f64),
    }
}

fn main() -> Result<()> {
    let (trials, csv) = arguments::trials_and_csv()?;
    let head = "normals,anomalous,draws,numbers,shortcut,score_sees,trials,truth,plain,adjusted,decided,held";
    let mut table = format!("{head}\n");
    println!("{head}");
    for setting in settings() {
        let all: Vec<[Outcome; 3]> =
            (0..trials).into_par_iter().map(|trial| simulate(&setting, trial)).collect();
        for (index, sees) in ALL.into_iter().enumerate() {
            let row = row(&setting, sees, &all.iter().map(|each| &each[index]).collect::<Vec<_>>());
            println!("{row}");
            writeln!(table, "{row}")?;
        }
    }
    if let Some(path) = csv {
        std::fs::write(&path, table).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}

fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    for [normals, anomalous] in TEST_SETS {
        for [n_draws, n_numbers] in DRAWS_AND_NUMBERS {
            for shortcut in SHORTCUTS {
                let truths = ALL.map(|sees| sees.truth(shortcut, n_draws));
                all.push(Setting { normals, anomalous, n_draws, n_numbers, shortcut, truths });
            }
        }
    }
    all
}

fn row(setting: &Setting, sees: Sees, all: &[&Outcome]) -> String {
    let Setting { normals, anomalous, n_draws, n_numbers, shortcut, .. } = setting;
    let share = |holds: bool| f64::from(u8::from(holds));
    [
        format!("{normals},{anomalous},{n_draws},{n_numbers},{shortcut},{},{}", sees.name(), all.len()),
        format!("{:.4}", setting.truths[sees as usize]),
        mean(all.iter().map(|one| one.plain)),
        mean(all.iter().filter_map(|one| one.adjusted)),
        mean(all.iter().map(|one| share(one.adjusted.is_some()))),
        mean(all.iter().filter_map(|one| one.holds).map(share)),
    ]
    .join(",")
}
