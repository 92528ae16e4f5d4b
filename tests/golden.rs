//! The arithmetic of the published D2-4FAD implementation, value for value (`tests/reference/README.md`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medfsad::maps::MapStack;
use medfsad::method::d24fad::student::Student;
use medfsad::network::encoder::Encoder;
use medfsad::network::layer::Norm;
use medfsad::network::{Backbone, Scales, formula};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

mod training;

fn picture(name: &str, n: i64) -> Tensor {
    formula::pictures(name, n, 128)
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// The largest difference of samples and mean from the golden ones, in golden deviations.
fn distance_from(tensor: &Tensor, golden: &Value) -> f64 {
    let flat = tensor.detach().to_kind(Kind::Double).contiguous().flatten(0, -1);
    let flat: Vec<f64> = Vec::try_from(flat).expect("floats");
    let deviation = golden["std"].as_f64().expect("a deviation");
    let index = floats(&golden["sample_index"]);
    let samples = index.iter().zip(floats(&golden["sample"]));
    let worst = samples.map(|(&i, expected)| (flat[i as usize] - expected).abs()).fold(0.0, f64::max);
    let mean = flat.iter().sum::<f64>() / flat.len() as f64;
    worst.max((mean - golden["mean"].as_f64().expect("a mean")).abs()) / deviation
}

fn assert_within(what: &str, tensor: &Tensor, golden: &Value, bound: f64) {
    let shape: Vec<f64> = tensor.size().iter().map(|&side| side as f64).collect();
    assert_eq!(shape, floats(&golden["shape"]), "shape of {what}");
    let off = distance_from(tensor, golden);
    println!("{what}: differs by {off:.1e} deviations");
    assert!(off < bound, "{what} is {off:.1e} deviations off, allowed {bound:.1e}");
}

fn assert_matches(what: &str, tensor: &Tensor, golden: &Value) {
    assert_within(what, tensor, golden, 1e-4);
}

struct Rig {
    encoder: Encoder,
    student: Student,
    golden: Value,
    maps: BTreeMap<String, Tensor>,
    store: VarStore,
    kind: Kind,
}

fn reference(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/d24fad").join(file)
}

fn golden(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(reference(file)).expect("readable")).expect("JSON")
}

fn rig(backbone: Backbone) -> Rig {
    let name = backbone.name();
    let maps = Tensor::read_safetensors(reference(&format!("{name}_maps.safetensors"))).expect("safetensors");
    let maps = maps.into_iter().collect();
    Rig { golden: golden(&format!("{name}.json")), maps, ..networks(backbone) }
}

/// Networks that follow the formula, with nothing to compare them to.
fn networks(backbone: Backbone) -> Rig {
    let mut store = VarStore::new(Device::Cpu);
    let encoder = Encoder::new(&store.root(), backbone);
    formula::fill(&store, "encoder.");
    store.freeze();
    let student = Student::new(backbone, Device::Cpu);
    formula::fill(&student.store, "");
    Rig { encoder, student, golden: Value::Null, maps: BTreeMap::new(), store, kind: Kind::Float }
}

impl Rig {
    fn encode(&self, pictures: &Tensor) -> medfsad::network::Features {
        tch::no_grad(|| self.encoder.forward(&pictures.to_kind(self.kind), Norm::Stored))
    }

    /// Weights and pictures of single precision, computed with in double.
    fn widen(&mut self) {
        self.store.double();
        self.student.store.double();
        self.kind = Kind::Double;
    }

    fn deep_supports(&self) -> Vec<Tensor> {
        let supports = picture("image.support", 4).view([2, 2, 3, 128, 128]);
        (0..2).map(|k| self.encode(&supports.get(k)).deep).collect()
    }
}

fn features_agree(backbone: Backbone) {
    let rig = rig(backbone);
    let query = rig.encode(&picture("image.query", 2));
    for (i, scale) in query.scales.iter().enumerate() {
        let layer = format!("layer{}", i + 1);
        assert_matches(&layer, scale, &rig.golden["encoder"][&layer]);
    }
    assert_matches("layer4", &query.deep, &rig.golden["encoder"]["layer4"]);
}

