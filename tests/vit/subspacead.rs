//! `SubspaceAD` against its authors' functions.

use medfsad::method::part::scatter::Scatter;
use medfsad::method::part::subspace::Subspace;
use medfsad::method::subspacead::image_scores;
use medfsad::network::formula;
use medfsad::network::vit::{Deep, Interpolation, Reading, Transformer};
use tch::{Kind, Tensor};

use super::dinov2::{network, picture, plan};
use super::{Compared, assert_near, reference};

fn factor(name: &str, shape: &[i64], reach: f64) -> Tensor {
    formula::tensor(&format!("subspacead.{name}"), shape, -reach, reach).to_kind(Kind::Double)
}

/// Rows of six directions, noise and an offset, rounded to single precision.
fn rows(coefficients: &str, noise: &str, n: i64) -> Tensor {
    let inside = factor(coefficients, &[n, 6], 3.0).matmul(&factor("basis", &[6, 32], 1.0));
    inside + factor(noise, &[n, 32], 1.0) * 0.2 + factor("offset", &[32], 2.0)
}

fn single(rows: &Tensor) -> Tensor {
    rows.to_kind(Kind::Float)
}

fn queries() -> Tensor {
    let rows = rows("coef_test", "noise_test", 120);
    let mut ill = rows.narrow(0, 50, 10);
    ill += factor("anomaly", &[10, 32], 2.0);
    single(&rows)
}

fn subspace(explained: f64) -> Subspace {
    let scatter = Scatter::of(&single(&rows("coef", "noise", 400)));
    Subspace::new(&scatter, explained).expect("a subspace")
}

#[test]
fn residuals_equal_the_published() {
    let golden = &reference("subspacead.json")["fits"];
    let mut compared = Compared::within(1e-8);
    for (key, explained) in [("ev0.99", 0.99), ("ev0.90", 0.90)] {
        let subspace = subspace(explained);
        assert_eq!(Some(subspace.components() as u64), golden[key]["k"].as_u64(), "{key}");
        compared.with(key, &subspace.residuals(&queries()), &golden[key]["reconstruction"]);
    }
    compared.say("residuals");
}

#[test]
fn maps_and_scores_equal_the_published() {
    let golden = &reference("subspacead.json")["map"];
    let grid = subspace(0.99).residuals(&queries()).view([1, 1, 12, 10]);
    let map = grid.upsample_bilinear2d([168, 168], false, None, None).squeeze_dim(1);
    let mut compared = Compared::within(5e-5);
    compared.with("map", &map.squeeze_dim(0), &golden["resized_only"]);
    compared.say("map");
    let score = image_scores(&map).double_value(&[0]);
    println!("score: {score}");
    assert_near("mean of the highest hundredth", score, &golden["mtop1p"], 1e-4);
}

#[test]
fn mean_hidden_states_equal_the_published() {
    let golden = reference("subspacead.json");
    let configs = reference("dinov2_tiny.json");
    // Hugging Face fits the table in single precision.
    let mut compared = Compared::within(2e-6);
    for (name, interpolation) in [("tiny", Interpolation::Exact), ("tiny_reg4", Interpolation::Antialiased)] {
        let config = &configs["configs"][name];
        let network = network(plan(name), config, Kind::Double);
        let deep = Deep::Mean { first: 1, last: 2 };
        let reading = Reading { deep, interpolation, ..Reading::of(Transformer::Dinov2Tiny) };
        for (size, input) in config["inputs"].as_object().expect("inputs") {
            let what = format!("{name}_{size}");
            let deep = reading.features(&network, &picture(input, Kind::Double)).deep;
            let tokens = deep.flatten(2, 3).transpose(1, 2);
            let golden = &golden["hidden_states"][&what]["mean_of_hidden_states_-2_-3_patch_tokens"];
            compared.with(&what, &tokens, golden);
        }
    }
    compared.say("mean hidden states");
}
