//! The specification curve, against scipy's maps and AUROCs (`tests/reference/curve.py`).

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::files;
use medfsad::ids::ImageId;
use medfsad::manifest::Label;
use medfsad::maps::MapStack;
use medfsad::protocol::{Protocol, score_maps};
use medfsad::report::curve;
use medfsad::results::{Cell, CellResult, Epoch, FORMAT, KeptMaps, MAPS, Score, Seed, image_level};
use serde_json::Value;

use super::made_up::{identity, provenance};

const SIDE: usize = 24;
const ANOMALOUS: usize = 15;
const N: usize = 37;
const METHODS: [&str; 3] = ["trained", "untrained", "scores"];

/// As the reference makes them.
fn maps(method: usize, seed: usize, best: bool) -> MapStack {
    let best = usize::from(best);
    let value = |k: usize, y: usize, x: usize| {
        let a = k * 7919 + seed * 31 + best * 17 + method * 101;
        let noise = ((a + y * 104_729 + x * 1_299_709 + y * x * (k + 3)) % 1009) as f64 / 1009.0;
        let strength = [1.2, 0.8][method] + 0.3 * best as f64;
        let is_spot = y.abs_diff(k % SIDE) < 3 && x.abs_diff(5 * k % SIDE) < 2;
        let spot =
            if k < ANOMALOUS { strength * ((k * 13 + seed) % 7) as f64 / 6.0 } else { 0.1 * (k % 4) as f64 };
        (noise + if is_spot { spot } else { 0.0 }) as f32
    };
    let values = (0..N * SIDE * SIDE).map(|at| value(at / SIDE / SIDE, at / SIDE % SIDE, at % SIDE));
    MapStack::new(N, SIDE, SIDE, values.collect()).expect("it fits")
}

fn own_score(k: usize, seed: usize) -> f64 {
    ((k * 37 + seed * 5) % 41) as f64 / 41.0 + if k < ANOMALOUS { 0.35 } else { 0.0 }
}

fn write_cell(run: &Path, method: usize, seed: usize, keep: bool) {
    let mut identity = identity(METHODS[method], "lag", 2, 0);
    identity.seed = Seed(seed as u64);
    let has_maps = method < 2;
    let trained = method == 0;
    let last = has_maps.then(|| maps(method, seed, false));
    let best = trained.then(|| maps(method, seed, true));
    let of_last = last.as_ref().map(score_maps);
    let of_best = best.as_ref().or(last.as_ref()).map(score_maps);
    let score = |k: usize| {
        let of = |protocol: Protocol| {
            let all = if protocol.is_of_one_picture() { &of_last } else { &of_best };
            Some((protocol, all.as_ref()?.get(protocol)?[k]?))
        };
        let scores = match has_maps {
            true => Protocol::all().filter_map(of).collect(),
            false => [(Protocol::Clean, own_score(k, seed))].into(),
        };
        Score {
            image_id: ImageId::new(format!("picture-{k}")),
            label: if k < ANOMALOUS { Label::Anomalous } else { Label::Normal },
            finding: "made up".to_owned(),
            group: None,
            p_value: None,
            scores,
        }
    };
    let cell = Cell {
        format: FORMAT,
        id: identity.id(),
        provenance: provenance(METHODS[method], "R1"),
        error: None,
        lacked: None,
        identity,
    };
    let folder = run.join("cells").join(&cell.id);
    let epoch = Epoch { epoch: 1, quantity: "loss".to_owned(), value: Some(0.5) };
    let epochs = if trained { vec![epoch] } else { Vec::new() };
    let scores = (0..N).map(score).collect();
    let mut result = CellResult { cell, scores, metrics: Vec::new(), epochs, folder };
    result.metrics = image_level(&result, Protocol::Clean);
    std::fs::create_dir_all(&result.folder).expect("a folder");
    if let (Some(last), true) = (last, keep) {
        KeptMaps { last, best }.write(&result.folder.join(MAPS)).expect("maps");
    }
    result.write().expect("a cell");
}

fn run(folder: &Path, keep: bool) -> std::path::PathBuf {
    let run = folder.join("run");
    for method in 0..3 {
        for seed in [1, 2] {
            write_cell(&run, method, seed, keep);
        }
    }
    run
}

type Key = Vec<String>;

