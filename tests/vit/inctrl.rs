//! `InCTRL` against its authors' class.

use std::path::Path;

use medfsad::method::inctrl::model::{Heads, Parts, Prompts, Seen, focal, layers};
use medfsad::method::part::direction::unit;
use medfsad::method::part::prompts::{BuiltIn, Prompts as Words};
use medfsad::network::formula;
use medfsad::network::layer::Norm;
use medfsad::network::optimiser::{Adam, Decay, Optimiser, Rule};
use medfsad::network::precision::Precision;
use medfsad::network::vit::block::Activation;
use medfsad::network::vit::clip::{Clip, Plan, Tower, Towers};
use medfsad::network::vit::tokenizer::{self, Dialect, Tokenizer, VOCABULARY};
use serde_json::Value;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::{Compared, assert_near, numbers, reference, values};
use crate::shared::leave_out;

fn plan() -> Plan {
    Plan {
        image: Tower { width: 64, depth: 12, heads: 4 },
        patch: 16,
        table: 15,
        text: Tower { width: 64, depth: 2, heads: 2 },
        joint: 640,
        activation: Activation::Gelu,
        ..Clip::Base16.plan()
    }
}

struct Small {
    towers: Towers,
    heads: Heads,
    kind: Kind,
}

impl Small {
    fn new(golden: &Value, kind: Kind) -> Small {
        let mut store = VarStore::new(Device::Cpu);
        let towers = Towers::new(&store.root(), plan());
        formula::fill(&store, "inctrl.");
        let mut heads = Heads::new(plan(), 1, Device::Cpu);
        for (name, tensor) in heads.store.variables() {
            assert_eq!(tensor.size(), super::shape(&golden["params_of_heads"][&name]), "{name}");
        }
        formula::fill(&heads.store, "inctrl.");
        if kind == Kind::Double {
            store.double();
            heads.store.double();
        }
        store.freeze();
        Small { towers, heads, kind }
    }

    fn seen(&self, pictures: &Tensor) -> Seen {
        Seen::new(&self.towers.image, &pictures.to_kind(self.kind), &layers(12), 12, Precision::F32)
    }
}

fn queries() -> Tensor {
    formula::tensor("inctrl.query", &[2, 3, 240, 240], -2.0, 2.0)
}

/// `[shot, sample, 3, 240, 240]`.
fn prompts() -> Tensor {
    formula::tensor("inctrl.prompt", &[2, 2, 3, 240, 240], -2.0, 2.0)
}

/// A normal and an anomalous text, `[1, 2, 640]`, whose chance of an anomaly for the first query is the golden one: its words
/// are compared elsewhere (`vit::prompts`).
fn texts(seen: &Seen, chance: f64) -> Tensor {
    // Two directions of cosines c and -c with the query, so that the chance is that of 200 c.
    let query = unit(&seen.whole.narrow(0, 0, 1), -1);
    let other = unit(&formula::tensor("inctrl.other", &[1, 640], -1.0, 1.0).to_kind(query.kind()), -1);
    let across = unit(&(&other - (&other * &query).sum(None::<Kind>) * &query), -1);
    let cosine = (chance / (1.0 - chance)).ln() / 200.0;
    let text = |cosine: f64| &query * cosine + &across * (1.0 - cosine * cosine).sqrt();
    Tensor::stack(&[text(-cosine), text(cosine)], 1)
}

