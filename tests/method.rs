//! One contract for every method: a score depends on the model, the supports and that one picture.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use medfsad::episode::batch::{Acquisition, Pictures};
use medfsad::ids::TaskName;
use medfsad::maps::MapStack;
use medfsad::method::batches::{predict, predict_encoded, score};
use medfsad::method::{
    Built, Context, Detector, Encoded, Fitted, METHODS, OpenTeachers, Output, Prediction, TrainTask, find,
};
use medfsad::network::encoder::Encoder;
use medfsad::network::origin::{Origin, Teachers};
use medfsad::network::precision::Precision;
use medfsad::network::{Backbone, initial, weights};
use medfsad::protocol::{self, Protocol};
use medfsad::random::Stream;
use medfsad::regime::Regime;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

mod backbones;
mod batches;
mod control;
mod external;
mod features;
mod geometry;
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
    Pictures::new(pixels, acquisition)
}

fn task(name: &str) -> TrainTask {
    let pictures = pictures(name, 8);
    let pairs = (0..8).map(|query| (query, (1..=4).map(|step| (query + step) % 8).collect())).collect();
    let anomalies = Some(self::pictures(&format!("{name}, ill"), 5));
    let pool = Some(self::pictures(&format!("{name}, unlabelled"), 6));
    TrainTask { name: TaskName::new(name), pictures, pairs, anomalies, pool }
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
        named: BTreeMap::from([
            ("vgg19".to_owned(), vgg19),
            ("dinov2_tiny14".to_owned(), tiny.clone()),
            ("clip_tiny16".to_owned(), tiny),
        ]),
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

/// A detector of these supports, beside which a method is given as many anomalies if its trial's regime says so.
fn adapted<'f>(name: &str, fitted: &'f dyn Fitted, supports: &Pictures) -> Box<dyn Detector + 'f> {
    let detector = match build(name).regime {
        Regime::TargetAnomalies => fitted.adapt_with_anomalies(supports, &pictures("ill", supports.len())),
        _ => fitted.adapt(supports),
    };
    detector.expect("a detector")
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
    let detector = adapted(name, fitted, &pictures("support", 2));
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
    let detector = adapted(name, fitted, &pictures("support", 2));
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
    let detectors = draws.map(|draw| adapted(name, fitted, &supports.at(&draw)));
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
fn every_method_with_a_paper_can_be_cited() {
    for entry in METHODS.iter().filter(|entry| entry.paper.contains("arXiv ")) {
        let bibtex = medfsad::report::cite::of_method(entry.name).unwrap_or_else(|| panic!("{}", entry.name));
        let number =
            entry.paper.split("arXiv ").nth(1).expect("a number").split([' ', ',']).next().expect("one");
        assert!(bibtex.contains(&format!("eprint = {{{number}}}")), "{}: {bibtex}", entry.name);
        assert_eq!(bibtex.matches('{').count(), bibtex.matches('}').count(), "{}", entry.name);
    }
}

#[test]
fn the_book_lists_every_method_as_the_program_does() {
    let page = include_str!("../docs/methods.md");
    for e in METHODS {
        let row =
            format!("| `{}` | {} | {} | {} | {} | {} |", e.name, e.about, e.paper, e.regime, e.needs, e.cost);
        assert!(
            page.contains(&row),
            "docs/methods.md lacks this row (`medfsad methods --markdown` prints all):\n{row}"
        );
    }
}
