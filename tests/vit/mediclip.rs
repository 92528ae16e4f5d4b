//! `MediCLIP` against its authors' classes.

use medfsad::method::mediclip::anomalies::label::of_change;
use medfsad::method::mediclip::anomalies::mapping;
use medfsad::method::mediclip::anomalies::shape::{Edge, Mask, Outline};
use medfsad::method::mediclip::anomalies::spline::{Border, Spline};
use medfsad::method::mediclip::model::{Learnt, Phrases, tokens};
use medfsad::method::part::segmentation_loss::{dice, focal};
use medfsad::network::formula;
use medfsad::network::optimiser::{Adam, Optimiser, Rule};
use medfsad::network::precision::Precision;
use medfsad::network::vit::block::Activation;
use medfsad::network::vit::clip::{Plan, Towers};
use medfsad::network::vit::tokenizer::{self, Dialect, Tokenizer, VOCABULARY};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::clip::plan;
use super::{Compared, assert_near, numbers, reference, text, values};
use crate::shared::leave_out;

/// All of the small network that the golden file tells of.
struct Small {
    towers: Towers,
    phrases: Phrases,
    learnt: Learnt,
    kind: Kind,
}

const LAYERS: [usize; 3] = [1, 2, 3];

impl Small {
    fn new(golden: &Value, kind: Kind) -> Small {
        let mut config = golden.clone();
        config["quick_gelu"] = true.into();
        let plan = Plan { activation: Activation::QuickGelu, ..plan(&config) };
        let mut store = VarStore::new(Device::Cpu);
        let towers = Towers::new(&store.root(), plan);
        formula::fill(&store, "mediclip.clip.");
        let ids = ["normal", "abnormal"].map(|class| ids(&golden["token_ids"][class]));
        if kind == Kind::Double {
            store.double();
        }
        store.freeze();
        let phrases = Phrases::new(&towers.text, ids);
        let mut learnt = Learnt::new(plan, LAYERS.len(), &phrases, 4, 1, Device::Cpu);
        formula::fill(&learnt.store, "mediclip.adapter.");
        let variables = learnt.store.variables();
        for (name, published) in golden["adapter_params"].as_object().expect("parameters") {
            assert_eq!(variables[name].size(), super::shape(published), "{name}");
        }
        assert_eq!(variables.len(), 8, "names beside the published ones");
        for (name, phrases) in [("normal_end", 3), ("abnormal_end", 4)] {
            let words = formula::tensor(&format!("mediclip.ctx.{name}"), &[phrases, 4, 64], -0.04, 0.04);
            tch::no_grad(|| learnt.store.variables().get_mut(name).expect("words").copy_(&words));
        }
        if kind == Kind::Double {
            learnt.store.double();
        }
        Small { towers, phrases, learnt, kind }
    }

    fn texts(&self) -> Tensor {
        self.learnt.texts(&self.towers.text, &self.phrases)
    }

    fn tokens(&self) -> Vec<Tensor> {
        let pictures = formula::tensor("mediclip.image", &[2, 3, 84, 84], -2.0, 2.0).to_kind(self.kind);
        tokens(&self.towers.image, &pictures, &LAYERS, Precision::F32)
    }

    fn chances(&self) -> Tensor {
        self.learnt.chances(&self.tokens(), &self.texts(), 84)
    }
}

fn ids(rows: &Value) -> Tensor {
    let rows = rows.as_array().expect("rows").iter().map(|row| {
        let mut row: Vec<i64> = numbers(row).into_iter().map(|id| id as i64).collect();
        row.resize(77, 0);
        row
    });
    Tensor::from_slice(&rows.flatten().collect::<Vec<_>>()).view([-1, 77])
}

fn forward(golden: &Value, kind: Kind, [part, map]: [f64; 2]) {
    let small = Small::new(golden, kind);
    let golden = &golden["forward"];
    let (mut compared, mut maps) = (Compared::within(part), Compared::within(map));
    let tokens = small.tokens();
    let patches = small.learnt.patches(&tokens);
    for depth in 0..LAYERS.len() {
        compared.with("tokens", &tokens[depth], &golden["tokens"][depth]);
        let grid = patches[depth].view([2, 6, 6, 48]);
        compared.with("patches", &grid, &golden["adapter_normalised"][depth]);
    }
    compared.with("texts", &small.texts(), &golden["text_features_48x2"]);
    let chances = small.chances();
    maps.with("map", &chances, &golden["map_2x84x84"]);
    let scores = values(&chances.select(1, 1).amax([1i64, 2].as_slice(), false));
    for (ours, golden) in scores.iter().zip(golden["score_max"]["values"].as_array().expect("scores")) {
        // In deviations of the map.
        assert_near("score", *ours, golden, map * 0.0017);
    }
    compared.say(&format!("MediCLIP's parts in {kind:?}"));
    maps.say(&format!("MediCLIP's map in {kind:?}"));
}

#[test]
fn maps_equal_the_published() {
    let golden = reference("mediclip.json");
    forward(&golden, Kind::Double, [1e-9, 1e-8]);
    forward(&golden, Kind::Float, [5e-5, 3e-4]);
}

