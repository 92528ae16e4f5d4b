//! `MVFA` against its authors' classes and functions.

use std::path::Path;

use medfsad::method::mvfa::loss::of_pictures;
use medfsad::method::mvfa::model::{Adapters, stem};
use medfsad::method::mvfa::reader::{VIEWS, views};
use medfsad::method::mvfa::scoring::{
    chance_maps, chances, distance_maps, distance_scores, distances, pixel_chances, remembered,
};
use medfsad::method::part::clip::together;
use medfsad::method::part::prompts::{BuiltIn, Prompts};
use medfsad::method::part::segmentation_loss::{dice, focal};
use medfsad::network::formula;
use medfsad::network::optimiser::{Adam, Optimiser, Rule};
use medfsad::network::precision::Precision;
use medfsad::network::vit::block::Activation;
use medfsad::network::vit::clip::{Plan, Towers};
use medfsad::network::vit::tokenizer::{self, Dialect, Tokenizer, VOCABULARY};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Reduction, Tensor};

use super::clip::plan;
use super::{Compared, assert_near, numbers, reference, shape, values};
use crate::shared::leave_out;

/// Blocks that adapters follow in the golden file's network, which has three.
const LAYERS: [usize; 2] = [1, 2];

/// The small network that the golden file tells of.
struct Small {
    towers: Towers,
    adapters: Adapters,
    /// As the published class gives them, `[1, 2, joint]`.
    texts: Tensor,
    kind: Kind,
}

impl Small {
    fn new(golden: &Value, kind: Kind) -> Small {
        Small::with(Activation::Gelu, golden, kind)
    }

    fn with(activation: Activation, golden: &Value, kind: Kind) -> Small {
        let mut config = golden["config"].clone();
        config["quick_gelu"] = false.into();
        let plan = Plan { activation, ..plan(&config) };
        let mut store = VarStore::new(Device::Cpu);
        let towers = Towers::new(&store.root(), plan);
        formula::fill(&store, "mvfa.clip.");
        let mut adapters = Adapters::new(plan, &LAYERS, 1, Device::Cpu);
        for (kind_of, own) in [("seg_adapters", &adapters.seg), ("det_adapters", &adapters.det)] {
            let variables = own.variables();
            let published = golden["config"]["adapter_params"].as_object().expect("parameters");
            assert_eq!(variables.len(), published.len(), "names beside the published ones");
            for (name, sides) in published {
                assert_eq!(variables[&format!("{kind_of}.{name}")].size(), shape(sides), "{name}");
            }
            formula::fill(own, "mvfa.");
        }
        if kind == Kind::Double {
            store.double();
            adapters.seg.double();
            adapters.det.double();
        }
        store.freeze();
        let texts = numbers(&golden["text_features"]["sample"]);
        let texts = Tensor::from_slice(&texts).to_kind(kind).view([48, 2]).tr().unsqueeze(0);
        Small { towers, adapters, texts, kind }
    }

    /// Of the adapters for pictures.
    fn middles(&self, pictures: &Tensor) -> Vec<Tensor> {
        let tower = &self.towers.image;
        let stem = stem(tower, &pictures.to_kind(self.kind), LAYERS[0], Precision::F32);
        self.adapters.middles(tower, &stem, Precision::F32)
    }

    /// Of the adapters for pixels, and where both towers meet with adapters in the way.
    fn through(&self, picture: &Tensor) -> (Vec<Tensor>, Tensor) {
        let tower = &self.towers.image;
        let mut tokens = stem(tower, &picture.to_kind(self.kind), 0, Precision::F32);
        let mut of_pixels = Vec::new();
        for block in 1..=3 {
            tokens = tower.block(block - 1, &tokens);
            if let Some(index) = LAYERS.iter().position(|layer| *layer == block) {
                let ([middle, _], onward) = self.adapters.pass(index, &tokens);
                of_pixels.push(middle);
                tokens = onward;
            }
        }
        (of_pixels, tower.embedding(&tower.norm_after(&tokens)))
    }
}

/// The published loss of pixels with labels `[n, side, side]`, which trains nothing here: focal and Dice, summed over layers.
fn of_pixels(seg: &[Tensor], texts: &Tensor, labels: &Tensor) -> Tensor {
    let of_layer = |middle: &Tensor| {
        let chances = pixel_chances(middle, texts, labels.size()[1]);
        focal(&chances, labels) + dice(&chances.select(1, 1), labels)
    };
    seg.iter().map(of_layer).reduce(|sum, loss| sum + loss).expect("a layer")
}

fn query() -> Tensor {
    formula::tensor("mvfa.query", &[1, 3, 84, 84], -2.0, 2.0)
}

fn supports() -> Tensor {
    formula::tensor("mvfa.support", &[2, 3, 84, 84], -2.0, 2.0)
}

