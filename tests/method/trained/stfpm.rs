//! Student and teacher feature pyramids.

use medfsad::network::Scales;

use medfsad::method::stfpm;

use super::*;

fn perturbed(scales: &Scales, by: f64) -> Scales {
    scales.each_ref().map(|scale| scale + uniform("perturbation", &scale.size()) * by)
}

#[test]
fn stfpm_maps_are_zero_for_a_perfect_student_and_keep_their_rank_near_zero() {
    let scales: Scales =
        [(64, 8), (128, 4), (256, 2)].map(|(c, side)| uniform("teacher", &[2, c, side, side]));
    assert_eq!(largest(&stfpm::maps(&scales, &scales, 32)), 0.0);
    let map = |by: f64| stfpm::maps(&scales, &perturbed(&scales, by), 32);
    let (smaller, larger) = (map(1e-3), map(1.2e-3));
    assert!(largest(&larger) < 1e-15, "the largest is {}", largest(&larger));
    let ratio = larger / smaller;
    let (low, high) = (ratio.min().double_value(&[]), ratio.max().double_value(&[]));
    // Each distance grows with the square of the perturbation, their product with its sixth power.
    assert!((low / 1.2f64.powi(6) - 1.0).abs() < 0.02 && (high / 1.2f64.powi(6) - 1.0).abs() < 0.02);
}

#[test]
fn stfpm_loss_falls_throughout() {
    let settings = "steps = 50\nbatch = 8\nlearning_rate = 0.1";
    let (_, looks) = train("stfpm", settings, pictures("train", 8), &calibrated());
    let losses: Vec<f64> = looks.iter().map(|figures| figures[0].1).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "losses are {losses:?}");
    assert!(losses[9] < 0.5 * losses[0], "losses are {losses:?}");
}
