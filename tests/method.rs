//! One contract for every method: a score depends on the model, the supports and that one picture.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use medfsad::episode::batch::{Acquisition, Pictures};
use medfsad::ids::TaskName;
use medfsad::maps::MapStack;
use medfsad::method::batches::{predict, predict_encoded, score};
use medfsad::method::{
    Built, Context, Detector, Encoded, Fitted, METHODS, OpenTeachers, Output, Prediction, TrainTask,
    Unobserved, find,
};
use medfsad::network::encoder::Encoder;
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::precision::Precision;
use medfsad::network::remembering::FeatureLimits;
use medfsad::network::{Backbone, Network, initial, weights};
use medfsad::protocol::{self, Protocol};
use medfsad::random::Stream;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

mod batches;
mod control;
mod external;
#[cfg(target_os = "linux")]
mod processes;
mod reconstruction;
mod teacher;
mod trained;
mod training_free;
mod work;

const SIDE: i64 = 32;

/// Smooth discs of varying place and brightness; no two alike.
fn pictures(purpose: &str, n: usize) -> Pictures {
    let mut bytes = Vec::new();
    let mut acquisition = Vec::new();
    for index in 0..n {
        let mut stream = Stream::new(7, purpose, index as u64);
        let (row, column) = (stream.between(10.0, 22.0), stream.between(10.0, 22.0));
        let (radius, light) = (stream.between(5.0, 9.0), stream.between(100.0, 220.0));
        for channel in 0..3 {
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let distance = ((y as f64 - row).powi(2) + (x as f64 - column).powi(2)).sqrt();
                    let inside = 1.0 / (1.0 + (distance - radius).exp());
                    bytes.push(
                        (20.0 + light * inside / f64::from(channel + 1) + stream.between(0.0, 20.0)) as u8,
                    );
                }
            }
        }
        let width = 40 + index as u32;
        acquisition.push(Acquisition { width, height: 31, file_bytes: 900 + 7 * index as u64 });
    }
    let pixels = Tensor::from_data_size(&bytes, &[n as i64, 3, SIDE, SIDE], Kind::Uint8);
    Pictures { pixels, acquisition }
}

fn task(name: &str) -> TrainTask {
    let pictures = pictures(name, 8);
    let pairs = (0..8).map(|query| (query, (1..=4).map(|step| (query + step) % 8).collect())).collect();
    TrainTask { name: TaskName::new(name), pictures, pairs }
}

/// A resnet18 file with torchvision's names, as a user would give.
fn teacher_file(folder: &TempDir) -> PathBuf {
    file_of(Backbone::Resnet18, folder, "teacher.safetensors")
}

fn file_of(backbone: Backbone, folder: &TempDir, name: &str) -> PathBuf {
    let store = VarStore::new(Device::Cpu);
    Encoder::new(&store.root(), backbone);
    initial::initialise(&store, 3);
    let path = folder.path().join(name);
    weights::save(&store, &path).expect("a weights file");
    path
}

fn context(folder: &TempDir, shots: usize) -> Context {
    let other = Origin::file(teacher_file(folder)).expect("a weights file");
    let vgg19 = Origin::Random { seed: 4, cache: Some(folder.path().to_owned()) };
    let tiny = Origin::Random { seed: 4, cache: None };
    let teachers = Teachers {
        named: BTreeMap::from([("vgg19".to_owned(), vgg19), ("dinov2_tiny14".to_owned(), tiny)]),
        other: Some(other),
    };
    Context {
        device: Device::Cpu,
        seed: 5,
        shots,
        teachers,
        calibration: Some(Rc::new(pictures("calibration", 4).pixels)),
        task: TaskName::new("target"),
        label: "test".to_owned(),
        precision: Precision::F32,
        state_file: None,
        opened: OpenTeachers::default(),
    }
}

fn build(name: &str) -> Built {
    let entry = find(name).expect("a known method");
    (entry.build)(toml::from_str(entry.trial).expect("TOML")).expect("good settings")
}

fn fit(name: &str, folder: &TempDir) -> Box<dyn Fitted> {
    let tasks = [task("first"), task("second")];
    // What sees all train normals of the target takes the first task for it.
    build(name)
        .method
        .fit(&tasks, &context(folder, 2), &mut medfsad::method::Unobserved)
        .expect("a fitted method")
}

