//! MVFA: what each setting learns from, and what it refuses.

use std::time::Duration;

use medfsad::episode::batch::Pictures;
use medfsad::method::batches::predict;
use medfsad::method::{
    Built, Context, Detector, EpochFigures, Fitted, Prediction, StateFile, TrainTask, Unobserved, find,
};
use medfsad::regime::Regime;
use tch::Tensor;
use tempfile::TempDir;

use crate::method::{assert_close, context, pictures, scores, task};

const SMALL: &str =
    "clip = 'clip_tiny16'\nside = 64\nclass_names = { first = 'disc', second = 'disc', target = 'disc' }";

fn built(more: &str) -> Built {
    let table = toml::from_str(&format!("{SMALL}\n{more}")).expect("TOML");
    (find("mvfa").expect("known").build)(table).expect("good settings")
}

fn fitted(more: &str, tasks: &[TrainTask], context: &Context) -> Result<Box<dyn Fitted>, String> {
    built(more).method.fit(tasks, context, &mut Unobserved).map_err(|error| format!("{error:#}"))
}

/// Pictures with a bright square.
fn ill(purpose: &str, n: usize) -> Pictures {
    let Pictures { pixels, acquisition, .. } = pictures(purpose, n);
    let _ = pixels.narrow(2, 4, 12).narrow(3, 16, 12).fill_(250);
    Pictures::new(pixels, acquisition)
}

fn of(fitted: &dyn Fitted, detector: &dyn Detector, queries: &Pictures) -> Vec<f64> {
    let all: Vec<usize> = (0..queries.len()).collect();
    scores((fitted, detector), queries, &all, 16)
}

#[test]
fn settings_say_what_is_given_and_how_fast_it_learns() {
    for (setting, regime, rate, trains) in [
        ("few-shot", Regime::TargetAnomalies, "0.001", true),
        ("few-normal", Regime::Supports, "0.001", false),
        ("zero-shot", Regime::OtherAnomalies, "0.0001", true),
    ] {
        let built = built(&format!("setting = '{setting}'"));
        assert_eq!((built.regime, built.takes_steps), (regime, trains), "{setting}");
        assert!(built.settings.contains(&format!("\"learning_rate\":{rate}")), "{}", built.settings);
        assert_eq!(built.extension.is_some(), setting == "few-normal");
        // One training on other tasks serves all numbers of supports.
        assert!(!built.fits_shots, "{setting}");
    }
    let error = |settings: &str| {
        let table = toml::from_str(settings).expect("TOML");
        format!("{:#}", (find("mvfa").expect("known").build)(table).err().expect("an error"))
    };
    assert!(error("setting = 'one-shot'").contains("few-normal"));
    assert!(error("side = 13").contains("at least 14"));
    assert!(error("epochs = 0").contains("epochs must be at least 1"));
    assert!(error("batch = 0").contains("batch must be at least 1"));
    assert!(error("learning_rate = 0.0").contains("must be positive"));
    assert!(error("activation = 'relu'").contains("quick-gelu"));
}

#[test]
fn few_shots_tell_new_anomalies_from_new_normals() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fitted("epochs = 4", &[], &context(&folder, 4)).expect("fitted");
    let (supports, anomalies) = (pictures("support", 4), ill("ill support", 4));
    let detector = fitted.adapt_with_anomalies(&supports, &anomalies).expect("a detector");
    let healthy = of(&*fitted, &*detector, &pictures("query", 8));
    let ill_ones = of(&*fitted, &*detector, &ill("ill query", 8));
    let highest = healthy.iter().copied().fold(f64::MIN, f64::max);
    let lowest = ill_ones.iter().copied().fold(f64::MAX, f64::min);
    println!("normals {healthy:.3?}\nanomalies {ill_ones:.3?}");
    assert!(lowest > highest, "{ill_ones:?} against {healthy:?}");
    // Of what it learnt from, each part goes from 0 to 1.
    let own = [of(&*fitted, &*detector, &supports), of(&*fitted, &*detector, &anomalies)].concat();
    assert!(own.iter().all(|score| (-1e-4..1.0001).contains(score)), "{own:?}");
    // Under the square, maps rise.
    let Prediction::Both(maps, _) = predict(&*fitted, &*detector, &ill("ill query", 1)).expect("maps") else {
        panic!("maps and scores")
    };
    let mean = |inside: bool| {
        let is_inside = |at: &usize| (4..16).contains(&(at / 32)) && (16..28).contains(&(at % 32));
        let values: Vec<f32> =
            (0..32 * 32).filter(|at| is_inside(at) == inside).map(|at| maps.map(0)[at]).collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    println!("{} under the square, {} beside it", mean(true), mean(false));
    assert!(mean(true) > mean(false));
}

