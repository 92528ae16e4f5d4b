//! Intervals and tests: the specification's worked examples, and what must hold whatever the data.

use medfsad::metric::delong::Contributions;
use medfsad::metric::normal::two_sided;
use medfsad::metric::paired::{holm, signed_rank, standings};
use medfsad::metric::preset::{Division, Preset};
use medfsad::metric::two_level::{Sample, interval, replicates};
use medfsad::random::Stream;

const NORMAL: [f64; 4] = [0.10, 0.40, 0.20, 0.30];
const ANOMALOUS: [f64; 4] = [0.35, 0.80, 0.40, 0.90];

#[test]
fn delong_of_the_worked_example() {
    let first = Contributions::new(&NORMAL, &ANOMALOUS).unwrap();
    let second = Contributions::new(&[0.2, 0.3, 0.1, 0.55], &[0.5, 0.6, 0.25, 0.7]).unwrap();
    assert!((first.variance().unwrap() - 0.012_369_79).abs() < 1e-8, "{:?}", first.variance());
    assert!((first.covariance(&second).unwrap() - 0.006_510_42).abs() < 1e-8);
    let difference = first.paired(&second).unwrap();
    assert!((difference.z - 0.560_316).abs() < 1e-6 && difference.value == 0.09375, "{difference:?}");
    assert!((difference.p - two_sided(0.560_316)).abs() < 1e-6);
    assert!((two_sided(1.959_963_984_540_054) - 0.05).abs() < 1e-12 && two_sided(0.0) == 1.0);
}

#[test]
fn delong_is_undefined_where_nothing_varies() {
    let perfect = Contributions::new(&[0.1, 0.2], &[0.8, 0.9]).unwrap();
    assert_eq!((perfect.auroc, perfect.variance(), perfect.interval()), (1.0, Some(0.0), None));
    assert!(perfect.paired(&perfect).is_none());
    let same = Contributions::new(&NORMAL, &ANOMALOUS).unwrap();
    assert!(same.paired(&same).is_none(), "a score does not differ from itself");
    assert!(Contributions::new(&[0.1], &ANOMALOUS).unwrap().interval().is_none());
    assert!(Contributions::new(&[], &ANOMALOUS).is_none());
    let (low, high) = same.interval().unwrap();
    assert!(0.0 < low && low < same.auroc && same.auroc < high && high < 1.0);
}

#[test]
fn signed_ranks_holm_and_standings_of_worked_examples() {
    // All six differences of one sign: 2 of 64 orders of signs are as extreme.
    let all = signed_rank(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).unwrap();
    assert_eq!((all.statistic, all.p, all.n), (0.0, 2.0 / 64.0, 6));
    assert_eq!(signed_rank(&[0.0, 0.0]), None);
    // Two ties of opposite signs say nothing.
    assert_eq!(signed_rank(&[0.1, -0.1]).unwrap().p, 1.0);
    assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
    assert_eq!(holm(&[0.9, 0.6]), [1.0, 1.0]);
    let values =
        [vec![Some(0.9), Some(0.5), None], vec![Some(0.8), Some(0.5), Some(0.1)], vec![Some(0.7); 3]];
    let standings = standings(&values).unwrap();
    assert_eq!(standings.iter().map(|s| s.mean_rank).collect::<Vec<_>>(), [1.75, 2.25, 2.0]);
    assert_eq!(standings.iter().map(|s| s.borda).collect::<Vec<_>>(), [2.5, 1.5, 2.0]);
}

