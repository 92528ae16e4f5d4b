//! SAGAN against its authors' classes: what generator and discriminator make of pictures, and their first steps of training.

use std::collections::BTreeMap;

use medfsad::method::sagan::discriminator::{self, Discriminator, penalty};
use medfsad::method::sagan::generator::{self, Generator, joined, split};
use medfsad::method::sagan::layer::Statistics;
use medfsad::method::sagan::training::{DiscriminatorLoss, GeneratorLoss, Shown};
use medfsad::method::sagan::{errors, settings};
use medfsad::network::optimiser::Optimiser;
use medfsad::network::{formula, weights};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, assert_near, numbers, reference, shape, text};

const GENERATOR: generator::Shape = generator::Shape { width: 8, blocks: 2 };
const DISCRIMINATOR: discriminator::Shape = discriminator::Shape { width: 8, layers: 6 };

/// Both networks with formula weights.
struct Networks {
    of_generator: VarStore,
    generator: Generator,
    of_discriminator: VarStore,
    discriminator: Discriminator,
}

impl Networks {
    fn new(golden: &Value, kind: Kind) -> Networks {
        let mut stores = [VarStore::new(Device::Cpu), VarStore::new(Device::Cpu)];
        let generator = Generator::new(&stores[0].root(), GENERATOR);
        let discriminator = Discriminator::new(&stores[1].root(), DISCRIMINATOR);
        for (store, network) in stores.iter_mut().zip(["G", "D"]) {
            formula::fill(store, text(&golden["prefix"][network]));
            if kind == Kind::Double {
                store.double();
            }
        }
        let [of_generator, of_discriminator] = stores;
        Networks { of_generator, generator, of_discriminator, discriminator }
    }
}

fn shown(name: &str, kind: Kind) -> Tensor {
    formula::tensor(&format!("sagan.{name}"), &[2, 1, 64, 64], -1.0, 1.0).to_kind(kind)
}

/// Where the generator may change two pictures.
fn kept(name: &str) -> Tensor {
    let values = formula::uniform(&format!("sagan.mask.{name}"), 8 * 32 * 32);
    let kept: Vec<u8> = values.into_iter().map(|u| u8::from(u < 0.95)).collect();
    Tensor::from_slice(&kept).view([8, 1, 32, 32])
}

#[test]
fn sagan_has_the_published_names_and_sizes() {
    let golden = reference("sagan.json");
    let networks = Networks::new(&golden, Kind::Float);
    for (store, names) in [(&networks.of_generator, "G_params"), (&networks.of_discriminator, "D_params")] {
        let (own, published) = (store.variables(), golden[names].as_object().expect("names"));
        for (name, published) in published {
            assert_eq!(own.get(name).map(Tensor::size), Some(shape(published)), "{name}");
        }
        assert_eq!(own.len(), published.len(), "names beside those of {names}");
    }
    let full = VarStore::new(Device::Cpu);
    Generator::new(&full.root(), generator::Shape { width: 64, blocks: 6 });
    assert_eq!(weights::n_trainable(&full), golden["count_full"]["G"].as_i64().expect("a number"));
    let full = VarStore::new(Device::Cpu);
    Discriminator::new(&full.root(), discriminator::Shape { width: 64, layers: 6 });
    assert_eq!(weights::n_trainable(&full), golden["count_full"]["D"].as_i64().expect("a number"));
}

fn forward_agrees(kind: Kind, bound: f64) {
    let golden = reference("sagan.json");
    let Networks { generator, discriminator, .. } = Networks::new(&golden, kind);
    let (mut compared, a) = (Compared::within(bound), shown("A", kind));
    tch::no_grad(|| {
        compared.with("windows", &split(&a), &golden["windows"]["split"]);
        let tested = generator.forward(&a, Statistics::Stored, None);
        compared.with("tested", &tested, &golden["G_eval"]["output"]);
        compared.with("score", &errors(&a, &tested).1, &golden["G_eval"]["score mean|x-G(x)|/2"]);
        let trained = generator.forward(&a, Statistics::Own, Some(&kept("fwd.0")));
        compared.with("in training", &trained, &golden["G_train"]["output"]);
        compared.with("its score", &errors(&a, &trained).1, &golden["G_train"]["score"]);
        let b = shown("B", kind);
        compared.with("features", &discriminator.features(&b), &golden["D"]["features"]);
        compared.with("judged", &discriminator.forward(&b), &golden["D"]["out"]);
    });
    compared.say(&format!("SAGAN in {kind:?}"));
}

#[test]
fn sagan_makes_of_pictures_what_is_published() {
    forward_agrees(Kind::Double, 1e-8);
    // What is judged of one picture is nearly what is judged of the other: their deviation is small.
    forward_agrees(Kind::Float, 5e-4);
}