#[test]
fn parts_of_one_query_equal_the_published() {
    let golden = reference("inctrl.json");
    let forward = &golden["forward"];
    let parts_of = &forward["parts_query0"];
    for (kind, bound, absolute) in [(Kind::Double, 1e-9, 1e-10), (Kind::Float, 5e-5, 1e-6)] {
        let small = Small::new(&golden, kind);
        let seen = small.seen(&queries().narrow(0, 0, 1));
        let shown = small.seen(&prompts().select(1, 0));
        let texts = texts(&seen, parts_of["s_text"].as_f64().expect("a chance"));
        let Parts { map, text, image, whole, score } =
            small.heads.parts(&seen, &Prompts::shared(&shown), &texts, Norm::Stored);
        let mut compared = Compared::within(bound);
        compared.with("whole", &seen.whole, &parts_of["global_token"]);
        compared.with("map", &map.squeeze_dim(0), &parts_of["patch_residual_map_225"]);
        compared.with("adapted", &small.heads.adapted(&seen.whole), &parts_of["adapter_of_query"]);
        let residual = small.heads.adapted(&shown.whole).mean_dim(0, true, None::<Kind>)
            - small.heads.adapted(&seen.whole);
        compared.with("residual", &residual, &parts_of["residual_feature"]);
        compared.say(&format!("InCTRL in {kind:?}"));
        let highest = map.max();
        for (what, ours, key) in [
            ("highest", &highest, "fg_max"),
            ("text", &text, "s_text"),
            ("image", &image, "s_img"),
            ("whole", &whole, "s_holistic"),
            ("score", &score, "final"),
        ] {
            assert_near(what, values(ours)[0], &parts_of[key], absolute);
        }
        // Patches are compared by samples and mean; the class token's row, which is not kept, counts in the mean there.
        for (patches, golden) in
            seen.patches.iter().zip(parts_of["patch_tokens_block7_9_11"].as_array().expect("blocks"))
        {
            let flat = values(patches);
            let samples = numbers(&golden["sample_index"]).into_iter().zip(numbers(&golden["sample"]));
            let deviation = golden["std"].as_f64().expect("a deviation");
            let behind_class = samples.filter(|(place, _)| *place >= 64.0);
            let worst = behind_class
                .map(|(place, expected)| (flat[place as usize - 64] - expected).abs())
                .fold(0.0, f64::max);
            assert!(worst / deviation < bound, "patches are {worst} off");
        }
    }
}

#[test]
fn batches_keep_queries_apart_unless_they_are_mixed_as_published() {
    let golden = reference("inctrl.json");
    let forward = &golden["forward"];
    let small = Small::new(&golden, Kind::Double);
    let (queries, shown) = (small.seen(&queries()), small.seen(&prompts().flatten(0, 1)));
    let image = |parts: &Parts| values(&parts.image);
    // Texts do not enter the image's residual.
    let texts = Tensor::zeros([1, 2, 640], (Kind::Double, Device::Cpu));
    let apart = small.heads.parts(&queries, &Prompts::of_each(&shown, 2), &texts, Norm::Stored);
    for (query, found) in image(&apart).into_iter().enumerate() {
        let golden = &forward[format!("query{query}_batch1")]["image_residual"]["values"][0];
        assert_near("alone", found, golden, 1e-10);
    }
    let mixed = small.heads.parts(&queries.mixed(), &Prompts::mixed(&shown, 2), &texts, Norm::Stored);
    let published = &forward["batch_of_2_as_published"];
    for (found, golden) in
        image(&mixed).iter().zip(published["image_residual"]["values"].as_array().expect("two"))
    {
        assert_near("mixed", *found, golden, 1e-10);
    }
    let alone = small.heads.parts(
        &small.seen(&self::queries().narrow(0, 1, 1)),
        &Prompts::shared(&small.seen(&prompts().select(1, 1))),
        &texts,
        Norm::Stored,
    );
    let worst = (alone.map - apart.map.narrow(0, 1, 1)).abs().max().double_value(&[]);
    assert!(worst < 1e-12, "the map of a query in a batch is {worst} off");
}