fn forward(golden: &Value, kind: Kind, [part, map]: [f64; 2]) {
    let small = Small::new(golden, kind);
    let (mut compared, mut maps) = (Compared::within(part), Compared::within(map));
    let (det, (seg, embedding)) = (small.middles(&query()), small.through(&query()));
    for layer in 0..LAYERS.len() {
        compared.with("for pixels", &seg[layer], &golden["seg_mid_tokens"][layer]);
        compared.with("for pictures", &det[layer], &golden["det_mid_tokens"][layer]);
    }
    compared.with("pooled", &embedding, &golden["pooled_image_embedding"]);
    let n_layers = LAYERS.len() as f64;
    let memory = remembered(&small.middles(&supports()));
    let distances = distances(&det, &memory) * n_layers;
    maps.with("distances", &distance_maps(&distances, 84), &golden["few_shot_det_map_84"]);
    maps.with("chances", &(chance_maps(&seg, &small.texts, 84) * n_layers), &golden["zero_shot_seg_map_84"]);
    // In deviations of the maps.
    let score = distance_scores(&distances, 84).double_value(&[0]);
    assert_near("score by distances", score, &golden["few_shot_det_score"], map * 0.05);
    let score = (chances(&det, &small.texts) * n_layers).double_value(&[0]);
    assert_near("score by chances", score, &golden["zero_shot_det_score"], map * 0.17);
    compared.say(&format!("MVFA's adapters in {kind:?}"));
    maps.say(&format!("MVFA's maps in {kind:?}"));
}

#[test]
fn maps_and_scores_equal_the_published() {
    let golden = reference("mvfa.json");
    forward(&golden, Kind::Double, [1e-9, 1e-8]);
    forward(&golden, Kind::Float, [5e-5, 3e-4]);
}

#[test]
fn the_other_activation_moves_the_embedding_as_far_as_published() {
    let golden = reference("mvfa.json");
    let embedding = |activation| Small::with(activation, &golden, Kind::Double).through(&query()).1;
    let moved = (embedding(Activation::QuickGelu) - embedding(Activation::Gelu)).abs().max();
    let moved = moved.double_value(&[]) / golden["pooled_image_embedding"]["std"].as_f64().expect("a number");
    assert_near("moved", moved, &golden["pooled_difference_if_quick_gelu"], 1e-9);
}

#[test]
fn words_become_the_published_texts() {
    let golden = reference("mvfa.json");
    let vocabulary = tokenizer::kept().expect("a cache folder");
    if !vocabulary.exists() {
        leave_out(&format!("CLIP's vocabulary (`cargo xtask weights fetch {VOCABULARY}` gets it)"));
        return;
    }
    let tokenizer = Tokenizer::open(&vocabulary, Dialect::OpenAi).expect("the vocabulary");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benchmarks/prompts/mvfa.toml");
    let (words, _) = Prompts::read(path.to_str(), BuiltIn { file: "", text: "" }).expect("words");
    for (kind, bound) in [(Kind::Double, 1e-9), (Kind::Float, 5e-5)] {
        let small = Small::new(&golden, kind);
        let mean = |sentences: &Vec<String>| {
            let rows: Vec<i64> =
                sentences.iter().flat_map(|text| tokenizer.row(text, 77).expect("a row")).collect();
            together(&small.towers.text.embedding(&Tensor::from_slice(&rows).view([-1, 77])))
        };
        let texts = Tensor::stack(&words.sentences("brain mri").each_ref().map(mean), 1);
        let mut compared = Compared::within(bound);
        compared.with("texts", &texts, &golden["text_features"]);
        compared.say(&format!("MVFA's texts in {kind:?}"));
    }
}

#[test]
fn losses_equal_the_published() {
    let golden = &reference("mvfa.json")["losses"];
    let chances = formula::tensor("mvfa.loss_logits", &[1, 2, 12, 12], -3.0, 3.0);
    let mask = labels("mvfa.loss_mask", 12, 0.7, Kind::Double);
    for (kind, of_focal, of_dice) in [(Kind::Double, 1e-6, 1e-8), (Kind::Float, 1e-5, 1e-5)] {
        let chances = chances.to_kind(kind).softmax(1, None::<Kind>);
        let mask = mask.to_kind(kind);
        let focal = focal(&chances, &mask).double_value(&[]);
        assert_near("focal", focal, &golden["focal"], of_focal);
        let dice = dice(&chances.select(1, 1), &mask).double_value(&[]);
        assert_near("Dice", dice, &golden["dice_of_channel_1"], of_dice);
        let off = |ours: f64, key: &str| (ours - golden[key].as_f64().expect("a number")).abs();
        let (of_focal, of_dice) = (off(focal, "focal"), off(dice, "dice_of_channel_1"));
        println!("MVFA's losses of pixels in {kind:?}: focal off by {of_focal:.1e}, Dice by {of_dice:.1e}");
    }
    for (label, key) in [(1.0, "bce_with_logits_of_0.3_label1"), (0.0, "bce_with_logits_of_0.3_label0")] {
        let one = |value: f64| Tensor::from_slice(&[value]);
        let found = one(0.3).binary_cross_entropy_with_logits(
            &one(label),
            None::<&Tensor>,
            None::<&Tensor>,
            Reduction::Mean,
        );
        assert_near(key, found.double_value(&[]), &golden[key], 1e-11);
    }
}