/// Four steps of the discriminator and two of the generator, each loss against the published one.
fn training_agrees(kind: Kind, bound: f64) {
    let golden = reference("sagan.json");
    let golden = &golden["train_4_iterations"];
    let Networks { of_generator, generator, of_discriminator, discriminator } =
        Networks::new(&reference("sagan.json"), kind);
    let rule = settings::rule(5e-5);
    let (mut for_generator, mut for_discriminator) =
        (Optimiser::new(&[&of_generator], rule), Optimiser::new(&[&of_discriminator], rule));
    let [pool, normals, pseudo] = ["A", "B", "pseudo"].map(|name| shown(name, kind));
    let shown = Shown { pool, normals, pseudo };
    let mut calls = 0..;
    let mut next = || kept(&format!("train.{}", calls.next().expect("endless")));
    let mut worst = 0f64;
    for (step, golden) in golden["losses"].as_array().expect("steps").iter().enumerate() {
        let mut near = |key: &str, ours: &Tensor| {
            let ours = ours.double_value(&[]);
            assert_near(&format!("{key} in step {step} in {kind:?}"), ours, &golden[key], bound);
            worst = worst.max((ours - golden[key].as_f64().expect("a number")).abs());
        };
        let made = tch::no_grad(|| generator.forward(&shown.pool, Statistics::Blended, Some(&next())));
        let mix = Tensor::from_slice(&formula::uniform(&format!("sagan.alpha.{step}"), 2));
        let loss = DiscriminatorLoss::of(&discriminator, &shown.normals, &made, &mix);
        near("d_real", &loss.real);
        near("d_fake", &loss.fake);
        near("d_gp", &loss.penalty);
        for_discriminator.step(&loss.total(10.0));
        if golden["g_fake"].is_number() {
            let kept = [next(), next(), next()];
            let loss = GeneratorLoss::of(&generator, &discriminator, &shown, kept.each_ref());
            near("g_fake", &loss.fake);
            near("g_id", &loss.identity);
            near("g_mse", &loss.restored);
            for_generator.step(&loss.total(1.0));
        }
    }
    println!("SAGAN's losses in {kind:?} differ by {worst:.1e} at most, allowed {bound:.1e}");
    let mut compared = Compared::within(if kind == Kind::Double { 1e-8 } else { 1e-3 });
    let stored = &of_generator.variables()["layer1.1.running_mean"];
    compared.with("stored means", stored, &golden["running_mean_after layer1.1"]);
    compared.say(&format!("stored means in {kind:?}"));
    assert_eq!(golden["losses"].as_array().map(Vec::len), Some(4));
    assert_eq!((for_discriminator.n_steps(), for_generator.n_steps()), (4, 2));
}

#[test]
fn sagan_trains_as_published() {
    training_agrees(Kind::Double, 1e-8);
    training_agrees(Kind::Float, 1e-4);
}

#[test]
fn a_generator_that_changes_nothing_gives_the_hyperbolic_tangent() {
    let Networks { of_generator, generator, .. } = Networks::new(&reference("sagan.json"), Kind::Float);
    let a = shown("A", Kind::Float);
    let made = || tch::no_grad(|| generator.forward(&a, Statistics::Stored, None));
    assert!(!made().equal(&a.tanh()), "formula weights change something");
    let _ = tch::no_grad(|| of_generator.variables()["conv.weight"].shallow_clone().zero_());
    assert!(made().equal(&a.tanh()));
}

#[test]
fn windows_come_together_again() {
    for side in [32, 64, 96] {
        let pictures = formula::tensor("windows", &[3, 1, side, side], -1.0, 1.0);
        let windows = split(&pictures);
        assert_eq!(windows.size(), [12, 1, side / 2, side / 2]);
        assert!(joined(&windows).equal(&pictures));
        // The sixth window is the second picture's upper right one.
        let corner = pictures.get(1).narrow(1, 0, side / 2).narrow(2, side / 2, side / 2);
        assert!(windows.get(5).equal(&corner));
    }
}

#[test]
fn a_slope_of_one_has_no_penalty() {
    let pictures = formula::tensor("slope", &[3, 1, 8, 8], -1.0, 1.0).to_kind(Kind::Double);
    let direction = formula::tensor("direction", &[1, 1, 8, 8], -1.0, 1.0).to_kind(Kind::Double);
    let unit = &direction / direction.norm();
    let of = |factor: f64| {
        let judge =
            |x: &Tensor| (x * &unit * factor).sum_dim_intlist([1i64, 2, 3].as_slice(), false, None::<Kind>);
        penalty(judge, &pictures).double_value(&[])
    };
    assert!(of(1.0) < 1e-24, "{}", of(1.0));
    assert!((of(3.0) - 4.0).abs() < 1e-12, "{}", of(3.0));
}

#[test]
fn stored_statistics_change_in_training_alone() {
    let Networks { of_generator, generator, .. } = Networks::new(&reference("sagan.json"), Kind::Float);
    let stored = || -> Vec<Tensor> {
        let variables: BTreeMap<String, Tensor> = of_generator.variables().into_iter().collect();
        let stored = variables.iter().filter(|(name, _)| name.contains("running"));
        stored.map(|(_, tensor)| tensor.copy()).collect()
    };
    // Three pictures, so that a mean over copies of one value is rounded.
    let a = formula::tensor("three", &[3, 1, 64, 64], -1.0, 1.0);
    let after = |statistics| {
        let before = stored();
        let made = tch::no_grad(|| generator.forward(&a, statistics, None));
        let moved = stored().iter().zip(&before).filter(|(now, before)| !now.equal(before)).count();
        (made, moved, before.len())
    };
    let (tested, moved, _) = after(Statistics::Stored);
    assert_eq!(moved, 0);
    let (own, moved, _) = after(Statistics::Own);
    assert_eq!(moved, 0);
    let (blended, moved, n) = after(Statistics::Blended);
    assert_eq!(moved, n, "means and variances of all norms that store them");
    assert!(own.equal(&blended) && !own.equal(&tested));
}

#[test]
fn codes_of_windows_are_the_published_ones() {
    let golden = reference("sagan.json");
    let Networks { generator, .. } = Networks::new(&golden, Kind::Float);
    let codes = golden["binary_codes_of_window_0..3"].as_array().expect("codes");
    let places: Vec<f64> =
        Vec::try_from(generator.places().to_kind(Kind::Double).flatten(0, -1)).expect("bits");
    assert_eq!(places, codes.iter().flat_map(numbers).collect::<Vec<_>>());
}