/// Image scores under `clean`, scored in batches of `size`, in the given order, returned in natural order.
fn scores(
    (fitted, detector): (&dyn Fitted, &dyn Detector),
    queries: &Pictures,
    order: &[usize],
    size: usize,
) -> Vec<f64> {
    let mut by_index = vec![f64::NAN; queries.len()];
    for batch in order.chunks(size) {
        let values = match predict(fitted, detector, &queries.at(batch)).expect("a prediction") {
            Prediction::Maps(maps) => protocol::of_each(Protocol::Clean, &maps),
            Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
        };
        assert_eq!(values.len(), batch.len());
        batch.iter().zip(values).for_each(|(&index, value)| by_index[index] = value);
    }
    by_index
}

fn assert_close(what: &str, a: &[f64], b: &[f64]) {
    let moved = |(a, b): (&f64, &f64)| (a - b).abs() / a.abs().max(1.0);
    let worst = a.iter().zip(b).map(moved).fold(0.0, f64::max);
    assert!(worst < 1e-5, "{what}: scores move by {worst} of themselves");
}

#[test]
fn no_method_lets_batch_mates_or_order_touch_a_score() {
    let folder = TempDir::new().expect("a folder");
    for entry in METHODS {
        let fitted = fit(entry.name, &folder);
        no_mate_touches_a_score(entry.name, &*fitted);
        predicts_what_it_states(entry.name, &*fitted);
    }
}

fn predicts_what_it_states(name: &str, fitted: &dyn Fitted) {
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let output = match predict(fitted, &*detector, &pictures("query", 1)).expect("a prediction") {
        Prediction::Maps(_) => Output::Maps,
        Prediction::Scores(_) => Output::Scores,
        Prediction::Both(..) => Output::Both,
    };
    let expected = if name == "external" { Output::Unknown } else { output };
    assert_eq!(build(name).output, expected, "{name}");
}

fn no_mate_touches_a_score(name: &str, fitted: &dyn Fitted) {
    let queries = pictures("query", 21);
    let natural: Vec<usize> = (0..21).collect();
    let mut shuffled = natural.clone();
    Stream::new(1, "shuffled", 0).shuffle(&mut shuffled);
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let alone = scores((fitted, &*detector), &queries, &natural, 1);
    assert!(alone.iter().all(|score| score.is_finite()), "{name}: a score is not finite");
    assert_close(name, &alone, &scores((fitted, &*detector), &queries, &natural, 7));
    assert_close(name, &alone, &scores((fitted, &*detector), &queries, &natural, 16));
    assert_close(name, &alone, &scores((fitted, &*detector), &queries, &shuffled, 7));
    other_draws_touch_no_bit(name, fitted, &queries);
}

/// Detectors of several support sets that score the same encoded queries give what each gives by itself.
fn other_draws_touch_no_bit(name: &str, fitted: &dyn Fitted, queries: &Pictures) {
    let supports = pictures("support", 4);
    let draws = [vec![0, 1], vec![2, 3], vec![1, 2]];
    let detectors = draws.map(|draw| fitted.adapt(&supports.at(&draw)).expect("a detector"));
    let detectors: Vec<&dyn Detector> = detectors.iter().map(|detector| &**detector).collect();
    let scored = |detectors: &[&dyn Detector]| -> Vec<Vec<u64>> {
        let mut all = vec![Vec::new(); detectors.len()];
        score(fitted, detectors, queries, Device::Cpu, &mut |place, range, prediction| {
            let values = match prediction {
                Prediction::Maps(maps) => protocol::of_each(Protocol::Clean, &maps),
                Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
            };
            assert_eq!(range, all[place].len()..all[place].len() + values.len(), "{name}");
            all[place].extend(values.iter().map(|value| value.to_bits()));
            Ok(())
        })
        .expect("scores");
        all
    };
    // What is remembered of a support is what is seen of it as a query.
    let one = supports.at(&[3]);
    let of = |encoded: Encoded| match predict_encoded(detectors[0], &encoded).expect("a prediction") {
        Prediction::Maps(maps) => protocol::of_each(Protocol::Clean, &maps),
        Prediction::Scores(values) | Prediction::Both(_, values) => values,
    };
    let as_query = of(fitted.encode(&one).expect("a query"));
    for _ in 0..2 {
        assert_eq!(of(fitted.encode_again(&one).expect("a support")), as_query, "{name}");
    }
    if fitted.ignores_supports() {
        let all: Vec<_> = detectors.iter().map(|detector| scored(&[*detector])).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{name} depends on supports");
    }
    let together = scored(&detectors);
    for (detector, together) in detectors.iter().zip(together) {
        assert_eq!(scored(&[*detector]), [together], "{name}");
    }
}