/// AUROC and rank by choices and method.
fn drawn(run: &Path) -> (BTreeMap<Key, (f64, f64)>, String) {
    let out = run.with_file_name("curve");
    let (text, _) = curve::write(run, None, &out).expect("a curve");
    let table = files::read_text(&out.join("curve.csv")).expect("a table");
    let line = |line: &str| {
        let entries: Vec<String> = line.split(',').map(str::to_owned).collect();
        // The name of smoothing over batches has a comma, so it is quoted and cut.
        let quoted = entries.len() > 10;
        let mut key = entries[1..entries.len() - 2].to_vec();
        if quoted {
            let rest = key.remove(2);
            let whole = format!("{},{rest}", key[1]);
            key[1] = String::from(whole.trim_matches('"'));
        }
        let number = |back: usize| entries[entries.len() - back].parse::<f64>().expect("a number");
        (key, (number(2), number(1)))
    };
    (table.lines().skip(1).map(line).collect(), text)
}

#[test]
fn every_choice_gives_the_auroc_and_rank_of_another_program() {
    let expected: Value = serde_json::from_str(include_str!("../reference/curve.json")).expect("JSON");
    let expected = expected.as_array().expect("rows");
    let folder = tempfile::tempdir().expect("a folder");
    let (found, text) = drawn(&run(folder.path(), true));
    assert_eq!((found.len(), expected.len()), (720, 720));
    let (mut worst, mut other_ranks) = (0.0f64, Vec::new());
    for row in expected {
        let entries = row.as_array().expect("entries");
        let key: Key = entries[..7].iter().map(|entry| entry.as_str().expect("a name").to_owned()).collect();
        let (auroc, rank) = found[&key];
        worst = worst.max((auroc - entries[7].as_f64().expect("a number")).abs());
        if rank != entries[8].as_f64().expect("a number") {
            other_ranks.push(key);
        }
    }
    println!("AUROCs under 240 combinations differ from scipy's by at most {worst:.1e}");
    // The reference is rounded to 12 digits.
    assert!(worst < 1e-11, "{worst:e}");
    assert_eq!(other_ranks, Vec::<Key>::new());
    assert!(text.contains("under 240 combinations") && text.contains("- min-max scaling"), "{text}");
    assert!(!text.contains("not every method has a value"), "{text}");
    let svg = files::read_text(&folder.path().join("curve/curve.svg")).expect("a figure");
    for words in ["sigma 4, over batches", "best epoch", "last batch dropped", "mean over seeds", "untrained"]
    {
        assert!(svg.contains(words), "{words}");
    }
    // The range is that of the combinations.
    let ranges = files::read_text(&folder.path().join("curve/ranges.csv")).expect("a table");
    let line: Vec<&str> =
        ranges.lines().find(|line| line.starts_with("untrained,")).expect("a row").split(',').collect();
    let own =
        || found.iter().filter(|(key, _)| key[6] == "untrained").map(|(_, (auroc, rank))| (*auroc, *rank));
    let number = |column: usize| line[column].parse::<f64>().expect("a number");
    assert!(line[1].starts_with('R'), "methods of different regimes are told apart: {ranges}");
    assert_eq!(number(5), own().map(|own| own.0).fold(f64::INFINITY, f64::min));
    assert_eq!(number(7), own().map(|own| own.0).fold(0.0, f64::max));
    assert_eq!(number(9), own().map(|own| own.1).fold(0.0, f64::max));
}

#[test]
fn without_maps_only_stored_protocols_are_crossed_and_that_is_said() {
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let (all, _) = drawn(&run(folders[0].path(), true));
    let (found, text) = drawn(&run(folders[1].path(), false));
    // Three reductions of the last epoch with and without the last batch, and the two published ones, by two choices of seeds.
    assert_eq!(found.len(), 3 * 2 * (3 * 2 + 2), "{:?}", found.keys());
    for (key, (auroc, _)) in &found {
        assert!((auroc - all[key].0).abs() < 1e-12, "{key:?}: {auroc} and {}", all[key].0);
    }
    assert!(text.contains("- 224 of 240 combinations, since not every method has a value there"), "{text}");
    let unkept =
        "- whatever needs maps that were not kept (bench --keep-maps keeps them), of trained, untrained";
    assert!(text.contains(unkept), "{text}");
}

#[test]
fn maps_that_were_changed_or_are_of_others_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(folder.path(), true);
    let cell = medfsad::results::read_run(&run)
        .expect("a run")
        .into_iter()
        .find(|cell| cell.folder.join(MAPS).exists());
    let path = cell.expect("a cell with maps").folder.join(MAPS);
    let mut bytes = std::fs::read(&path).expect("maps");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).expect("maps");
    let error =
        format!("{:#}", curve::write(&run, None, &run.join("curve")).map(|_| ()).expect_err("changed maps"));
    assert!(error.contains("maps.safetensors is damaged"), "{error}");
    let error = format!(
        "{:#}",
        curve::write(&run, Some(3), &run.join("curve")).map(|_| ()).expect_err("no such shots")
    );
    assert!(error.contains("no cell has 3 shots"), "{error}");
}
