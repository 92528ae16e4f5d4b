//! AUROC is exact, undefined is `None`, and bootstrap intervals repeat and narrow.

mod reference;
mod statistics;

use medfsad::metric::auroc::auroc;
use medfsad::metric::explanation::{Occlusion, curves, energy, occlusion, peak, pointing};
use medfsad::metric::interval::bootstrap;
use medfsad::metric::rank::{ranks, spearman};
use medfsad::pixels::Pixels;
use medfsad::random::Stream;

/// Pairs won by the anomalous picture, ties counting one half.
fn by_pairs(normal: &[f64], anomalous: &[f64]) -> f64 {
    let won = |&a: &f64, &n: &f64| {
        if a > n {
            1.0
        } else if a == n {
            0.5
        } else {
            0.0
        }
    };
    let total: f64 = anomalous.iter().map(|a| normal.iter().map(|n| won(a, n)).sum::<f64>()).sum();
    total / (normal.len() * anomalous.len()) as f64
}

/// Two classes of 1 to 40 scores; every second case takes few values, so that it is full of ties.
fn case(index: u64) -> (Vec<f64>, Vec<f64>) {
    let mut stream = Stream::new(5, "auroc case", index);
    let mut scores = |shift: f64| -> Vec<f64> {
        let n = 1 + stream.below(40);
        let coarse = |value: f64| if index.is_multiple_of(2) { (value * 4.0).round() / 4.0 } else { value };
        (0..n).map(|_| coarse(stream.between(-1.0, 1.0) + shift)).collect()
    };
    (scores(0.0), scores(0.3))
}

#[test]
fn auroc_of_the_worked_example_is_0_90625() {
    let (normal, anomalous) = ([0.10, 0.40, 0.20, 0.30], [0.35, 0.80, 0.40, 0.90]);
    assert_eq!(auroc(&normal, &anomalous), Some(0.90625));
    let (normal, anomalous) = ([0.2, 0.3, 0.1, 0.55], [0.5, 0.6, 0.25, 0.7]);
    assert_eq!(auroc(&normal, &anomalous), Some(0.8125));
}

#[test]
fn auroc_equals_counting_pairs() {
    let mut n_tied = 0;
    for index in 0..300 {
        let (normal, anomalous) = case(index);
        let (found, expected) = (auroc(&normal, &anomalous).unwrap(), by_pairs(&normal, &anomalous));
        assert!((found - expected).abs() < 1e-12, "case {index}: {found} is not {expected}");
        n_tied += usize::from(anomalous.iter().any(|a| normal.contains(a)));
    }
    assert!(n_tied > 100, "only {n_tied} cases hold ties between classes");
}

#[test]
fn scores_turned_round_give_one_less_auroc() {
    for index in 0..300 {
        let (normal, anomalous) = case(index);
        let turned = |scores: &[f64]| scores.iter().map(|score| -score).collect::<Vec<_>>();
        let sum = auroc(&normal, &anomalous).unwrap() + auroc(&turned(&normal), &turned(&anomalous)).unwrap();
        assert!((sum - 1.0).abs() < 1e-12, "case {index}: {sum}");
    }
}

#[test]
fn auroc_ignores_the_order_of_pictures_and_any_rising_change_of_scale() {
    for index in 0..50 {
        let (mut normal, mut anomalous) = case(index);
        let before = auroc(&normal, &anomalous);
        Stream::new(6, "order", index).shuffle(&mut normal);
        anomalous.reverse();
        assert_eq!(auroc(&normal, &anomalous), before);
        for score in normal.iter_mut().chain(&mut anomalous) {
            *score = (3.0 * *score).exp();
        }
        assert_eq!(auroc(&normal, &anomalous), before);
    }
}

#[test]
fn ties_count_one_half_even_between_the_two_zeros() {
    assert_eq!(auroc(&[1.0; 5], &[1.0; 3]), Some(0.5));
    assert_eq!(auroc(&[0.0], &[-0.0]), Some(0.5));
    assert_eq!(auroc(&[0.0, 1.0], &[1.0]), Some(0.75));
    assert_eq!(auroc(&[f64::NEG_INFINITY, 0.0], &[f64::INFINITY]), Some(1.0));
}

#[test]
fn auroc_is_undefined_without_both_classes_or_with_a_score_that_is_no_number() {
    assert_eq!(auroc(&[], &[1.0]), None);
    assert_eq!(auroc(&[1.0], &[]), None);
    assert_eq!(auroc(&[1.0, f64::NAN], &[2.0]), None);
    assert_eq!(auroc(&[1.0], &[f64::NAN, 2.0]), None);
}

/// Overlapping bells of `n` pictures each.
fn bells(n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut stream = Stream::new(8, "bells", n as u64);
    let normal = (0..n).map(|_| stream.normal()).collect();
    (normal, (0..n).map(|_| stream.normal() + 1.0).collect())
}

fn interval(n: usize, index: u64) -> (f64, f64) {
    let (normal, anomalous) = bells(n);
    bootstrap(&normal, &anomalous, Stream::new(1, "interval", index), auroc).unwrap()
}

#[test]
fn an_interval_is_fixed_by_its_stream() {
    assert_eq!(interval(60, 0), interval(60, 0));
    assert_ne!(interval(60, 0), interval(60, 1));
}

#[test]
fn an_interval_holds_the_value_and_narrows_with_more_pictures() {
    let mut before = 1.0;
    for n in [20, 80, 320] {
        let (normal, anomalous) = bells(n);
        let value = auroc(&normal, &anomalous).unwrap();
        let (low, high) = interval(n, 0);
        assert!(low < value && value < high, "{n}: {value} is outside {low} to {high}");
        assert!(high - low < 0.7 * before, "{n}: {} is not much narrower than {before}", high - low);
        before = high - low;
    }
}

