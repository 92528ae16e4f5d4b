//! Does the adjusted AUROC take a shortcut out and leave the disease in, and do its 95 % intervals hold the truth?
//! Simulated, since only there both are known.
//!
//!     cargo run --release --example adjusted [TRIALS] [--csv FILE]
//!
//! A picture has one trivial number, higher by a shift where it is anomalous, and what a method sees of the disease. Logits are
//! out-of-fold predictions from the trivial number, as reports have them. One score sees the number alone: the truth
//! is 0.5. The other sees the disease alone: the truth is what its AUROC would be over all pictures and draws that there could be.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use medfsad::metric::adjusted::Pairs;
use medfsad::metric::auroc::auroc;
use medfsad::metric::logistic::out_of_fold;
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
const DRAWS: [usize; 2] = [1, 3];

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
}

impl Sees {
    fn name(self) -> &'static str {
        match self {
            Sees::Shortcut => "the shortcut",
            Sees::Disease => "the disease",
        }
    }

    fn truth(self, n_draws: usize) -> f64 {
        let spread = if n_draws > 1 { SPREAD } else { 0.0 };
        match self {
            Sees::Shortcut => 0.5,
            Sees::Disease => Normal::standard().cdf(DISEASE / (2.0 + spread.powi(2)).sqrt()),
        }
    }
}

/// One test set, scored by both.
fn simulate([normals, anomalous]: [usize; 2], shortcut: f64, n_draws: usize, trial: u64) -> [Outcome; 2] {
    let n = normals + anomalous;
    let purpose = format!("adjusted {normals} {anomalous} {shortcut} {n_draws}");
    let mut stream = Stream::new(1, &purpose, trial);
    let classes: Vec<bool> = (0..n).map(|index| index >= normals).collect();
    let shift = |class: bool, distance: f64| if class { distance } else { 0.0 };
    let trivia: Vec<f64> = classes.iter().map(|&class| stream.normal() + shift(class, shortcut)).collect();
    let mut draw = |sees: Sees| -> Vec<f64> {
        let distance = DISEASE + if n_draws > 1 { SPREAD * stream.normal() } else { 0.0 };
        let score = |(&class, &number): (&bool, &f64)| match sees {
            Sees::Shortcut => number + if n_draws > 1 { SPREAD * stream.normal() } else { 0.0 },
            Sees::Disease => stream.normal() + shift(class, distance),
        };
        classes.iter().zip(&trivia).map(score).collect()
    };
    let both = [Sees::Shortcut, Sees::Disease];
    let scores = both.map(|sees| (0..n_draws).map(|_| draw(sees)).collect::<Vec<_>>());
    let sample = Sample::new(classes, &vec![None; n]);
    let numbers: Vec<Vec<f64>> = trivia.iter().map(|&number| vec![number]).collect();
    let logits = out_of_fold(&numbers, &sample, &format!("{purpose} {trial}")).expect("many pictures");
    let pairs = Pairs::new(&sample, &logits);
    [0, 1].map(|index| {
        let found = pairs.as_ref().and_then(|pairs| pairs.adjusted(&scores[index], &purpose));
        let truth = both[index].truth(n_draws);
        let holds = |(low, high): (f64, f64)| low <= truth && truth <= high;
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
    let head = "normals,anomalous,draws,shortcut,score_sees,trials,truth,plain,adjusted,decided,held";
    let mut table = format!("{head}\n");
    println!("{head}");
    for set in TEST_SETS {
        for n_draws in DRAWS {
            for shortcut in SHORTCUTS {
                let all: Vec<[Outcome; 2]> = (0..trials)
                    .into_par_iter()
                    .map(|trial| simulate(set, shortcut, n_draws, trial))
                    .collect();
                for (index, sees) in [Sees::Shortcut, Sees::Disease].into_iter().enumerate() {
                    let of = || all.iter().map(move |both| &both[index]);
                    let row = [
                        format!("{},{},{n_draws},{shortcut},{},{trials}", set[0], set[1], sees.name()),
                        format!("{:.4}", sees.truth(n_draws)),
                        mean(of().map(|one| one.plain)),
                        mean(of().filter_map(|one| one.adjusted)),
                        mean(of().map(|one| f64::from(u8::from(one.adjusted.is_some())))),
                        mean(of().filter_map(|one| one.holds).map(|holds| f64::from(u8::from(holds)))),
                    ];
                    println!("{}", row.join(","));
                    writeln!(table, "{}", row.join(","))?;
                }
            }
        }
    }
    if let Some(path) = csv {
        std::fs::write(&path, table).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}
