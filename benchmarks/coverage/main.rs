//! How often do 95 % intervals of AUROC hold the true value? Simulated, since only there it is known.
//!
//!     cargo run --release --example coverage [TRIALS] [--csv FILE]
//!
//! Scores are normal in both classes, which stand as far apart as the wanted AUROC asks for. With several support draws,
//! each draw moves the classes' distance by a spread and scores every picture anew: a share of a picture's variance is its
//! own, in every draw, and the rest is the draw's. The true value is the mean over all draws that there could be.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use medfsad::metric::auroc_interval;
use medfsad::metric::two_level::{self, Sample};
use medfsad::random::Stream;
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

mod arguments;

const AUROCS: [f64; 6] = [0.5, 0.8, 0.95, 0.99, 0.995, 0.999];
/// Normal and anomalous pictures.
const PICTURES: [(usize, usize); 5] = [(16, 16), (16, 100), (100, 16), (50, 50), (250, 250)];
const DRAWS: [usize; 5] = [1, 2, 3, 5, 10];
/// Deviation of the classes' distance over draws, in deviations of a class.
const SPREADS: [f64; 2] = [0.1, 0.6];
/// Share of a picture's variance that all draws have in common.
const COMMON: [f64; 2] = [0.5, 0.95];
/// What the intervals promise to reach.
const PROMISED: f64 = 0.93;

/// One kind of experiment.
#[derive(Clone, Copy)]
struct Setting {
    auroc: f64,
    n_normal: usize,
    n_anomalous: usize,
    n_draws: usize,
    spread: f64,
    common: f64,
}

impl Setting {
    fn all() -> Vec<Setting> {
        let mut settings = Vec::new();
        for (n_normal, n_anomalous) in PICTURES {
            for n_draws in DRAWS {
                // One draw says nothing of others: its interval is about that support set.
                let spreads: &[f64] = if n_draws == 1 { &[0.0] } else { &SPREADS };
                let shares: &[f64] = if n_draws == 1 { &[1.0] } else { &COMMON };
                for &spread in spreads {
                    for &common in shares {
                        settings.extend(AUROCS.map(|auroc| Setting {
                            auroc,
                            n_normal,
                            n_anomalous,
                            n_draws,
                            spread,
                            common,
                        }));
                    }
                }
            }
        }
        settings
    }

    /// Scores of each draw: normal pictures, then anomalous ones.
    fn scores(&self, trial: u64) -> Vec<Vec<f64>> {
        let mut stream = Stream::new(1, "coverage", trial);
        let normal = Normal::standard();
        // A normal score less another has variance 2, and the distance has one of its own.
        let mean = normal.inverse_cdf(self.auroc) * (2.0 + self.spread.powi(2)).sqrt();
        let n = self.n_normal + self.n_anomalous;
        let pictures: Vec<f64> = (0..n).map(|_| self.common.sqrt() * stream.normal()).collect();
        let draw = |_| {
            let distance = mean + self.spread * stream.normal();
            let score = |(index, own): (usize, &f64)| {
                let shift = if index < self.n_normal { 0.0 } else { distance };
                own + (1.0 - self.common).sqrt() * stream.normal() + shift
            };
            pictures.iter().enumerate().map(score).collect()
        };
        (0..self.n_draws).map(draw).collect()
    }

    fn sample(&self) -> Sample {
        let n = self.n_normal + self.n_anomalous;
        Sample::new((0..n).map(|index| index >= self.n_normal).collect(), &vec![None; n])
    }

    /// How often an interval holds the true value, and how wide it is in the mean.
    fn coverage(&self, trials: u64, interval: Interval) -> (f64, f64) {
        let sample = self.sample();
        let found: Vec<(f64, f64)> = (0..trials)
            .into_par_iter()
            .filter_map(|trial| interval(&sample, &self.scores(trial), trial))
            .collect();
        let held = found.iter().filter(|(low, high)| (*low..=*high).contains(&self.auroc)).count();
        let width = found.iter().map(|(low, high)| high - low).sum::<f64>() / found.len() as f64;
        (held as f64 / trials as f64, width)
    }
}

type Interval = fn(&Sample, &[Vec<f64>], u64) -> Option<(f64, f64)>;

/// What reports show.
fn shown(sample: &Sample, draws: &[Vec<f64>], _: u64) -> Option<(f64, f64)> {
    auroc_interval::interval(sample, draws)
}

/// What reports showed before: quantiles of resampled means.
fn resampled(sample: &Sample, draws: &[Vec<f64>], trial: u64) -> Option<(f64, f64)> {
    two_level::replicates(sample, draws, &format!("trial {trial}")).as_deref().and_then(two_level::interval)
}

fn main() -> Result<()> {
    let (trials, csv) = arguments::trials_and_csv()?;
    println!(
        "{trials} trials; 95 % intervals; held in % (mean width); resampled ones with a tenth of the trials\n"
    );
    print!("normal anomalous draws spread common");
    AUROCS.iter().for_each(|auroc| print!(" {auroc:>13}"));
    println!("  resampled at 0.8, 0.995");
    let mut table = String::from("auroc,n_normal,n_anomalous,n_draws,spread,common,held,width\n");
    let (mut least, mut below) = (1.0f64, 0);
    for row in Setting::all().chunks(AUROCS.len()) {
        let Setting { n_normal, n_anomalous, n_draws, spread, common, .. } = row[0];
        print!("{n_normal:>6} {n_anomalous:>9} {n_draws:>5} {spread:>6} {common:>6}");
        for setting in row {
            let (held, width) = setting.coverage(trials, shown);
            (least, below) = (least.min(held), below + usize::from(held < PROMISED));
            print!("  {:>5.1} ({width:.3})", 100.0 * held);
            writeln!(
                table,
                "{},{n_normal},{n_anomalous},{n_draws},{spread},{common},{held},{width}",
                setting.auroc
            )?;
        }
        for at in [1, 4] {
            print!("  {:>5.1}", 100.0 * row[at].coverage(trials.div_ceil(10), resampled).0);
        }
        println!();
    }
    println!("\nleast: {:.1} %; {below} settings below {:.0} %", 100.0 * least, 100.0 * PROMISED);
    if let Some(path) = csv {
        std::fs::write(&path, table).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}
