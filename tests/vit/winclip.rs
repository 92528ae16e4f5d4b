//! `WinCLIP` against anomalib's implementation, and the other public one's arithmetic.

use std::path::Path;

use medfsad::method::part::grid;
use medfsad::method::part::prompts::{BuiltIn, Prompts};
use medfsad::method::winclip::scoring::{
    Variant, anomalib_references, association, caoyunkang_grids, probabilities,
};
use medfsad::method::winclip::seen::Seen;
use medfsad::method::winclip::windows::Windows;
use medfsad::network::formula;
use medfsad::network::precision::Precision;
use medfsad::network::vit::clip::Towers;
use medfsad::network::vit::tokenizer::{self, Dialect, Tokenizer, VOCABULARY};
use serde_json::Value;
use tch::{Kind, Tensor};

use super::clip::towers;
use super::{Compared, numbers, reference, shape};
use crate::shared::leave_out;

fn tensor(name: &str, shape: &[i64], low: f64, high: f64) -> Tensor {
    formula::tensor(&format!("winclip.{name}"), shape, low, high).to_kind(Kind::Double)
}

#[test]
fn windows_hold_the_published_patches() {
    let golden = reference("winclip.json");
    for (side, size) in [(6, 2), (6, 3), (15, 2), (15, 3)] {
        let golden = &golden["masks"][format!("{side}x{side}_k{size}")];
        let windows = Windows::new(side, size);
        // There, windows are columns.
        let places = windows.places().tr();
        assert_eq!(places.size(), shape(&golden["shape"]), "{side} {size}");
        assert_eq!(Some(places.sum(None::<Kind>).int64_value(&[])), golden["sum"].as_i64());
        let columns = golden["columns"].as_array().expect("columns");
        for (index, column) in numbers(&golden["column_index"]).into_iter().zip(columns) {
            let found: Vec<f64> =
                Vec::try_from(places.select(1, index as i64).to_kind(Kind::Double)).expect("places");
            assert_eq!(found, numbers(column), "{side} {size} {index}");
        }
    }
}

#[test]
fn parts_equal_the_published() {
    let golden = reference("winclip.json");
    let mut compared = Compared::within(1e-8);
    let harmonic = Windows::new(6, 2).harmonic_mean(&tensor("window_scores", &[2, 25], 0.05, 0.95));
    compared.with("harmonic mean", &harmonic, &golden["harmonic"]["values"]);
    let harmonic = Windows::new(6, 3).harmonic_mean(&tensor("window_scores3", &[1, 16], 0.05, 0.95));
    compared.with("harmonic mean of 3 x 3", &harmonic, &golden["harmonic3"]["values"]);
    let (pictures, texts) = (tensor("img_emb", &[3, 48], -1.0, 1.0), tensor("txt_emb", &[2, 48], -1.0, 1.0));
    let anomalous = probabilities(&pictures, &texts, Variant::Anomalib.temperature()).select(1, 1);
    compared.with("chances", &anomalous, &golden["class_scores"]["abnormal_probability"]);
    let found = association(
        &tensor("assoc", &[2, 36, 128], -1.0, 1.0),
        &tensor("assoc_ref", &[3, 36, 128], -1.0, 1.0),
    );
    compared.with("association", &found, &golden["association"]["score"]);
    compared.say("parts of WinCLIP");
}

#[test]
fn the_second_variants_grids_equal_its_arithmetic() {
    let golden = &reference("winclip.json")["caoyunkang_aggregation"];
    let sizes = [Windows::new(6, 2), Windows::new(6, 3)];
    let normal = [tensor("cao_pn2", &[1, 25], 0.05, 0.95), tensor("cao_pn3", &[1, 16], 0.05, 0.95)];
    let found = [tensor("cao_va2", &[1, 25], 0.01, 0.5), tensor("cao_va3", &[1, 16], 0.01, 0.5)];
    let mut compared = Compared::within(1e-8);
    // Without references the texts' map stands twice, which halves it.
    let by_text = caoyunkang_grids(&normal, None, &sizes).squeeze_dim(0) * 2.0;
    compared.with("by texts", &by_text, &golden["text_map"]);
    let means = sizes.iter().zip(&found).map(|(size, values)| size.mean(values));
    let by_reference = Tensor::stack(&means.collect::<Vec<_>>(), 0).mean_dim(0, false, None::<Kind>);
    compared.with("by references", &by_reference.squeeze_dim(0), &golden["visual_map"]);
    let fused = caoyunkang_grids(&normal, Some(&found), &sizes).squeeze_dim(0);
    compared.with("fused", &fused, &golden["fused_map"]);
    compared.say("the second variant");
}