fn decoder_and_weighting_agree(backbone: Backbone) {
    let rig = rig(backbone);
    let query = rig.encode(&picture("image.query", 2));
    let student = tch::no_grad(|| rig.student.decode(&query.deep, Norm::Stored));
    let supports: Vec<Scales> = rig
        .deep_supports()
        .iter()
        .map(|deep| tch::no_grad(|| rig.student.decode(deep, Norm::Stored)))
        .collect();
    for scale in 0..3 {
        assert_matches(
            &format!("decoder scale {scale}"),
            &student[scale],
            &rig.golden["decoder_eval"][scale],
        );
        let stack = Tensor::stack(&[&supports[0][scale], &supports[1][scale]], 0);
        let (weights, combined) = tch::no_grad(|| rig.student.weigh(scale, &student[scale], &stack));
        assert_matches(&format!("weighted {scale}"), &combined, &rig.golden["weighted_support_eval"][scale]);
        let golden = &rig.golden["attention_eval_[scale][query][support]"][scale];
        for b in 0..2 {
            for (k, expected) in floats(&golden[b]).into_iter().enumerate() {
                let ours = weights.double_value(&[b as i64, k as i64]);
                assert!((ours - expected).abs() < 1e-4, "weight {scale}/{b}/{k}: {ours} against {expected}");
            }
        }
    }
}

/// Raw maps are one minus a cosine near one: single precision resolves 6e-8 per scale, so sixteen such
/// units are the bound. (The maps' own deviations are 4e-3 and 7e-4.)
fn maps_agree(backbone: Backbone) {
    let rig = rig(backbone);
    let supports = rig.student.encode_supports(&rig.encode(&picture("image.support2", 2)).deep);
    let query = rig.encode(&picture("image.query4", 4));
    let ours = rig.student.maps(&query.scales, &rig.student.decode_queries(&query.deep), &supports, 128);
    let golden = &rig.maps["map_raw"];
    let worst = (&ours - golden).abs().max().double_value(&[]);
    println!(
        "raw maps differ by {worst:.1e}, {:.1e} deviations",
        worst / golden.std(false).double_value(&[])
    );
    assert!(worst < 1e-6, "raw maps are {worst} off");
}

fn smoothing_agrees(backbone: Backbone) {
    let rig = rig(backbone);
    let values: Vec<f32> = Vec::try_from(rig.maps["map_raw"].flatten(0, -1)).expect("floats");
    let raw = MapStack::new(4, 128, 128, values).expect("4 maps");
    for (name, smoothed) in [
        ("map_published_smoothing", raw.smoothed_across(4.0)),
        ("map_per_image_smoothing", raw.smoothed(4.0)),
    ] {
        let golden: Vec<f32> = Vec::try_from(rig.maps[name].flatten(0, -1)).expect("floats");
        let pairs = smoothed.values().iter().zip(&golden);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        println!("{name}: differs by {worst:.1e} at most");
        assert!(worst < 1e-6, "{name} is {worst} off");
    }
}

#[test]
fn resnet18_features_equal_the_published() {
    features_agree(Backbone::Resnet18);
}

#[test]
fn resnet18_decoder_and_weighting_equal_the_published() {
    decoder_and_weighting_agree(Backbone::Resnet18);
}

#[test]
fn resnet18_maps_equal_the_published() {
    maps_agree(Backbone::Resnet18);
}

#[test]
fn resnet18_smoothing_equals_the_published() {
    smoothing_agrees(Backbone::Resnet18);
}

#[test]
fn wide_resnet50_features_equal_the_published() {
    features_agree(Backbone::WideResnet50x2);
}

#[test]
fn wide_resnet50_decoder_and_weighting_equal_the_published() {
    decoder_and_weighting_agree(Backbone::WideResnet50x2);
}

#[test]
fn wide_resnet50_maps_equal_the_published() {
    maps_agree(Backbone::WideResnet50x2);
}

#[test]
fn wide_resnet50_smoothing_equals_the_published() {
    smoothing_agrees(Backbone::WideResnet50x2);
}

#[test]
fn parameter_counts_equal_the_published() {
    let student = Student::new(Backbone::WideResnet50x2, Device::Cpu);
    let count = |prefix: &str| -> usize {
        let all = student.store.variables();
        let ours = all.iter().filter(|(name, t)| name.starts_with(prefix) && t.requires_grad());
        ours.map(|(_, tensor)| tensor.numel()).sum()
    };
    assert_eq!(count("decoder."), 24_917_504);
    assert_eq!(count("weight."), 1_378_048);
    let store = VarStore::new(Device::Cpu);
    Encoder::new(&store.root(), Backbone::WideResnet50x2);
    let trainable: usize = store.trainable_variables().iter().map(Tensor::numel).sum();
    // 68,883,240 with the classifier of 2048 x 1000 + 1000, which features do not need.
    assert_eq!(trainable, 68_883_240 - 2_049_000);
    assert!(store.variables().keys().all(|name| !name.contains("__")), "a name was taken twice");
}