#[test]
fn an_interval_has_the_width_that_theory_gives() {
    // Hanley and McNeil's variance for the AUROC of overlapping bells.
    let n = 320;
    let (normal, anomalous) = bells(n);
    let a = auroc(&normal, &anomalous).unwrap();
    let (q1, q2) = (a / (2.0 - a), 2.0 * a * a / (1.0 + a));
    let more = (n - 1) as f64;
    let variance = (a * (1.0 - a) + more * (q1 - a * a) + more * (q2 - a * a)) / (n * n) as f64;
    let (low, high) = interval(n, 0);
    let ratio = (high - low) / (2.0 * 1.96 * variance.sqrt());
    assert!((0.8..1.25).contains(&ratio), "{ratio} of the width expected");
}

#[test]
fn every_resample_keeps_both_class_sizes_and_takes_pictures_of_its_own_class() {
    let interval =
        bootstrap(&[1.0, 2.0, 3.0], &[10.0, 20.0], Stream::new(1, "sizes", 0), |normal, anomalous| {
            assert_eq!((normal.len(), anomalous.len()), (3, 2));
            assert!(normal.iter().all(|&score| score < 5.0) && anomalous.iter().all(|&score| score > 5.0));
            Some(1.0)
        });
    assert_eq!(interval, Some((1.0, 1.0)));
}

#[test]
fn an_interval_of_something_undefined_is_none() {
    assert_eq!(bootstrap(&[], &[1.0], Stream::new(1, "none", 0), auroc), None);
    let first = std::cell::Cell::new(true);
    let only_once = |_: &[f64], _: &[f64]| first.replace(false).then_some(0.5);
    assert_eq!(bootstrap(&[1.0], &[2.0], Stream::new(1, "none", 1), only_once), None);
}

/// A noisy picture of 64 pixels with a bright square, the square as a mask, and the mask as a map.
fn bright_square() -> (Pixels, Pixels, Vec<f32>) {
    let mut stream = Stream::new(3, "bright square", 0);
    let inside = |at: usize| (20..36).contains(&(at / 64)) && (30..46).contains(&(at % 64));
    let sample = |at: usize| if inside(at) { 200 } else { 30 + stream.below(20) as u8 };
    let picture = Pixels::new(64, 64, 1, (0..64 * 64).map(sample).collect()).unwrap();
    let mask = (0..64 * 64).map(|at| if inside(at) { 255 } else { 0 }).collect();
    let map = (0..64 * 64).map(|at| f32::from(u8::from(inside(at)))).collect();
    (picture, Pixels::new(64, 64, 1, mask).unwrap(), map)
}

/// A detector of brightness: the share of bright pixels.
fn brightness(pictures: &[Pixels]) -> anyhow::Result<Vec<f64>> {
    let bright = |picture: &Pixels| picture.samples().iter().filter(|&&sample| sample > 150).count() as f64;
    Ok(pictures.iter().map(|picture| bright(picture) / 4096.0).collect())
}

#[test]
fn an_oracle_map_beats_a_uniform_one_on_every_measure() {
    let (picture, mask, oracle) = bright_square();
    let uniform = vec![0.5; oracle.len()];
    assert_eq!((pointing(&oracle, &mask), pointing(&uniform, &mask)), (Some(true), Some(false)));
    assert_eq!(energy(&oracle, &mask), Some(1.0));
    let area = 256.0 / 4096.0;
    assert!((energy(&uniform, &mask).unwrap() - area).abs() < 1e-12, "a uniform map has the mask's area");
    let best = curves(&oracle, &picture, &mut brightness).unwrap().unwrap();
    let flat = curves(&uniform, &picture, &mut brightness).unwrap().unwrap();
    assert!(best.deletion < flat.deletion && best.insertion > flat.insertion, "{best:?} {flat:?}");
    // A sixteenth of the picture is bright: all of it is gone, or there, after the second of 20 steps.
    assert!(best.deletion < 0.06 && best.insertion > 0.9, "{best:?}");
    let Occlusion { at_peak, elsewhere } =
        occlusion((28, 38), &picture, 1, &mut brightness).unwrap().unwrap();
    assert!(at_peak > 0.2 && elsewhere == 0.0, "{at_peak} {elsewhere}");
}

#[test]
fn measures_of_explanations_without_a_basis_are_undefined() {
    let (picture, mask, oracle) = bright_square();
    let empty = Pixels::new(64, 64, 1, vec![0; 64 * 64]).unwrap();
    assert_eq!((pointing(&oracle, &empty), energy(&oracle, &empty)), (None, None));
    assert_eq!(energy(&vec![0.0; oracle.len()], &mask), None);
    let mut silent = |pictures: &[Pixels]| Ok(vec![0.0; pictures.len()]);
    assert_eq!(curves(&oracle, &picture, &mut silent).unwrap(), None);
    assert_eq!(occlusion((1, 1), &picture, 1, &mut silent).unwrap(), None);
    assert_eq!(peak(&[1.0, 3.0, 2.0, 3.0], 2), (0, 1));
}

#[test]
fn ranks_share_ties_and_spearman_follows_them() {
    assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), Some(1.0));
    assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
    // scipy.stats.spearmanr
    let found = spearman(&[1.0, 2.0, 2.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 9.0]).unwrap();
    assert!((found - 0.666_885_928_855_350_3).abs() < 1e-12, "{found}");
    assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
}