#[test]
fn every_method_with_a_backbone_takes_efficientnet() {
    let folder = TempDir::new().expect("a folder");
    let lite = Backbone::EfficientNetLite0;
    let mut context = context(&folder, 2);
    context.teachers.named.insert(
        lite.name().to_owned(),
        Origin::file(file_of(lite, &folder, "lite.safetensors")).expect("a file"),
    );
    let mut taken = Vec::new();
    for entry in METHODS {
        if !matches!(build(entry.name).network, Some(Network::Backbone(_))) {
            continue;
        }
        let mut settings: toml::Table = toml::from_str(entry.trial).expect("TOML");
        settings.insert("backbone".to_owned(), lite.name().into());
        let built = (entry.build)(settings).expect("good settings");
        assert_eq!(built.network, Some(Network::Backbone(lite)), "{}", entry.name);
        let tasks = [task("first"), task("second")];
        let fitted = built.method.fit(&tasks, &context, &mut medfsad::method::Unobserved);
        no_mate_touches_a_score(entry.name, &*fitted.expect("a fitted method"));
        taken.push(entry.name);
    }
    let with_a_backbone = [
        "d24fad",
        "dn2",
        "gde",
        "spade",
        "patchcore",
        "padim",
        "subspacead",
        "rd4ad",
        "stfpm",
        "regad",
        "cutpaste",
    ];
    assert_eq!(taken, with_a_backbone);
}

/// Pictures of two patches by two.
fn of_whole_patches(purpose: &str, n: usize) -> Pictures {
    let Pictures { pixels, acquisition } = pictures(purpose, n);
    Pictures { pixels: pixels.narrow(2, 2, 28).narrow(3, 2, 28).contiguous(), acquisition }
}

#[test]
fn methods_of_features_take_a_transformer_and_those_of_stages_refuse_it() {
    let folder = TempDir::new().expect("a folder");
    let mut context = context(&folder, 2);
    context.teachers.other = Some(Origin::Random { seed: 4, cache: None });
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for entry in METHODS {
        // `dpa` calls it `network`, and these two resize pictures themselves.
        if build(entry.name).network.is_none() || ["dpa", "anomalydino", "subspacead"].contains(&entry.name) {
            continue;
        }
        let mut settings: toml::Table = toml::from_str(entry.trial).expect("TOML");
        settings.insert("backbone".to_owned(), "dinov2_tiny14".into());
        let built = match (entry.build)(settings) {
            Ok(built) => built,
            Err(error) => {
                let error = format!("{error:#}");
                assert!(error.contains("dinov2_tiny14 is a transformer"), "{}: {error}", entry.name);
                refused.push(entry.name);
                continue;
            }
        };
        let error = built.check_size(32).expect_err("no whole patches").to_string();
        assert!(error.contains("dinov2_tiny14") && error.contains("224"), "{error}");
        built.check_size(224).expect("whole patches");
        let fitted = built.method.fit(&[], &context, &mut medfsad::method::Unobserved).expect("a method");
        let error = fitted.adapt(&pictures("support", 2)).err().expect("no whole patches").to_string();
        assert!(error.contains("32 is no multiple"), "{error}");
        let detector = fitted.adapt(&of_whole_patches("support", 2)).expect("a detector");
        let queries = of_whole_patches("query", 5);
        let alone = scores((&*fitted, &*detector), &queries, &[0, 1, 2, 3, 4], 1);
        assert!(alone.iter().all(|score| score.is_finite()), "{}: {alone:?}", entry.name);
        assert_close(entry.name, &alone, &scores((&*fitted, &*detector), &queries, &[4, 2, 0, 1, 3], 5));
        taken.push(entry.name);
    }
    assert_eq!(taken, ["dn2", "gde", "spade", "patchcore", "padim"]);
    assert_eq!(refused, ["d24fad", "rd4ad", "stfpm", "regad", "cutpaste"]);
}

