//! How often do 95 % intervals of AUROC hold the true value? Simulated, since only there it is known.
//!
//!     cargo run --release --example coverage [TRIALS]
//!
//! Scores are normal in both classes, with the classes as far apart as an AUROC of 0.8 asks for, in 50 normal and 50
//! anomalous pictures. With several support draws, each draw moves the classes' distance and adds noise of its own to
//! every picture; the true value is then the mean over all draws that there could be.

use anyhow::{Context, Result};
use medfsad::metric::auroc::auroc;
use medfsad::metric::delong::Contributions;
use medfsad::metric::interval::bootstrap;
use medfsad::metric::two_level::{Sample, interval, replicates};
use medfsad::random::Stream;
use rayon::prelude::*;

const N: usize = 50;

/// Distance of two normal classes, in deviations, at which AUROC is 0.8: the root of 2 times the 0.8 quantile.
const DISTANCE: f64 = 1.190_232_211_949_4;

/// Spread of the distance over support draws.
const SPREAD: f64 = 0.3;

/// One simulated experiment: per draw, scores of N normal and then N anomalous pictures.
fn scores(draws: usize, trial: u64) -> Vec<Vec<f64>> {
    let mut stream = Stream::new(1, "coverage", trial);
    // With several draws, half of a picture's variance is its own and half the draw's.
    let share = if draws > 1 { 0.5f64.sqrt() } else { 1.0 };
    let pictures: Vec<f64> = (0..2 * N).map(|_| share * stream.normal()).collect();
    let one = |_| {
        let distance = DISTANCE + if draws > 1 { SPREAD * stream.normal() } else { 0.0 };
        let noise = if draws > 1 { share } else { 0.0 };
        let score = |(index, own): (usize, &f64)| {
            own + noise * stream.normal() + if index < N { 0.0 } else { distance }
        };
        pictures.iter().enumerate().map(score).collect()
    };
    (0..draws).map(one).collect()
}

/// The chance that a score of the distant class beats one of the other: Phi((d + e) / sqrt 2), e normal with SPREAD.
fn truth(draws: usize) -> f64 {
    let variance = if draws > 1 { 2.0 + SPREAD * SPREAD } else { 2.0 };
    1.0 - medfsad::metric::normal::two_sided(DISTANCE / variance.sqrt()) / 2.0
}

type Interval = Option<(f64, f64)>;

fn two_level(draws: &[Vec<f64>], trial: u64) -> Interval {
    let classes = (0..2 * N).map(|index| index >= N).collect();
    let sample = Sample::new(classes, &vec![None; 2 * N]);
    replicates(&sample, draws, &format!("trial {trial}")).as_deref().and_then(interval)
}

fn main() -> Result<()> {
    let trials: u64 =
        std::env::args().nth(1).map_or(Ok(2000), |text| text.parse()).context("TRIALS is a number")?;
    println!("{trials} trials, {N} normal and {N} anomalous pictures, AUROC 0.8; 95 % intervals\n");
    println!("{:<44} {:>9} {:>12} {:>8}", "interval", "covers, %", "+- (95 %)", "width");
    type Method = fn(&[Vec<f64>], u64) -> Interval;
    let delong: Method = |draws, _| Contributions::new(&draws[0][..N], &draws[0][N..])?.interval();
    let pictures: Method =
        |draws, trial| bootstrap(&draws[0][..N], &draws[0][N..], Stream::new(2, "bootstrap", trial), auroc);
    // What tables did before: the mean of the draws' own bounds.
    let mean_of_bounds: Method = |draws, trial| {
        let each = draws
            .iter()
            .map(|draw| bootstrap(&draw[..N], &draw[N..], Stream::new(2, "bootstrap", trial), auroc));
        let each: Vec<(f64, f64)> = each.collect::<Option<_>>()?;
        let mean = |pick: fn(&(f64, f64)) -> f64| each.iter().map(pick).sum::<f64>() / each.len() as f64;
        Some((mean(|bounds| bounds.0), mean(|bounds| bounds.1)))
    };
    let methods: [(&str, usize, Method); 6] = [
        ("DeLong on the logit, 1 draw", 1, delong),
        ("bootstrap over pictures, 1 draw", 1, pictures),
        ("two-level bootstrap, 1 draw", 1, two_level),
        ("two-level bootstrap, 10 draws", 10, two_level),
        ("first draw's pictures alone, 10 draws", 10, pictures),
        ("mean of the draws' bounds, 10 draws", 10, mean_of_bounds),
    ];
    for (name, draws, method) in methods {
        let truth = truth(draws);
        let found: Vec<(f64, f64)> =
            (0..trials).into_par_iter().filter_map(|trial| method(&scores(draws, trial), trial)).collect();
        let covered = found.iter().filter(|(low, high)| (*low..=*high).contains(&truth)).count();
        let share = covered as f64 / trials as f64;
        let error = 1.96 * (share * (1.0 - share) / trials as f64).sqrt();
        let width = found.iter().map(|(low, high)| high - low).sum::<f64>() / found.len() as f64;
        println!("{name:<44} {:>9.1} {:>12.1} {width:>8.3}", 100.0 * share, 100.0 * error);
    }
    Ok(())
}