/// Means over normal and over anomalous sentences, `[2, 48]`.
fn texts(towers: &Towers, kind: Kind) -> Option<Tensor> {
    let vocabulary = tokenizer::kept().expect("a cache folder");
    if !vocabulary.exists() {
        leave_out(&format!("CLIP's vocabulary (`cargo xtask weights fetch {VOCABULARY}` gets it)"));
        return None;
    }
    let tokenizer = Tokenizer::open(&vocabulary, Dialect::OpenClip).expect("the vocabulary");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benchmarks/prompts/winclip-anomalib.toml");
    let (prompts, _) = Prompts::read(path.to_str(), BuiltIn { file: "", text: "" }).expect("words");
    let mean = |sentences: Vec<String>| {
        let rows: Vec<i64> =
            sentences.iter().flat_map(|text| tokenizer.row(text, 77).expect("a row")).collect();
        towers.text.embedding(&Tensor::from_slice(&rows).view([-1, 77])).mean_dim(0, false, None::<Kind>)
    };
    let means = prompts.sentences("brain mri slice").map(mean);
    Some(Tensor::stack(&means, 0).to_kind(kind))
}

fn pictures(kind: Kind) -> [Tensor; 2] {
    let references = formula::tensor("winclip.reference", &[2, 3, 96, 96], -2.0, 2.0).to_kind(kind);
    let queries = formula::tensor("winclip.query", &[3, 3, 96, 96], -2.0, 2.0).to_kind(kind);
    let mut third = queries.get(2);
    third.copy_(&references.get(0));
    [references, queries]
}

fn end_to_end(golden: &Value, kind: Kind, [embedding, map]: [f64; 2]) {
    let towers = towers(&reference("clip.json")["configs"]["open_clip_tiny"], kind);
    let (mut compared, mut maps) = (Compared::within(embedding), Compared::within(map));
    let published = Tensor::from_slice(&numbers(&golden["text_embeddings"]["values"])).view([2, 48]);
    let texts = texts(&towers, kind);
    if let Some(texts) = &texts {
        compared.with("texts", texts, &golden["text_embeddings"]);
    }
    let texts = texts.unwrap_or_else(|| published.to_kind(kind));
    let sizes = [Windows::new(6, 2), Windows::new(6, 3)];
    let [references, seen] =
        pictures(kind).map(|pictures| Seen::new(&towers.image, &pictures, &sizes, Precision::F32));
    compared.with("pictures", &seen.whole, &golden["image_embeddings"]);
    compared.with("windows of 2 x 2", &seen.windows[0], &golden["window_embeddings_2x2"]);
    compared.with("windows of 3 x 3", &seen.windows[1], &golden["window_embeddings_3x3"]);
    compared.with("patches", &seen.patches, &golden["patch_embeddings"]);
    maps.with("references", &anomalib_references(&seen, &references, &sizes), &golden["few_shot_map_6x6"]);
    for (key, references) in [("zero_shot", None), ("few_shot", Some(&references))] {
        let [grids, scores] = Variant::Anomalib.score(&seen, &texts, references, &sizes);
        maps.with(key, &grid::upsample(&grids, 96, false), &golden[key]["map"]);
        maps.with(key, &scores, &golden[key]["image_score"]);
    }
    compared.say(&format!("WinCLIP's embeddings in {kind:?}"));
    maps.say(&format!("WinCLIP's maps and scores in {kind:?}"));
}

#[test]
fn the_small_network_equals_the_published_end_to_end() {
    let golden = &reference("winclip.json")["end_to_end"];
    end_to_end(golden, Kind::Double, [1e-9, 1e-8]);
    end_to_end(golden, Kind::Float, [5e-5, 3e-4]);
}