#[test]
fn published_smoothing_lets_neighbours_touch_a_score() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit("d24fad", &folder);
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let queries = pictures("query", 16);
    let score =
        |order: &[usize]| match predict(&*fitted, &*detector, &queries.at(order)).expect("a prediction") {
            Prediction::Maps(maps) => protocol::score_maps(&maps)[Protocol::Published].to_vec(),
            _ => panic!("d24fad gives maps alone"),
        };
    let natural: Vec<usize> = (0..16).collect();
    let reversed_halves: Vec<usize> = (8..16).chain(0..8).collect();
    let (a, b) = (score(&natural), score(&reversed_halves));
    let moved = |i: usize| (a[i].expect("kept") - b[(i + 8) % 16].expect("kept")).abs();
    let least = (0..16).map(moved).fold(f64::MAX, f64::min);
    let scores: Vec<f64> = a.iter().map(|score| score.expect("kept")).collect();
    let range =
        scores.iter().fold(f64::MIN, |a, &b| a.max(b)) - scores.iter().fold(f64::MAX, |a, &b| a.min(b));
    println!("neighbours move a published score by {least:.1e} at least; all scores lie within {range:.1e}");
    assert!(moved(0) > 1e-4, "new neighbours moved the published score by {} only", moved(0));
}

#[test]
fn permuted_or_duplicated_supports_leave_d24fad_scores_unchanged() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit("d24fad", &folder);
    let (queries, supports) = (pictures("query", 5), pictures("support", 3));
    let natural: Vec<usize> = (0..5).collect();
    let with = |order: &[usize]| {
        let detector = fitted.adapt(&supports.at(order)).expect("a detector");
        scores((&*fitted, &*detector), &queries, &natural, 5)
    };
    let base = with(&[0, 1, 2]);
    assert_close("permuted", &base, &with(&[2, 0, 1]));
    assert_close("duplicated", &base, &with(&[0, 1, 2, 0, 1, 2]));
}

#[test]
fn a_query_equal_to_its_only_support_has_no_anomaly() {
    let folder = TempDir::new().expect("a folder");
    let fitted = fit("d24fad", &folder);
    let picture = pictures("support", 1);
    let detector = fitted.adapt(&picture).expect("a detector");
    let Prediction::Maps(maps) = predict(&*fitted, &*detector, &picture).expect("a prediction") else {
        panic!("no maps")
    };
    // Where all features are zero a cosine is zero by definition; none are here.
    let highest = maps.values().iter().copied().fold(f32::MIN, f32::max);
    assert!(highest.abs() < 1e-5, "the map of a support rises to {highest}");
}

