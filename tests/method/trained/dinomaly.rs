//! Dinomaly: what it finds, and settings that cannot be.

use medfsad::method::dinomaly::loss::discounted;

use super::*;

const TINY: &str = "backbone = 'dinov2_tiny14'\nside = 56\nmargin = 0\nwarm_up = 5\nviews = false\nbatch = 8";

#[test]
fn dinomalys_loss_falls_and_a_foreign_texture_stands_out() {
    tch::set_num_threads(1);
    let settings = format!("{TINY}\nsteps = 120\ndiscount_rise = 40");
    let (fitted, looks) = train("dinomaly", &settings, stripes("train", 8, 56), &calibrated());
    let loss = |look: usize| looks[look].iter().find(|(known, _)| *known == "loss").expect("a figure").1;
    let (first, last) = (loss(0), loss(looks.len() - 1));
    println!("loss from {first} to {last}");
    assert!(last < 0.8 * first, "the loss goes from {first} to {last}");
    let found = foreign_corners_found(&*fitted);
    println!("AUROC of foreign corners {found}");
    assert!(found > 0.9, "foreign corners are found at {found}");
}

#[test]
fn dinomaly_drops_values_in_training_alone() {
    let context = calibrated();
    let trained = |dropout: f64| {
        let settings = format!("{TINY}\nsteps = 12\ndropout = {dropout}");
        let (fitted, _) = train("dinomaly", &settings, stripes("train", 8, 56), &context);
        let detector = fitted.adapt(&pictures("support", 1)).expect("a detector");
        let queries = stripes("query", 3, 56);
        let score = || scores((&*fitted, &*detector), &queries, &[0, 1, 2], 3);
        let first = score();
        assert_eq!(first, score(), "scores are drawn");
        first
    };
    assert_ne!(trained(0.2), trained(0.0), "dropout changes nothing");
}

#[test]
fn dinomalys_share_of_discounted_positions_rises_and_stays() {
    assert_eq!([0, 500, 1000, 4000].map(|step| discounted(0.9, 1000, step)), [0.0, 0.45, 0.9, 0.9]);
    assert_eq!(discounted(0.9, 0, 0), 0.9);
}

#[test]
fn dinomaly_refuses_settings_that_cannot_be() {
    let error = |settings: &str| {
        let settings = format!("backbone = 'dinov2_tiny14'\nside = 56\n{settings}");
        let built = (find("dinomaly").expect("known").build)(toml::from_str(&settings).expect("TOML"));
        format!("{:#}", built.err().expect("an error"))
    };
    assert!(error("margin = -1").contains("margin must not be negative"));
    assert!(error("dropout = 1.0").contains("dropout must be at least 0 and below 1"));
    assert!(error("discounted = 1.0").contains("discounted must be at least 0 and below 1"));
    assert!(error("steps = 50").contains("warm_up is 100 and there are 50 steps"));
}