/// Losses before each of three steps, and the map after them.
fn train(golden: &Value, kind: Kind, [loss, map]: [f64; 2]) {
    let small = Small::new(golden, kind);
    let golden = &golden["train_3_steps"];
    let mask = formula::uniform("mediclip.mask", 2 * 84 * 84);
    let mask: Vec<f64> = mask.into_iter().map(|u| f64::from(u8::from(u > 0.9))).collect();
    let mask = Tensor::from_slice(&mask).to_kind(kind).view([2, 84, 84]);
    let adam = Adam { beta1: 0.5, ..Adam::default() };
    let mut optimiser = Optimiser::new(&[&small.learnt.store], Rule::Adam(adam));
    let mut worst: f64 = 0.0;
    for (step, golden) in golden["focal_dice"].as_array().expect("losses").iter().enumerate() {
        let chances = small.chances();
        let (focal, dice) = (focal(&chances, &mask), dice(&chances.select(1, 1), &mask));
        for (what, ours, golden) in [("focal", &focal, &golden[0]), ("dice", &dice, &golden[1])] {
            let (ours, golden) = (ours.double_value(&[]), golden.as_f64().expect("a loss"));
            let off = (ours / golden - 1.0).abs();
            // The published one-hot labels are single precision.
            let bound = if what == "focal" { loss.max(1e-6) } else { loss };
            assert!(off < bound, "step {step}: {what} {ours} against {golden}");
            worst = worst.max(off);
        }
        optimiser.step(&(focal + dice));
    }
    println!("MediCLIP's losses in {kind:?}: off by {worst:.1e} of themselves at most");
    let mut compared = Compared::within(map);
    compared.with("map after three steps", &small.chances(), &golden["map_after"]);
    compared.say(&format!("MediCLIP's map after three steps in {kind:?}"));
}

#[test]
fn training_equals_the_published() {
    let golden = reference("mediclip.json");
    train(&golden, Kind::Double, [1e-8, 1e-6]);
    train(&golden, Kind::Float, [1e-5, 3e-4]);
}

#[test]
fn phrases_become_the_published_ids() {
    let vocabulary = tokenizer::kept().expect("a cache folder");
    if !vocabulary.exists() {
        leave_out(&format!("CLIP's vocabulary (`cargo xtask weights fetch {VOCABULARY}` gets it)"));
        return;
    }
    let tokenizer = Tokenizer::open(&vocabulary, Dialect::OpenAi).expect("the vocabulary");
    let golden = reference("mediclip.json");
    for class in ["normal", "abnormal"] {
        let rows = golden["token_ids"][class].as_array().expect("rows");
        for (phrase, row) in golden["prompts"][class].as_array().expect("phrases").iter().zip(rows) {
            let found = tokenizer.row(&format!("X X X X {}.", text(phrase)), 77).expect("a row");
            let published = numbers(row);
            let found: Vec<f64> = found[..published.len()].iter().map(|&id| id as f64).collect();
            assert_eq!(found, published, "{phrase}");
        }
    }
}

#[test]
fn deformed_pictures_equal_the_published() {
    let golden = &reference("mediclip.json")["radial_deformation"];
    let (height, width) = (25, 21);
    let is_inside = |at: usize| {
        let (y, x) = ((at / width) as f64 - 12.0, (at % width) as f64 - 10.0);
        y * y / 144.0 + x * x / 100.0 <= 1.0
    };
    let shape = Mask { height, width, inside: (0..height * width).map(is_inside).collect() };
    let edge = Edge { outline: Outline::Ellipse, size: [24.0, 20.0], matrix: [[1.0, 0.0], [0.0, 1.0]] };
    let levels = values(&formula::tensor("mediclip.deform", &[1, 25, 21], 0.0, 255.0));
    let spline = Spline::new(&levels, [height, width], Border::Edge);
    let mut compared = Compared::within(1e-9);
    for (key, sinks) in [("source", false), ("sink", true)] {
        let mapping = mapping(&shape, &edge, [10, 9], 2.0, sinks);
        let axis = |axis: usize| mapping.iter().map(|place| place[axis]).collect::<Vec<f64>>();
        let both = Tensor::from_slice(&[axis(0), axis(1)].concat()).view([2, 25, 21]);
        compared.with(&format!("{key} mapping"), &both, &golden[key]["mapping"]);
        let levels: Vec<f64> = mapping.iter().map(|&place| spline.at(place)).collect();
        compared.with(key, &Tensor::from_slice(&levels).view([1, 25, 21]), &golden[key]["result"]);
    }
    compared.say("deformed pictures");
}

#[test]
fn labels_of_changes_equal_the_published() {
    let golden = &reference("mediclip.json")["flipped_gaussian_label_std0.2"];
    for (x, y) in numbers(&golden["x"]).into_iter().zip(golden["y"].as_array().expect("labels")) {
        assert_near("label", of_change(x), y, 1e-11);
    }
}