/// Texts of `brain mri`, `[1, 2, 640]`, if the vocabulary is there.
fn published_texts(towers: &Towers) -> Option<Tensor> {
    let vocabulary = tokenizer::kept().expect("a cache folder");
    if !vocabulary.exists() {
        leave_out(&format!("CLIP's vocabulary (`cargo xtask weights fetch {VOCABULARY}` gets it)"));
        return None;
    }
    let tokenizer = Tokenizer::open(&vocabulary, Dialect::OpenClip).expect("the vocabulary");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benchmarks/prompts/inctrl.toml");
    let (words, _) = Words::read(path.to_str(), BuiltIn { file: "", text: "" }).expect("words");
    let mean = |sentences: &Vec<String>| {
        let rows: Vec<i64> =
            sentences.iter().flat_map(|text| tokenizer.row(text, 77).expect("a row")).collect();
        let each = unit(&towers.text.embedding(&Tensor::from_slice(&rows).view([-1, 77])), -1);
        unit(&each.mean_dim(0, false, None::<Kind>), -1)
    };
    let means = words.sentences("brain mri").each_ref().map(mean);
    Some(Tensor::stack(&means, 0).unsqueeze(0))
}

#[test]
fn scores_with_the_published_words_equal_the_published() {
    let golden = reference("inctrl.json");
    let forward = &golden["forward"];
    let small = Small::new(&golden, Kind::Double);
    let Some(texts) = published_texts(&small.towers) else { return };
    let (queries, shown) = (small.seen(&queries()), small.seen(&prompts().flatten(0, 1)));
    let scores = |seen: &Seen, prompts: &Prompts| {
        values(&small.heads.parts(seen, prompts, &texts, Norm::Stored).score)
    };
    let apart = scores(&queries, &Prompts::of_each(&shown, 2));
    let mixed = scores(&queries.mixed(), &Prompts::mixed(&shown, 2));
    for query in 0..2 {
        let alone = &forward[format!("query{query}_batch1")]["final"]["values"][0];
        assert_near("alone", apart[query], alone, 1e-9);
        let published = &forward["batch_of_2_as_published"]["final"]["values"][query];
        assert_near("mixed", mixed[query], published, 1e-9);
    }
}

#[test]
fn heads_train_as_published() {
    let golden = reference("inctrl.json");
    let heads_golden = &golden["heads_3_steps"];
    let small = Small::new(&golden, Kind::Double);
    let tensor = |name: &str, shape: &[i64], low: f64, high: f64| {
        formula::tensor(&format!("inctrl.{name}"), shape, low, high).to_kind(Kind::Double)
    };
    let residual = tensor("residual", &[8, 640], -0.5, 0.5);
    let (base, highest) = (tensor("holistic", &[8, 225], 0.0, 1.0), tensor("fg", &[8], 0.0, 0.5));
    let labels = Tensor::from_slice(&[0.0f64, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    let adam = Adam { decay: Decay::Decoupled(0.01), ..Adam::default() };
    let mut optimiser = Optimiser::new(&[&small.heads.store], Rule::Adam(adam));
    let mut worst: f64 = 0.0;
    for golden in numbers(&heads_golden["losses"]) {
        let image = small.heads.image_score(&residual, Norm::Batch);
        let (_, score) = small.heads.score(&base, &image, &highest.unsqueeze(1), Norm::Batch);
        let loss = focal(&score, &labels) + focal(&image, &labels);
        worst = worst.max((loss.double_value(&[]) / golden - 1.0).abs());
        assert!(worst < 1e-8, "a loss of {loss:?} against {golden}");
        optimiser.step(&loss);
    }
    println!("InCTRL's losses: off by {worst:.1e} of themselves at most");
    let mut compared = Compared::within(1e-6);
    let variables = small.heads.store.variables();
    compared.with("mean", &variables["diff_head.bn2.running_mean"], &heads_golden["bn2_running_mean_after"]);
    compared.with(
        "variance",
        &variables["diff_head.bn2.running_var"],
        &heads_golden["bn2_running_var_after"],
    );
    for (label, key) in [(1.0, "of_0.3_label1"), (0.0, "of_0.3_label0")] {
        let one = |value: f64| Tensor::from_slice(&[value]);
        assert_near(key, focal(&one(0.3), &one(label)).double_value(&[]), &golden["focal"][key], 1e-11);
    }
}
