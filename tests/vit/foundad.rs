//! `FoundAD`'s projector against its authors' class, and its first steps of training.

use medfsad::method::foundad::projector::{Projector, Shape};
use medfsad::method::foundad::{Measure, errors, image_scores, rule, tokens};
use medfsad::method::part::dropout::dropped;
use medfsad::network::formula;
use medfsad::network::optimiser::Optimiser;
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, assert_near, numbers, reference, shape, text};

const TINY: Shape = Shape { tokens: 64, width: 48, heads: 12, blocks: 2, table: None, unit: false };
const FULL: Shape = Shape { tokens: 768, width: 384, heads: 12, blocks: 6, table: None, unit: false };

/// Formula weights after `prefix`.
fn projector(shape: Shape, prefix: &str, kind: Kind) -> (VarStore, Projector) {
    let mut store = VarStore::new(Device::Cpu);
    let projector = Projector::new(&store.root(), shape);
    formula::fill(&store, prefix);
    if kind == Kind::Double {
        store.double();
    }
    projector.fix_table();
    (store, projector)
}

fn clean(kind: Kind) -> Tensor {
    formula::tensor("foundad.clean", &[2, 25, 64], -1.5, 1.5).to_kind(kind)
}

fn context(kind: Kind) -> Tensor {
    formula::tensor("foundad.context", &[2, 25, 64], -1.5, 1.5).to_kind(kind)
}

fn golden() -> Value {
    reference("foundad.json")["variants"]["tiny"].take()
}

#[test]
fn the_projector_has_the_published_names() {
    let golden = golden();
    let (store, _) = projector(TINY, "", Kind::Float);
    let (own, published) = (store.variables(), golden["params"].as_object().expect("names"));
    // What stands for hidden tokens in another method takes no part.
    for (name, published) in published.iter().filter(|(name, _)| *name != "mask_token") {
        assert_eq!(own.get(name).map(Tensor::size), Some(shape(published)), "{name}");
    }
    assert_eq!(own.len() + 1, published.len());
}

fn forward_agrees(kind: Kind, bound: f64) {
    let golden = golden();
    let (_store, projector) = projector(TINY, text(&golden["prefix"]), kind);
    let mut compared = Compared::within(bound);
    let clean = clean(kind);
    tch::no_grad(|| {
        let entered = projector.entered(&clean);
        compared.with("entered", &entered, &golden["embed"]);
        let first = projector.block(0, &entered, &entered);
        compared.with("first block", &first, &golden["after_block0_plus_embed"]);
        let second = projector.block(1, &first, &entered);
        compared.with("second block", &second, &golden["after_block1_plus_embed"]);
        let projected = projector.forward(&clean);
        compared.with("output", &projected, &golden["output"]);
        let errors = errors(&projected, &clean);
        compared.with("errors", &errors, &golden["token_error"]);
        for (top, golden) in golden["topk_mean"].as_object().expect("numbers") {
            let top = top.parse().expect("a number");
            compared.with("score", &image_scores(&errors, top), golden);
        }
        let map = errors.view([2, 1, 5, 5]).upsample_bilinear2d([70, 70], false, None, None);
        compared.with("map", &map, &golden["map_70x70_bilinear_align_false"]);
    });
    compared.say(&format!("FoundAD in {kind:?}"));
}

#[test]
fn foundad_makes_of_tokens_what_is_published() {
    forward_agrees(Kind::Double, 1e-9);
    forward_agrees(Kind::Float, 5e-5);
}

#[test]
fn foundad_of_unit_tokens_makes_what_is_published() {
    let golden = golden();
    let shape = Shape { unit: true, ..TINY };
    let (_store, projector) = projector(shape, text(&golden["prefix"]), Kind::Double);
    let clean = clean(Kind::Double).transpose(1, 2).reshape([2, 64, 5, 5]);
    let mut compared = Compared::within(1e-9);
    let projected = projector.forward(&tokens(&clean, true));
    compared.with("unit tokens", &projected, &golden["feat_normed"]["output"]);
    compared.say("FoundAD of unit tokens");
}

#[test]
fn foundad_with_a_table_of_places_makes_what_is_published() {
    let golden = &golden()["with_pe"];
    let shape = Shape { table: Some(25), ..TINY };
    let (_store, projector) = projector(shape, text(&golden["prefix"]), Kind::Double);
    let mut compared = Compared::within(1e-9);
    compared.with("with places", &projector.forward(&clean(Kind::Double)), &golden["output"]);
    compared.say("FoundAD with places");
}