#[test]
fn training_is_repeatable_and_depends_on_the_seed() {
    let folder = TempDir::new().expect("a folder");
    let run = |seed: u64| -> (Vec<f64>, MapStack) {
        let mut losses = Vec::new();
        let context = Context { seed, ..context(&folder, 2) };
        let tasks = [task("first"), task("second")];
        let mut observer = |_: u64, figures: &medfsad::method::EpochFigures, _: &dyn Fitted| {
            losses.extend(figures.iter().map(|(_, value)| *value));
            Ok(())
        };
        let fitted = build("d24fad").method.fit(&tasks, &context, &mut observer).expect("a fitted method");
        let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
        let Prediction::Maps(maps) = predict(&*fitted, &*detector, &pictures("query", 3)).expect("maps")
        else {
            panic!("no maps")
        };
        (losses, maps)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

/// A context whose teachers may keep features in `kept`, in files as large as `disk` says, in GiB.
fn keeping(folder: &TempDir, memory: f64, disk: f64, kept: &Path) -> Context {
    let limits = FeatureLimits { memory, disk };
    Context { opened: OpenTeachers::keeping(limits.keeping_in(kept.to_owned())), ..context(folder, 2) }
}

#[test]
fn teacher_features_in_memory_and_in_files_train_alike() {
    let folder = TempDir::new().expect("a folder");
    let loss = |memory: f64, disk: f64| -> anyhow::Result<(f64, bool)> {
        let settings = toml::from_str("backbone = 'resnet18'\nepochs = 1\nbatch = 4").expect("TOML");
        let built = (find("d24fad").expect("known").build)(settings).expect("settings");
        let mut loss = 0.0;
        let tasks = [task("first"), task("second")];
        let mut observer = |_: u64, figures: &medfsad::method::EpochFigures, _: &dyn Fitted| {
            loss = figures[0].1;
            Ok(())
        };
        let kept = folder.path().join(format!("{memory} {disk}"));
        let context = keeping(&folder, memory, disk, &kept);
        built.method.fit(&tasks, &context, &mut observer)?;
        Ok((loss, kept.exists()))
    };
    let (in_memory, mapped) = (loss(4.0, 0.0).expect("a loss"), loss(0.0, 4.0).expect("a loss"));
    assert_eq!((in_memory.1, mapped.1), (false, true));
    assert_eq!(in_memory.0, mapped.0, "files gave other bits");
    assert_eq!(loss(4.0, 4.0).expect("a loss"), mapped, "what another training kept gave other bits");
    let error = loss(0.0, 0.0).expect_err("features that may be kept nowhere").to_string();
    assert!(error.contains("pictures take 0.0 GiB") && error.contains("--feature-disk"), "{error}");
}

#[test]
fn what_one_method_keeps_of_queries_others_score_to_the_same_bits() {
    let folder = TempDir::new().expect("a folder");
    let kept = folder.path().join("features");
    let (supports, queries) = (pictures("support", 2), pictures("query", 5));
    let scores = |name: &str, context: &Context| {
        let settings = toml::from_str("backbone = 'resnet18'").expect("TOML");
        let built = (find(name).expect("known").build)(settings).expect("settings");
        let fitted = built.method.fit(&[], context, &mut Unobserved).expect("a fitted method");
        let detector = fitted.adapt(&supports).expect("a detector");
        let mut all = Vec::new();
        score(&*fitted, &[&*detector], &queries, Device::Cpu, &mut |_, _, prediction| {
            all.push(match prediction {
                Prediction::Maps(maps) => maps.values().iter().map(|value| f64::from(*value)).collect(),
                Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
            });
            Ok(())
        })
        .expect("scores");
        all
    };
    let n_files = || std::fs::read_dir(kept.join(medfsad::CODE_HASH)).map_or(0, Iterator::count);
    assert_eq!(scores("dn2", &keeping(&folder, 1.0, 1.0, &kept)), scores("dn2", &context(&folder, 2)));
    // Two supports by themselves, and the queries together.
    assert_eq!(n_files(), 3);
    for name in ["dn2", "patchcore", "spade"] {
        assert_eq!(
            scores(name, &keeping(&folder, 1.0, 1.0, &kept)),
            scores(name, &context(&folder, 2)),
            "{name}"
        );
        assert_eq!(n_files(), 3, "{name} asked the teacher again");
    }
    // Another teacher's features are others.
    let other = Origin::Random { seed: 9, cache: None };
    let teachers = Teachers { named: BTreeMap::new(), other: Some(other) };
    let of_other = |context: Context| scores("dn2", &Context { teachers: teachers.clone(), ..context });
    assert_eq!(of_other(keeping(&folder, 1.0, 1.0, &kept)), of_other(context(&folder, 2)));
    assert_eq!(n_files(), 6);
}

#[test]
fn an_unknown_method_or_setting_is_answered_with_the_known_ones() {
    let error = find("d24fda").err().expect("an error").to_string();
    assert!(error.contains("d24fad") && error.contains("control-random"), "{error}");
    let settings = toml::from_str("epoch = 3").expect("TOML");
    let error = format!("{:#}", (find("d24fad").expect("known").build)(settings).err().expect("an error"));
    assert!(error.contains("epoch") && error.contains("learning_rate"), "{error}");
}

#[test]
fn regimes_on_the_list_are_what_the_harness_hands_over() {
    for entry in METHODS {
        let regime = build(entry.name).regime;
        assert!(entry.regime.starts_with(regime.name()), "{}: {} is not {regime}", entry.name, entry.regime);
        assert!(
            !entry.needs.is_empty() && !entry.cost.is_empty() && !entry.paper.is_empty(),
            "{}",
            entry.name
        );
    }
}

#[test]
fn the_readme_lists_every_method_as_the_program_does() {
    let readme = include_str!("../README.md");
    for e in METHODS {
        let row =
            format!("| `{}` | {} | {} | {} | {} | {} |", e.name, e.about, e.paper, e.regime, e.needs, e.cost);
        assert!(
            readme.contains(&row),
            "README.md lacks this row (`medfsad methods --markdown` prints all):\n{row}"
        );
    }
}
