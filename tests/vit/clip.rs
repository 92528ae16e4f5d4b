//! CLIP's towers against OpenAI's and open_clip's implementations.

use medfsad::network::formula;
use medfsad::network::vit::block::Activation;
use medfsad::network::vit::clip::{Clip, Plan, Tower, Towers};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, json, reference, shape, text};
use crate::shared::shared;

/// Sizes that a golden file states, in OpenAI's words or in open_clip's.
pub(super) fn plan(config: &Value) -> Plan {
    let number = |value: &Value| value.as_i64().expect("a whole number");
    let (image, words) = (&config["vision_cfg"], &config["text_cfg"]);
    if image.is_object() {
        let width = number(&image["width"]);
        let head = image["head_width"].as_i64().unwrap_or(64);
        let depth = number(&image["layers"]) as usize;
        let text = Tower {
            width: number(&words["width"]),
            depth: number(&words["layers"]) as usize,
            heads: number(&words["heads"]),
        };
        let patch = number(&image["patch_size"]);
        let is_quick = config["quick_gelu"].as_bool().expect("stated");
        return Plan {
            image: Tower { width, depth, heads: width / head },
            patch,
            table: number(&image["image_size"]) / patch,
            text,
            joint: number(&config["embed_dim"]),
            activation: if is_quick { Activation::QuickGelu } else { Activation::Gelu },
            ..Clip::Base16.plan()
        };
    }
    let of = |key: &str| number(&config["kwargs"][key]);
    let (width, patch) = (of("vision_width"), of("vision_patch_size"));
    Plan {
        image: Tower { width, depth: of("vision_layers") as usize, heads: width / 64 },
        patch,
        table: of("image_resolution") / patch,
        text: Tower {
            width: of("transformer_width"),
            depth: of("transformer_layers") as usize,
            heads: of("transformer_heads"),
        },
        joint: of("embed_dim"),
        activation: Activation::QuickGelu,
        ..Clip::Base16.plan()
    }
}

pub(super) fn towers(config: &Value, kind: Kind) -> Towers {
    let mut store = VarStore::new(Device::Cpu);
    let towers = Towers::new(&store.root(), plan(config));
    if let Some(params) = config["params"].as_object() {
        let own = store.variables();
        for (name, published) in params {
            assert_eq!(own.get(name).map(Tensor::size), Some(shape(published)), "{name}");
        }
        assert_eq!(own.len(), params.len(), "names beside the published ones");
    }
    if let Some(parameters) = config["n_params"].as_i64() {
        assert_eq!(medfsad::network::weights::n_trainable(&store), parameters);
    }
    formula::fill(&store, text(&config["prefix"]));
    if kind == Kind::Double {
        store.double();
    }
    store.freeze();
    towers
}

/// Rows of 77 ids, zeros after the end.
fn ids(golden: &Value) -> Tensor {
    let rows = golden["token_ids"].as_array().expect("rows").iter().map(|row| {
        let mut ids: Vec<i64> = row.as_array().expect("ids").iter().filter_map(Value::as_i64).collect();
        ids.resize(77, 0);
        ids
    });
    let rows: Vec<i64> = rows.flatten().collect();
    Tensor::from_slice(&rows).view([-1, 77])
}

fn towers_agree(name: &str, config: &Value, ids: &Tensor, kind: Kind, bound: f64) {
    let towers = towers(config, kind);
    let mut compared = Compared::within(bound);
    let mut compare = |part: &str, tensor: &Tensor| {
        if config[part].is_object() {
            compared.with(&format!("{name} {part}"), tensor, &config[part]);
        }
    };
    let pictures =
        formula::tensor(text(&config["picture"]), &shape(&config["shape"]), -2.0, 2.0).to_kind(kind);
    let mut tokens = towers.image.embed(&pictures);
    compare("tokens_before_ln_pre", &tokens);
    tokens = towers.image.norm_before(&tokens);
    compare("after_ln_pre", &tokens);
    for block in 0..plan(config).image.depth {
        tokens = towers.image.block(block, &tokens);
        compare(&format!("block{block}"), &tokens);
    }
    let tokens = towers.image.tokens(&pictures);
    let patches = tokens.narrow(1, 1, tokens.size()[1] - 1);
    compare("patch_tokens_output", &patches);
    let (image, words) = (towers.image.embedding(&tokens), towers.text.embedding(ids));
    compare("image_embedding", &image);
    compare("text_embedding", &words);
    compare("logits_per_image", &towers.likeness(&image, &words));
    compared.say(&format!("{name} in {kind:?}"));
}

#[test]
fn small_towers_equal_the_published() {
    let golden = reference("clip.json");
    let configs = golden["configs"].as_object().expect("configurations");
    assert_eq!(configs.len(), 3);
    for (name, config) in configs {
        towers_agree(name, config, &ids(&golden), Kind::Double, 1e-9);
        towers_agree(name, config, &ids(&golden), Kind::Float, 5e-5);
    }
}

#[test]
fn tables_for_other_grids_equal_the_published() {
    let golden = reference("clip.json");
    let resized = &golden["resize_pos_embed"];
    let small = towers(&golden["configs"]["open_clip_tiny"], Kind::Double);
    let mut compared = Compared::within(1e-10);
    for (key, side) in [("to_9x9", 9), ("to_4x4", 4)] {
        compared.with(key, &small.image.positions([side, side]).squeeze_dim(0), &resized[key]);
    }
    compared.say("tables");
}

#[test]
#[ignore = "takes minutes and 3 GB: cargo test --release --test main vit::clip -- --ignored"]
fn towers_of_published_sizes_equal_the_published() {
    let Some(golden) = shared("golden/vit/clip_big.json") else { return };
    let golden = json(&golden);
    for (name, config) in golden["configs"].as_object().expect("configurations") {
        towers_agree(name, config, &ids(&golden), Kind::Float, 5e-5);
    }
}
