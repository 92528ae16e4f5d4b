//! Dinomaly's bottleneck, decoder, loss and steps against anomalib's classes.

use medfsad::method::dinomaly::loss::{Loss, discounted};
use medfsad::method::dinomaly::network::{Dinomaly, Shape, last};
use medfsad::method::dinomaly::with_prefix;
use medfsad::method::part::dropout::dropped;
use medfsad::method::part::rebuilding::{maps, rule};
use medfsad::network::formula;
use medfsad::network::optimiser::Optimiser;
use medfsad::network::vit::dinov2::Dinov2;
use medfsad::network::vit::{Deep, Groups, Plan, Reading, Shallow, Transformer};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, assert_near, reference, shape};

const SHAPE: Shape = Shape { width: 64, heads: 4, blocks: 4 };
const PATCHES: i64 = 36;

/// Class token, four registers and patches.
fn groups() -> [Tensor; 2] {
    [0, 1].map(|group| {
        let name = format!("dinomaly.tokens{group}");
        formula::tensor(&name, &[2, 5 + PATCHES, 64], -2.0, 2.0).to_kind(Kind::Double)
    })
}

/// Under the published names and shapes.
fn network(golden: &Value) -> (VarStore, Dinomaly) {
    let mut store = VarStore::new(Device::Cpu);
    let network = Dinomaly::new(&store.root(), SHAPE);
    let (own, published) = (store.variables(), golden["params"].as_object().expect("names"));
    for (name, published) in published {
        assert_eq!(own.get(name).map(Tensor::size), Some(shape(published)), "{name}");
    }
    assert_eq!(own.len(), published.len(), "names beside the published ones");
    formula::fill(&store, "dinomaly.");
    store.double();
    (store, network)
}

fn map(groups: &[Tensor; 2], network: &Dinomaly) -> Tensor {
    tch::no_grad(|| {
        let rebuilt = network.forward(groups, Tensor::shallow_clone).rebuilt(PATCHES);
        maps(&groups.each_ref().map(|tokens| last(tokens, PATCHES)), &rebuilt, 84).unsqueeze(1)
    })
}

#[test]
fn dinomaly_rebuilds_tokens_as_published() {
    let golden = reference("dinomaly.json");
    let expected = &golden["eval"];
    let (groups, (_store, network)) = (groups(), network(&golden));
    let pass = tch::no_grad(|| network.forward(&groups, Tensor::shallow_clone));
    let mut compared = Compared::within(1e-8);
    compared.with("bottleneck", &pass.narrowed, &expected["bottleneck"]);
    for (index, tokens) in pass.decoded.iter().enumerate() {
        compared.with("decoder", tokens, &expected["decoded"][index]);
    }
    for (index, tokens) in pass.rebuilt(PATCHES).iter().enumerate() {
        let grid = tokens.transpose(1, 2).reshape([2, 64, 6, 6]);
        compared.with("rebuilt", &grid, &expected["rebuilt"][index]);
    }
    compared.with("map", &map(&groups, &network), &expected["map_84"]);
    compared.say("Dinomaly");
}

#[test]
fn dinomaly_trains_as_published() {
    let golden = reference("dinomaly.json");
    let (groups, (store, network)) = (groups(), network(&golden));
    let mut optimiser = Optimiser::new(&[&store], rule(2e-3, 1e-4, 1e-8)).clipping(Some(0.1));
    let mut unclipped = Optimiser::new(&[&store], rule(2e-3, 1e-4, 1e-8));
    for step in golden["steps"].as_array().expect("steps") {
        let number = step["number"].as_u64().expect("a number");
        let share = discounted(0.9, 1000, number);
        assert_near("share", share, &step["share"], 1e-15);
        let loss = || {
            let mut call = 0;
            let pass = network.forward(&groups, |x| {
                let values = formula::uniform(&format!("dinomaly.kept.{number}.{call}"), x.numel());
                let kept: Vec<u8> = values.into_iter().map(|value| u8::from(value >= 0.2)).collect();
                call += 1;
                dropped(x, &Tensor::from_slice(&kept).view(x.size().as_slice()), 0.2)
            });
            Loss::new(&groups, &pass, PATCHES, share)
        };
        assert_near("loss", loss().cosine.double_value(&[]), &step["loss"], 1e-9);
        let gradients = unclipped.gradients(&loss().followed);
        let squares: f64 = gradients.iter().map(|one| one.square().sum(None::<Kind>).double_value(&[])).sum();
        assert_near("norm", squares.sqrt(), &step["norm"], 1e-8);
        for (name, golden) in step["norms"].as_object().expect("norms") {
            let ours = unclipped.gradient(name).expect("a gradient").norm().double_value(&[]);
            assert_near(name, ours, golden, 1e-8);
        }
        optimiser.step(&loss().followed);
        let mut compared = Compared::within(1e-6);
        compared.with("map after a step", &map(&groups, &network), &step["map_after"]);
        compared.say("map after a step");
    }
}

/// The bottleneck and the decoder see class token and registers, the loss and maps do not.
#[test]
fn dinomaly_reads_class_token_and_registers_of_the_same_blocks() {
    let plan = Plan { depth: 6, registers: 4, ..Transformer::Dinov2Tiny.plan() };
    let store = VarStore::new(Device::Cpu);
    let encoder = Dinov2::new(&store.root(), plan);
    formula::fill(&store, "dinomaly.encoder.");
    let pictures = formula::tensor("dinomaly.image", &[2, 3, 84, 84], -2.0, 2.0);
    let deep = Deep::Groups(Groups { first: 2, step: 1, each: 2 });
    let reading = Reading { deep, scales: Shallow::Prefix, ..Reading::of(Transformer::Dinov2Tiny) };
    let (found, n_patches) = tch::no_grad(|| with_prefix(&reading.features(&encoder, &pictures)));
    assert_eq!(n_patches, PATCHES);
    let expected = tch::no_grad(|| {
        let mut tokens = encoder.embed(&pictures, reading.interpolation);
        let mut after = Vec::new();
        for block in 0..5 {
            tokens = encoder.block(block, &tokens);
            after.push(tokens.shallow_clone());
        }
        [(&after[1] + &after[2]) / 2.0, (&after[3] + &after[4]) / 2.0]
    });
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.size(), [2, 41, 64]);
        assert!(found.equal(expected), "tokens of another block or in another order");
    }
}
