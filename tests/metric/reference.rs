//! Metrics against scikit-learn, scipy and plain definitions, on made-up scores and maps that both sides compute
//! (`tests/reference/metrics.py`), and on the specification's worked examples.

use anyhow::Result;
use medfsad::metric::auroc::auroc;
use medfsad::metric::component::{Neighbours, components};
use medfsad::metric::paired::signed_rank;
use medfsad::metric::pimo::pimo;
use medfsad::metric::pixel::{BUDGET, Localisation, Maps, See, localisation};
use medfsad::metric::preset::Division;
use medfsad::metric::ranking::Ranking;
use medfsad::pixels::Pixels;
use serde_json::Value;

/// `n` numbers in `[0, 1)`: FNV-1a of the name, then SplitMix64.
pub fn uniform(name: &str, n: usize) -> Vec<f64> {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let start = name.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
    let number = |i: u64| {
        let z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (1..=n as u64).map(number).collect()
}

fn reference() -> Value {
    serde_json::from_str(include_str!("../reference/metrics.json")).expect("JSON")
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn assert_close(what: &str, ours: f64, expected: f64) {
    assert!((ours - expected).abs() <= 1e-12, "{what}: ours {ours}, expected {expected}");
}

/// As `ranking` in the script.
fn scores(index: usize) -> (Vec<f64>, Vec<f64>) {
    let u = uniform(&format!("ranking {index}"), 82);
    let (n, p) = (1 + (u[0] * 40.0) as usize, 1 + (u[1] * 40.0) as usize);
    let coarse = |score: f64| if index.is_multiple_of(2) { (score * 8.0).floor() / 8.0 } else { score };
    (
        u[2..2 + n].iter().map(|&score| coarse(score)).collect(),
        u[42..42 + p].iter().map(|&score| coarse(score + 0.2)).collect(),
    )
}

#[test]
fn a_thousand_rankings_agree_with_scikit_learn() {
    let reference = reference();
    let cases = reference["ranking"].as_array().expect("cases");
    assert_eq!(cases.len(), 1000);
    for (index, case) in cases.iter().enumerate() {
        let (normal, anomalous) = scores(index);
        let ranking = Ranking::new(&normal, &anomalous).expect("both classes");
        let division = Division::new(&normal, &anomalous, 0.5).expect("both classes");
        let ours = [
            auroc(&normal, &anomalous).expect("both classes"),
            ranking.average_precision(),
            ranking.best_f1().0,
            ranking.fpr_at(0.95),
            ranking.sensitivity_at(0.9),
            ranking.partial_auroc(0.1),
            division.balanced_accuracy(),
            // scikit-learn says 0 where it is undefined.
            division.mcc().unwrap_or(0.0),
        ];
        for ((name, ours), expected) in ["auroc", "ap", "f1", "fpr95", "sens90", "pauc", "balanced", "mcc"]
            .iter()
            .zip(ours)
            .zip(floats(case))
        {
            assert_close(&format!("{name} of case {index}"), ours, expected);
        }
    }
}

#[test]
fn operating_points_of_the_worked_example() {
    let (normal, anomalous) = ([0.10, 0.40, 0.20, 0.30], [0.35, 0.80, 0.40, 0.90]);
    let ranking = Ranking::new(&normal, &anomalous).unwrap();
    assert_close("AP", ranking.average_precision(), 0.8875);
    let (f1, threshold) = ranking.best_f1();
    assert!((f1 - 0.888_889).abs() < 1e-6 && threshold == 0.35);
    assert_eq!(ranking.fpr_at(0.95), 0.25);
    assert_eq!([0.75, 0.90, 0.95].map(|x| ranking.sensitivity_at(x)), [1.0, 0.5, 0.5]);
    assert!(Ranking::new(&[], &anomalous).is_none() && Ranking::new(&[f64::NAN], &anomalous).is_none());
}

/// Maps in memory.
pub struct Held(pub Vec<(Vec<f32>, Option<Pixels>)>);

impl Maps for Held {
    fn visit(&self, see: &mut See) -> Result<()> {
        self.0.iter().try_for_each(|(map, mask)| see(map, mask.as_ref()))
    }
}

fn mask(side: usize, inside: impl Fn(usize) -> bool) -> Pixels {
    let samples = (0..side * side).map(|at| if inside(at) { 255 } else { 0 }).collect();
    Pixels::new(side, side, 1, samples).unwrap()
}

/// As `made_up_maps` in the script.
fn made_up(index: usize) -> Held {
    const SIDE: usize = 24;
    let (values, seeds) =
        (uniform(&format!("maps {index}"), 6 * 576), uniform(&format!("masks {index}"), 6 * 576));
    let one = |picture: usize| {
        let is_seed = |at: usize| seeds[picture * 576 + at] > 0.985;
        let inside = |at: usize| {
            let (row, column) = (at / SIDE, at % SIDE);
            let rows = row.saturating_sub(1)..(row + 2).min(SIDE);
            picture < 4
                && rows.into_iter().any(|row| {
                    (column.saturating_sub(1)..(column + 2).min(SIDE))
                        .any(|column| is_seed(row * SIDE + column))
                })
        };
        let value = |at: usize| {
            let value = (values[picture * 576 + at] + if inside(at) { 0.4 } else { 0.0 }) as f32;
            if index.is_multiple_of(2) { (value * 16.0).floor() / 16.0 } else { value }
        };
        ((0..576).map(value).collect(), (picture < 4).then(|| mask(SIDE, inside)))
    };
    Held((0..6).map(one).collect())
}

#[test]
fn localisation_agrees_with_scikit_learn_and_the_definition_whatever_fits_into_memory() {
    let reference = reference();
    for (index, case) in reference["localisation"].as_array().expect("cases").iter().enumerate() {
        let maps = made_up(index);
        let whole = localisation(&maps, Some(0.75), BUDGET).unwrap();
        let Localisation { auroc, ap, aupro_30, aupro_5, best_dice, preset_dice, .. } = whole;
        let ours = [auroc, ap, aupro_30, aupro_5, best_dice.map(|(dice, _)| dice), preset_dice];
        for ((name, ours), expected) in ["auroc", "ap", "aupro 0.3", "aupro 0.05", "dice", "preset dice"]
            .iter()
            .zip(ours)
            .zip(floats(case))
        {
            assert_close(&format!("pixel {name} of case {index}"), ours.expect("defined"), expected);
        }
        for budget in [0, 100, 1000] {
            assert_eq!(localisation(&maps, Some(0.75), budget).unwrap(), whole, "sorting {budget} at once");
        }
    }
}

#[test]
fn aupro_of_the_worked_example() {
    let first = [
        1.137, 0.770, 0.041, 0.017, 0.813, 0.913, 1.107, 1.229, 0.544, 0.935, 0.816, 0.003, 0.857, 0.034,
        1.230, 0.176, 0.863, 0.541, 0.300, 0.423, 0.028, 0.124, 0.671, 0.647, 0.615, 0.384, 0.997, 1.481,
        1.186, 1.150, 0.688, 0.389, 0.135, 1.221, 1.025, 0.810,
    ];
    let second = [
        0.486, 0.889, 0.934, 0.358, 0.572, 0.322, 0.594, 0.838, 0.892, 0.890, 0.227, 0.623, 0.084, 1.333,
        1.287, 0.239, 0.876, 0.059, 0.336, 0.150, 0.450, 0.796, 0.231, 0.052, 0.405, 0.199, 0.091, 0.580,
        0.299, 0.672, 0.200, 0.942, 0.365, 0.105, 0.629, 0.927,
    ];
    let inside = |at: usize| {
        let (row, column) = (at / 6, at % 6);
        (row < 2 && column < 2) || (row, column) == (2, 2) || (row >= 4 && column >= 3)
    };
    let first_mask = mask(6, inside);
    let second_mask = mask(6, |at| (1..3).contains(&(at / 6)) && (1..3).contains(&(at % 6)));
    let regions = |neighbours| [&first_mask, &second_mask].map(|mask| components(mask, neighbours).1.len());
    assert_eq!((regions(Neighbours::Eight), regions(Neighbours::Four)), ([2, 1], [3, 1]));
    let maps = Held(vec![(first.to_vec(), Some(first_mask)), (second.to_vec(), Some(second_mask))]);
    let found = localisation(&maps, None, BUDGET).unwrap();
    assert_eq!(found.n_regions, 3);
    assert!((found.aupro_30.unwrap() - 0.820_338).abs() < 1e-6, "{found:?}");
    assert_eq!(found.preset_dice, None);
}

#[test]
fn localisation_without_a_basis_is_undefined() {
    let map = vec![0.5; 36];
    let nothing = Held(vec![(map.clone(), None), (map.clone(), Some(mask(6, |_| false)))]);
    assert_eq!(localisation(&nothing, Some(0.1), BUDGET).unwrap(), Localisation::default());
    let everything = localisation(&Held(vec![(map.clone(), Some(mask(6, |_| true)))]), None, BUDGET).unwrap();
    assert_eq!((everything.auroc, everything.aupro_30, everything.ap), (None, None, Some(1.0)));
    assert!(localisation(&Held(vec![(vec![f32::NAN; 36], None)]), None, BUDGET).is_err());
    assert!(localisation(&Held(vec![(map, Some(mask(5, |_| true)))]), None, BUDGET).is_err());
    // Zeros of both signs are one threshold.
    let zeros = Held(vec![(vec![0.0, -0.0, -0.0, 0.0], Some(mask(2, |at| at < 2)))]);
    assert_eq!(localisation(&zeros, None, BUDGET).unwrap().auroc, Some(0.5));
}

/// As `docs/pixel-metrics.md` has it: an example whose integral is known.
#[test]
fn aupimo_is_near_the_integral() {
    const EXPONENT: f64 = 0.15;
    let side = 128;
    let quantiles = |n: usize, scale: f64| -> Vec<f32> {
        (0..n).map(|at| (-((at as f64 + 0.5) / n as f64).ln() / scale) as f32).collect()
    };
    let integral = (1e-4f64.powf(EXPONENT) - 1e-5f64.powf(EXPONENT)) / (EXPONENT * std::f64::consts::LN_10);
    assert!((integral - 0.21240).abs() < 5e-6);
    for (n_normal, n_points, value) in [(24, 36, 0.21088), (35, 52, 0.21138), (70, 103, 0.21190)] {
        let normal = quantiles(n_normal * side * side, 1.0);
        let mut maps: Vec<(Vec<f32>, Option<Pixels>)> =
            normal.chunks(side * side).map(|map| (map.to_vec(), None)).collect();
        maps.push((quantiles(side * side, EXPONENT), Some(mask(side, |_| true))));
        let found = pimo(&Held(maps)).unwrap().expect("enough pixels");
        assert_eq!(found.n_points, n_points);
        assert!((found.aupimo[0] - value).abs() < 5e-6, "{n_normal}: {:?}", found.aupimo);
        // The further normal pixels reach into the range, the nearer.
        assert!((found.aupimo[0] - integral).abs() < 0.04 / n_points as f64 + 5e-4);
    }
}

#[test]
fn aupimo_follows_its_definition_and_needs_enough_normal_pixels() {
    let reference = reference();
    let normal = uniform("pimo normal", 24 * 128 * 128);
    let mut maps: Vec<(Vec<f32>, Option<Pixels>)> =
        normal.chunks(128 * 128).map(|map| (map.iter().map(|&value| value as f32).collect(), None)).collect();
    let inside = |at: usize| (20..40).contains(&(at / 128)) && (30..60).contains(&(at % 128));
    for number in 0..3 {
        let values = uniform(&format!("pimo anomalous {number}"), 128 * 128);
        let value = |value: f64| (value * 0.2 * f64::from(number + 1) + 0.6) as f32;
        let map = values.into_iter().map(value).collect();
        maps.push((map, Some(mask(128, inside))));
    }
    let found = pimo(&Held(maps.clone())).unwrap().expect("enough pixels");
    assert_eq!(found.n_points as u64, reference["pimo"]["n_points"].as_u64().unwrap());
    for (ours, expected) in found.aupimo.iter().zip(floats(&reference["pimo"]["aupimo"])) {
        assert_close("AUPIMO", *ours, expected);
    }
    assert!(found.aupimo[2] > 0.05, "one of them finds something: {:?}", found.aupimo);
    assert_eq!(pimo(&Held(maps.split_off(10))).unwrap(), None, "14 normal pictures are too few");
}

#[test]
fn signed_ranks_agree_with_scipy() {
    let reference = reference();
    let mut n_exact = 0;
    for (index, case) in reference["wilcoxon"].as_array().expect("cases").iter().enumerate() {
        let coarse = |value: f64| {
            if index.is_multiple_of(2) { (value * 10.0).round_ties_even() / 10.0 } else { value }
        };
        let differences: Vec<f64> = uniform(&format!("pairs {index}"), 6 + index % 15)
            .into_iter()
            .map(|value| coarse(value - 0.35))
            .collect();
        let ours = signed_rank(&differences).expect("differences");
        assert_eq!(ours.statistic, case[0].as_f64().unwrap(), "case {index}");
        if let Some(p) = case[1].as_f64() {
            assert_close(&format!("p of case {index}"), ours.p, p);
            n_exact += 1;
        }
    }
    assert!(n_exact >= 30, "{n_exact} cases without ties");
}