#[test]
fn foundad_of_full_size_makes_what_is_published() {
    let golden = &reference("foundad.json")["variants"]["vitb"];
    for (kind, bound) in [(Kind::Double, 1e-9), (Kind::Float, 5e-5)] {
        let (store, projector) = projector(FULL, text(&golden["prefix"]), kind);
        let n: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
        let count = |key: &str| golden[key].as_u64().expect("a number") as usize;
        assert_eq!(n, count("trainable_parameters") - count("of_which_unused_mask_token"));
        let tokens = formula::tensor("foundad.vitb_tokens", &[1, 196, 768], -1.5, 1.5).to_kind(kind);
        let projected = tch::no_grad(|| projector.forward(&tokens));
        let mut compared = Compared::within(bound);
        compared.with("output", &projected, &golden["output"]);
        let errors = errors(&projected, &tokens);
        compared.with("errors", &errors, &golden["token_error"]);
        compared.say(&format!("FoundAD of full size in {kind:?}"));
        let score = image_scores(&errors, 10).double_value(&[0]);
        assert_near("score", score, &golden["top10_mean"], if kind == Kind::Double { 1e-9 } else { 1e-5 });
    }
}

/// What dropout keeps in a step, by the golden file's formula.
fn kept(step: usize) -> Tensor {
    let values = formula::uniform(&format!("foundad.drop{step}"), 2 * 25 * 64);
    let kept: Vec<u8> = values.into_iter().map(|u| u8::from(u >= 0.2)).collect();
    Tensor::from_slice(&kept).view([2, 25, 64])
}

/// Three steps; losses before each, and the projector after them.
fn trained(kind: Kind, measure: Measure, drops: bool) -> (Vec<f64>, VarStore, Projector, Optimiser) {
    let (store, projector) = projector(TINY, "foundad.tiny.", kind);
    let mut optimiser = Optimiser::new(&[&store], rule(1e-3, 1e-4));
    let step = |step: usize| {
        let seen = if step == 1 { context(kind) } else { clean(kind) };
        let seen = if drops { dropped(&seen, &kept(step), 0.2) } else { seen };
        let loss = measure.of(&projector.forward(&seen), &clean(kind));
        optimiser.step(&loss);
        loss.double_value(&[])
    };
    let losses = (0..3).map(step).collect();
    (losses, store, projector, optimiser)
}

fn losses_agree(what: &str, ours: &[f64], golden: &Value, bound: f64) {
    let golden = numbers(golden);
    assert_eq!(ours.len(), golden.len());
    let off = ours.iter().zip(golden).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
    println!("{what}: losses differ by {off:.1e} of themselves at most, allowed {bound:.1e}");
    assert!(off < bound, "{what}: losses are {off:.1e} of themselves off");
}

#[test]
fn foundad_trains_as_published() {
    let golden = golden();
    for (key, drops) in [("train_no_dropout", false), ("train_dropout", true)] {
        let golden = &golden[key];
        for (kind, of_losses, of_output) in [(Kind::Double, 1e-9, 1e-9), (Kind::Float, 1e-6, 5e-5)] {
            let what = format!("{key} in {kind:?}");
            let (losses, store, projector, _) = trained(kind, Measure::Squared, drops);
            losses_agree(&what, &losses, &golden["losses"], of_losses);
            let mut compared = Compared::within(of_output);
            let output = tch::no_grad(|| projector.forward(&clean(kind)));
            compared.with("output after", &output, &golden["output_after"]);
            let variables = store.variables();
            for (name, golden) in golden["weights_after"].as_object().into_iter().flatten() {
                compared.with(name, &variables[name], golden);
            }
            compared.say(&what);
        }
    }
    let (losses, ..) = trained(Kind::Double, Measure::SmoothL1, false);
    losses_agree("smooth L1", &losses, &golden["train_smooth_l1"]["losses"], 1e-9);
}

#[test]
fn foundad_has_the_published_gradients() {
    let (store, projector) = projector(TINY, "foundad.tiny.", Kind::Double);
    let mut optimiser = Optimiser::new(&[&store], rule(1e-3, 1e-4));
    let clean = clean(Kind::Double);
    optimiser.gradients(&Measure::Squared.of(&projector.forward(&clean), &clean));
    let golden = &golden()["train_no_dropout"]["grad_norms_step0"];
    for (name, golden) in golden.as_object().expect("norms") {
        let ours = optimiser.gradient(name).expect("a gradient").norm().double_value(&[]);
        assert_near(name, ours, golden, 1e-9);
    }
}

#[test]
fn the_table_of_places_does_not_train() {
    let (store, projector) = projector(Shape { table: Some(25), ..TINY }, "foundad.tiny_pe.", Kind::Float);
    let before = store.variables()["predictor_pos_embed"].copy();
    let mut optimiser = Optimiser::new(&[&store], rule(1e-1, 1e-1));
    let clean = clean(Kind::Float);
    optimiser.step(&Measure::Squared.of(&projector.forward(&clean), &clean));
    assert!(store.variables()["predictor_pos_embed"].equal(&before));
}
