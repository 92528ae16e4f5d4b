//! Weights under Facebook's and Hugging Face's names.

use std::collections::BTreeMap;

use medfsad::network::formula;
use medfsad::network::vit::dinov2::{self, Dinov2};
use medfsad::network::vit::{Plan, Transformer};
use medfsad::network::weights;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

type Tensors = BTreeMap<String, Tensor>;

fn store() -> VarStore {
    let store = VarStore::new(Device::Cpu);
    Dinov2::new(&store.root(), Plan { registers: 4, ..Transformer::Dinov2Tiny.plan() });
    store
}

/// What Facebook's file would hold.
fn facebooks() -> Tensors {
    let store = store();
    formula::fill(&store, "loading.");
    let mut tensors: Tensors = store.variables().into_iter().collect();
    tensors.insert("mask_token".to_owned(), Tensor::zeros([1, 64], (Kind::Float, Device::Cpu)));
    tensors
}

/// The same as Hugging Face's file would hold it: names by hand, queries, keys and values apart.
fn hugging_faces() -> Tensors {
    let mut theirs = Tensors::new();
    for (name, tensor) in facebooks() {
        let name = match name.as_str() {
            "pos_embed" => "embeddings.position_embeddings".to_owned(),
            "cls_token" | "mask_token" | "register_tokens" => format!("embeddings.{name}"),
            _ => name
                .replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
                .replace("blocks.", "encoder.layer.")
                .replace("attn.proj", "attention.output.dense")
                .replace("ls1.gamma", "layer_scale1.lambda1")
                .replace("ls2.gamma", "layer_scale2.lambda1"),
        };
        let name = if name.starts_with("norm.") { format!("layer{name}") } else { name };
        if name.contains("attn.qkv") {
            for (part, tensor) in ["query", "key", "value"].into_iter().zip(tensor.chunk(3, 0)) {
                theirs.insert(name.replace("attn.qkv", &format!("attention.attention.{part}")), tensor);
            }
        } else {
            theirs.insert(name, tensor);
        }
    }
    theirs
}

fn error(tensors: Tensors) -> String {
    format!("{:#}", dinov2::fill(&store(), tensors).expect_err("an error"))
}

#[test]
fn both_names_load_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let expected = facebooks();
    for (file, tensors) in [("facebook.safetensors", facebooks()), ("hf.safetensors", hugging_faces())] {
        let (path, store) = (folder.path().join(file), store());
        weights::write(tensors, None, &path).expect("a file");
        dinov2::load(&store, &path).expect("weights that fit");
        for (name, tensor) in store.variables() {
            assert!(tensor.equal(&expected[&name]), "{file}: {name}");
        }
    }
}

#[test]
fn missing_surplus_and_misshapen_tensors_are_refused_by_name() {
    let mut tensors = facebooks();
    tensors.remove("blocks.1.ls1.gamma");
    assert!(error(tensors).contains("1 tensors are missing: blocks.1.ls1.gamma"));
    let mut tensors = facebooks();
    tensors.insert("head.weight".to_owned(), Tensor::zeros([10, 64], (Kind::Float, Device::Cpu)));
    assert!(error(tensors).contains("1 tensors are unknown: head.weight"));
    let mut tensors = facebooks();
    let table = tensors["pos_embed"].narrow(1, 1, 25);
    tensors.insert("pos_embed".to_owned(), table);
    assert!(error(tensors).contains("`pos_embed` has shape [1, 25, 64], the network wants [1, 26, 64]"));
    let mut tensors = hugging_faces();
    tensors.remove("encoder.layer.2.attention.attention.key.weight");
    assert!(error(tensors).contains("missing: blocks.2.attn.qkv.weight"));
    let (mut tensors, name) = (hugging_faces(), "encoder.layer.2.attention.attention.key.weight");
    tensors.insert(name.to_owned(), Tensor::zeros([64, 32], (Kind::Float, Device::Cpu)));
    let error = error(tensors);
    assert!(error.contains("blocks.2.attn.key.weight") && error.contains("do not fit"), "{error}");
}