#[test]
fn few_shots_need_anomalies_that_are_not_the_supports() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fitted("epochs = 1", &[], &context(&folder, 2)).expect("fitted");
    let supports = pictures("support", 2);
    let error = fitted.adapt(&supports).err().expect("no anomalies").to_string();
    assert!(error.contains("setting = \"few-normal\""), "{error}");
    let error = fitted.adapt_with_anomalies(&supports, &supports.at(&[])).err().expect("none").to_string();
    assert!(error.contains("an anomaly at least"), "{error}");
    // Supports as anomalies: none is further from the supports than another.
    for n in [1, 2] {
        let shown = pictures("support", n);
        let error = fitted.adapt_with_anomalies(&shown, &shown).err().expect("no scale").to_string();
        assert!(error.contains("distances from the supports") && error.contains("supports again"), "{error}");
    }
}

#[test]
fn a_training_keeps_a_state_for_each_pair_of_supports_and_anomalies() {
    let folder = TempDir::new().expect("a folder");
    let state_file = StateFile { path: folder.path().join("state.safetensors"), every: Duration::ZERO };
    let context = Context { state_file: Some(state_file.clone()), ..context(&folder, 2) };
    let fitted = fitted("epochs = 1", &[], &context).expect("fitted");
    let score = |anomalies: &str| {
        let detector = fitted.adapt_with_anomalies(&pictures("support", 2), &ill(anomalies, 2));
        of(&*fitted, &*detector.expect("a detector"), &pictures("query", 3))
    };
    let (one, other) = (score("ill"), score("otherwise ill"));
    assert_ne!(one, other);
    // From the state that the first training left.
    assert_eq!(score("ill"), one);
    let parts = folder.path().join("state.parts");
    assert_eq!(std::fs::read_dir(&parts).expect("states").count(), 2);
    state_file.remove().expect("removed");
    assert!(!parts.exists());
}

#[test]
fn normals_alone_need_neither_words_nor_anomalies_and_a_support_is_no_distance_away() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 3);
    let table = toml::from_str("clip = 'clip_tiny16'\nside = 64\nsetting = 'few-normal'").expect("TOML");
    let built = (find("mvfa").expect("known").build)(table).expect("good settings");
    let fitted = built.method.fit(&[], &context, &mut Unobserved).expect("no word is needed");
    let supports = pictures("support", 3);
    let detector = fitted.adapt(&supports).expect("a detector");
    let own = of(&*fitted, &*detector, &supports);
    assert!(own.iter().all(|score| score.abs() < 1e-6), "{own:?}");
    let queries = pictures("query", 4);
    let found = of(&*fitted, &*detector, &queries);
    assert!(found.iter().all(|score| *score > 1e-4), "{found:?}");
    assert_close("one by one", &found, &scores((&*fitted, &*detector), &queries, &[0, 1, 2, 3], 1));
    let turned = fitted.adapt(&supports.at(&[2, 0, 1])).expect("a detector");
    assert_close("permuted", &found, &of(&*fitted, &*turned, &queries));
    // A mirrored support is among the views.
    let mirrored = Pictures::new(Tensor::flip(&supports.pixels, [3]), supports.acquisition.clone());
    let found = of(&*fitted, &*detector, &mirrored);
    assert!(found.iter().all(|score| score.abs() < 1e-6), "{found:?}");
}

#[test]
fn zero_shot_learns_from_other_tasks_anomalies_and_sees_no_support() {
    let folder = TempDir::new().expect("a folder");
    let context = context(&folder, 2);
    let with = |anomalies: Option<Pictures>| TrainTask { anomalies, ..task("first") };
    let tasks = [with(Some(ill("first, ill", 5))), task("second")];
    let mut losses = Vec::new();
    let mut observer = |_: u64, figures: &EpochFigures, model: &dyn Fitted| {
        losses.push(figures[0].1);
        assert!(model.ignores_supports());
        Ok(())
    };
    let method = built("setting = 'zero-shot'\nepochs = 6\nlearning_rate = 1e-3").method;
    let fitted = method.fit(&tasks, &context, &mut observer).expect("fitted");
    println!("losses {losses:.3?}");
    assert!(losses.len() == 6 && losses[5] < losses[0], "{losses:?}");
    assert!(fitted.ignores_supports());
    let queries = pictures("query", 3);
    let by = |supports: &str| {
        let detector = fitted.adapt(&pictures(supports, 2)).expect("a detector");
        of(&*fitted, &*detector, &queries)
    };
    let found = by("support");
    assert_eq!(found, by("other support"));
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    assert_close("one by one", &found, &scores((&*fitted, &*detector), &queries, &[0, 1, 2], 1));
    assert!(found.iter().all(|score| (0.0..=1.0).contains(score)), "{found:?}");
    let error = |tasks: &[TrainTask]| {
        self::fitted("setting = 'zero-shot'\nepochs = 1", tasks, &context).err().expect("an error")
    };
    assert!(error(&[]).contains("other tasks, and there is none"));
    assert!(error(&[with(None)]).contains("the anomalies of `first` were not given"));
    assert!(error(&[with(Some(pictures("none", 1).at(&[])))]).contains("first have none"));
}