/// 1 where a number of that name is above `bound`, `[1, side, side]`.
fn labels(name: &str, side: i64, bound: f64, kind: Kind) -> Tensor {
    let labels = formula::uniform(name, (side * side) as usize).into_iter();
    let labels: Vec<f64> = labels.map(|u| f64::from(u8::from(u > bound))).collect();
    Tensor::from_slice(&labels).to_kind(kind).view([1, side, side])
}

/// Losses before each of three steps of both kinds of adapters.
fn train(golden: &Value, kind: Kind, bound: f64) {
    let small = Small::new(golden, kind);
    let ill = labels("mvfa.train_mask", 84, 0.9, kind);
    let healthy = ill.zeros_like();
    let adam = Adam { beta1: 0.5, ..Adam::default() };
    let mut optimiser = Optimiser::new(&[&small.adapters.seg, &small.adapters.det], Rule::Adam(adam));
    let first = supports().narrow(0, 0, 1);
    let steps = [(query(), 1.0, &ill), (first, 0.0, &healthy), (query(), 1.0, &ill)];
    let mut worst: f64 = 0.0;
    for ((picture, label, mask), golden) in steps.into_iter().zip(golden["train_3_steps"].as_array().unwrap())
    {
        let (det, (seg, _)) = (small.middles(&picture), small.through(&picture));
        let label = Tensor::from_slice(&[label]).to_kind(kind);
        let losses = [of_pictures(&det, &small.texts, &label), of_pixels(&seg, &small.texts, mask)];
        for ((loss, golden), bound) in losses.iter().zip(numbers(golden)).zip([bound, bound.max(1e-6)]) {
            // The published one-hot labels of pixels are single precision.
            let off = (loss.double_value(&[]) / golden - 1.0).abs();
            assert!(off < bound, "{loss:?} against {golden}: off by {off:.1e} of itself");
            worst = worst.max(off);
        }
        let [of_pictures, of_pixels] = losses;
        optimiser.step(&(of_pictures + of_pixels));
    }
    println!("MVFA's losses of three steps in {kind:?}: off by {worst:.1e} of themselves at most");
}

#[test]
fn training_equals_the_published() {
    let golden = reference("mvfa.json");
    train(&golden, Kind::Double, 1e-8);
    train(&golden, Kind::Float, 1e-5);
}

#[test]
fn views_equal_the_published() {
    let golden = &reference("mvfa.json")["augment"];
    let picture = formula::tensor("mvfa.aug", &[1, 3, 24, 24], 0.0, 1.0);
    let found = views(&picture);
    assert_eq!(found.size(), [VIEWS as i64, 3, 24, 24]);
    let mut compared = Compared::within(2e-5);
    for (place, name) in [(1, "rot_-pi/8"), (3, "rot_pi/16"), (8, "translate_0.1_-0.1")] {
        compared.with(name, &found.narrow(0, place, 1), &golden[name]);
    }
    compared.say("MVFA's views");
    assert_eq!(values(&found.get(0)), values(&picture));
    assert_eq!(values(&found.get(9)), values(&picture.flip([3])));
    assert_eq!(values(&found.get(10)), values(&picture.flip([2])));
}

#[test]
fn adapters_that_end_in_zeros_leave_four_fifths_of_the_tokens() {
    let golden = reference("mvfa.json");
    let small = Small::new(&golden, Kind::Float);
    for store in [&small.adapters.seg, &small.adapters.det] {
        for (name, mut tensor) in store.variables() {
            if name.contains("fc2") {
                let _ = tch::no_grad(|| tensor.fill_(0.0));
            }
        }
    }
    let tokens = formula::tensor("tokens", &[2, 5, 128], -1.0, 1.0);
    let (_, onward) = small.adapters.pass(0, &tokens);
    assert_eq!(values(&onward), values(&(&tokens * 0.8)));
}

#[test]
fn a_remembered_picture_is_no_distance_away_and_texts_the_other_way_round_are_one_less() {
    let golden = reference("mvfa.json");
    let small = Small::new(&golden, Kind::Double);
    let det = small.middles(&supports());
    let distances = distance_maps(&distances(&det, &remembered(&det)), 84).abs().max().double_value(&[]);
    assert!(distances < 1e-12, "{distances}");
    let turned = small.texts.flip([1]);
    let both = chances(&det, &small.texts) + chances(&det, &turned);
    assert!((both - 1.0).abs().max().double_value(&[]) < 1e-12);
    let both = chance_maps(&det, &small.texts, 30) + chance_maps(&det, &turned, 30);
    assert!((both - 1.0).abs().max().double_value(&[]) < 1e-12);
}