#[test]
fn a_preset_threshold_comes_from_supports_alone() {
    let preset = Preset::new(vec![0.3, 0.5, 0.4]).unwrap();
    assert_eq!((preset.threshold(), preset.promised_fpr()), (0.5, 0.25));
    assert_eq!([0.2, 0.4, 0.5, 0.6].map(|score| preset.p_value(score)), [1.0, 0.75, 0.5, 0.25]);
    assert_eq!((Preset::new(Vec::new()), Preset::new(vec![f64::NAN])), (None, None));
    let division = Division::new(&[0.1, 0.6], &[0.5, 0.7, 0.8], preset.threshold()).unwrap();
    assert_eq!((division.sensitivity(), division.false_positive_rate()), (2.0 / 3.0, 0.5));
    assert_eq!(Division::new(&[0.1], &[0.2], 0.5).unwrap().mcc(), None);
    assert_eq!(Division::new(&[], &[0.2], 0.5), None);
}

/// Scores of three draws on 40 normal and 30 anomalous pictures.
fn three_draws() -> (Vec<bool>, Vec<Vec<f64>>) {
    let classes: Vec<bool> = (0..70).map(|picture| picture >= 40).collect();
    let draw = |index: u64| {
        let mut stream = Stream::new(1, "three draws", index);
        classes.iter().map(|&anomalous| stream.normal() + if anomalous { 1.0 } else { 0.0 }).collect()
    };
    (classes.clone(), (0..3).map(draw).collect())
}

fn width((low, high): (f64, f64)) -> f64 {
    high - low
}

#[test]
fn two_level_intervals_repeat_and_hold_draws_and_patients() {
    let (classes, draws) = three_draws();
    let single = Sample::new(classes.clone(), &vec![None; 70]);
    let of = |sample: &Sample, draws: &[Vec<f64>]| {
        interval(&replicates(sample, draws, "two levels").unwrap()).unwrap()
    };
    assert_eq!(of(&single, &draws), of(&single, &draws), "the same seed gave another interval");
    // Ten pictures of one patient are worth less than ten pictures of ten.
    let patients: Vec<Option<String>> = (0..70).map(|picture| Some((picture / 10).to_string())).collect();
    let grouped = Sample::new(classes.clone(), &patients);
    let copies: Vec<Vec<f64>> =
        draws.iter().map(|draw| (0..70).map(|picture| draw[picture / 10 * 10]).collect()).collect();
    assert!(width(of(&grouped, &copies)) > 1.5 * width(of(&single, &copies)));
    // Draws that disagree widen the interval of their mean.
    let apart = [draws[0].clone(), draws[0].iter().map(|score| -score).collect()];
    assert!(width(of(&single, &apart)) > 1.5 * width(of(&single, &draws[..1])));
    // One patient says nothing of how patients differ.
    let alone: Vec<Option<String>> =
        (0..70).map(|picture| Some(if picture < 40 { "only" } else { "other" }.to_owned())).collect();
    assert!(replicates(&Sample::new(classes, &alone), &draws, "one patient").is_none());
    // Undefined stays undefined.
    assert!(replicates(&Sample::new(vec![true; 3], &vec![None; 3]), &[vec![1.0; 3]], "undefined").is_none());
    assert!(replicates(&single, &[vec![f64::NAN; 70]], "undefined").is_none());
    assert!(replicates(&single, &[], "undefined").is_none());
}

#[test]
fn two_methods_on_the_same_pictures_are_resampled_alike() {
    let (classes, draws) = three_draws();
    let sample = Sample::new(classes, &vec![None; 70]);
    let better: Vec<Vec<f64>> = draws
        .iter()
        .map(|draw| {
            draw.iter().enumerate().map(|(i, score)| score + if i >= 40 { 0.05 } else { 0.0 }).collect()
        })
        .collect();
    let replicates = |draws: &[Vec<f64>]| replicates(&sample, draws, "paired").unwrap();
    let (first, second) = (replicates(&better), replicates(&draws));
    let differences: Vec<f64> = first.iter().zip(&second).map(|(a, b)| a - b).collect();
    let own = width(interval(&second).unwrap());
    let paired = interval(&differences).unwrap();
    assert!(paired.0 > 0.0 && width(paired) < own / 3.0, "{paired:?} against {own}");
}
