//! DINOv2 against Facebook's implementation.

use medfsad::network::formula;
use medfsad::network::vit::dinov2::Dinov2;
use medfsad::network::vit::{Deep, Plan, Reading, Transformer};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, json, reference, shape, text};
use crate::shared::shared;

/// Sizes of the network of that name in the golden files.
pub fn plan(name: &str) -> Plan {
    let transformer = match name {
        "tiny" | "tiny_reg4" => Transformer::Dinov2Tiny,
        "vits14" | "vits14_reg4" => Transformer::Dinov2Small,
        "vitb14" | "vitb14_reg4" => Transformer::Dinov2Base,
        "vitl14" => Transformer::Dinov2Large,
        _ => panic!("the golden file holds {name}"),
    };
    Plan { registers: if name.ends_with("_reg4") { 4 } else { 0 }, ..transformer.plan() }
}

/// Formula weights in `kind`; where the golden file holds names and shapes, they are those.
pub fn network(plan: Plan, config: &Value, kind: Kind) -> Dinov2 {
    let mut store = VarStore::new(Device::Cpu);
    let network = Dinov2::new(&store.root(), plan);
    if let Some(params) = config["params"].as_object() {
        let own = store.variables();
        for (name, published) in params.iter().filter(|(name, _)| *name != "mask_token") {
            assert_eq!(own.get(name).map(Tensor::size), Some(shape(published)), "{name}");
        }
        assert_eq!(own.len() + 1, params.len(), "names beside the published ones");
    }
    formula::fill(&store, text(&config["prefix"]));
    if kind == Kind::Double {
        store.double();
    }
    store.freeze();
    network
}

pub fn picture(golden: &Value, kind: Kind) -> Tensor {
    formula::tensor(text(&golden["picture"]), &shape(&golden["shape"]), -2.0, 2.0).to_kind(kind)
}

/// Tokens before, after each block and after the norm, for each picture.
fn forward_agrees(name: &str, config: &Value, kind: Kind, bound: f64) {
    let plan = plan(name);
    let interpolation = plan.interpolation();
    let network = network(plan, config, kind);
    let mut compared = Compared::within(bound);
    for (size, golden) in config["inputs"].as_object().expect("inputs") {
        let pictures = picture(golden, kind);
        let grid = [pictures.size()[2] / 14, pictures.size()[3] / 14];
        let what = |part: &str| format!("{name} {size} {part}");
        compared.with(&what("table"), &network.positions(grid, interpolation), &golden["pos_embed_used"]);
        let mut tokens = network.embed(&pictures, interpolation);
        compared.with(&what("tokens"), &tokens, &golden["tokens_in"]);
        let mut first_of_three = None;
        for block in 0..plan.depth {
            tokens = network.block(block, &tokens);
            compared.with(&what(&format!("block {block}")), &tokens, &golden[format!("block{block}")]);
            if block + 3 == plan.depth {
                first_of_three = Some(network.norm(&tokens));
            }
        }
        let normed = network.norm(&tokens);
        let patches = |tokens: &Tensor| tokens.narrow(1, 1 + plan.registers, grid[0] * grid[1]);
        compared.with(&what("class token"), &normed.select(1, 0), &golden["x_norm_clstoken"]);
        compared.with(&what("patches"), &patches(&normed), &golden["x_norm_patchtokens"]);
        if plan.registers > 0 {
            compared.with(
                &what("registers"),
                &normed.narrow(1, 1, plan.registers),
                &golden["x_norm_regtokens"],
            );
        }
        let intermediate = patches(&first_of_three.expect("three blocks"));
        compared.with(
            &what("third but last"),
            &intermediate,
            &golden["intermediate_n3_first_normed_patchtokens"],
        );
        // What methods read is the same, as a grid.
        let reading = Reading { deep: Deep::Last, interpolation, ..Reading::of(Transformer::Dinov2Tiny) };
        let deep = reading.features(&network, &pictures).deep;
        let rows = deep.flatten(2, 3).transpose(1, 2);
        assert!(rows.allclose(&patches(&normed), 0.0, 0.0, false), "{name} {size}: another grid");
    }
    compared.say(&format!("{name} in {kind:?}"));
}

#[test]
fn small_networks_equal_the_published_in_double_precision() {
    let golden = reference("dinov2_tiny.json");
    for name in ["tiny", "tiny_reg4"] {
        forward_agrees(name, &golden["configs"][name], Kind::Double, 1e-9);
    }
}

#[test]
fn small_networks_equal_the_published_in_single_precision() {
    let golden = reference("dinov2_tiny.json");
    for name in ["tiny", "tiny_reg4"] {
        forward_agrees(name, &golden["configs"][name], Kind::Float, 5e-5);
    }
}

fn full_size_agrees(file: &str) {
    let Some(golden) = shared(file) else { return };
    for (name, config) in json(&golden)["configs"].as_object().expect("configurations") {
        forward_agrees(name, config, Kind::Float, 5e-5);
    }
}

#[test]
fn the_small_published_sizes_equal_the_published() {
    full_size_agrees("golden/vit/dinov2.json");
}

#[test]
#[ignore = "takes a minute and 2 GB: cargo test --release --test main vit::dinov2 -- --ignored"]
fn the_larger_published_sizes_equal_the_published() {
    full_size_agrees("golden/vit/dinov2_big.json");
}
