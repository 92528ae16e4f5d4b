//! A bench on pictures with lesion masks: every metric is there, defined where it can be and empty where it cannot.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use image::{GrayImage, Luma};
use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::random::Stream;
use medfsad::results::CellResult;
use tempfile::TempDir;

const SPEC: &str = "
name = 'plates'
version = 1
title = 'plates'
seed = 1
sizes = [64]
[[task]]
name = 'steel'
organ = 'steel'
modality = 'camera'
anomaly = 'stain'
source = 'folders'
folder = 'steel'
normal = ['good']
train_normal = 20
masks = 'steel_masks'
[[task.anomalous]]
findings = ['stain']
[[task]]
name = 'brass'
organ = 'brass'
modality = 'camera'
anomaly = 'stain'
source = 'folders'
folder = 'brass'
normal = ['good']
train_normal = 20
[[task.anomalous]]
findings = ['stain']
";

const BENCH: &str = "
name = 'plates'
spec = 'plates'
size = 64
methods = ['patchcore', 'stfpm']
shots = [1, 3]
draws = 1
seeds = [1]
episode_seed = 1
teacher_seed = 1
[settings.patchcore]
backbone = 'resnet18'
[settings.stfpm]
steps = 1
batch = 2
";

/// A noisy plate, with a bright stain where `stain` says.
fn plate(stream: &mut Stream, stain: Option<(u32, u32)>) -> GrayImage {
    let inside = |x, y, (left, top)| x >= left && x < left + 14 && y >= top && y < top + 14;
    GrayImage::from_fn(64, 64, |x, y| {
        let noise = stream.below(12) as u8;
        Luma([if stain.is_some_and(|stain| inside(x, y, stain)) { 230 - noise } else { 60 + noise }])
    })
}

fn write(path: &Path, picture: &GrayImage) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

fn raw(home: &Path) {
    for task in ["steel", "brass"] {
        let mut stream = Stream::new(1, task, 0);
        for index in 0..30 {
            write(&home.join(format!("raw/{task}/good/{index:02}.png")), &plate(&mut stream, None));
        }
        for index in 0..8 {
            let stain = (stream.below(50) as u32, stream.below(50) as u32);
            let name = format!("stain/{index:02}.png");
            write(&home.join(format!("raw/{task}/{name}")), &plate(&mut stream, Some(stain)));
            let mask = GrayImage::from_fn(64, 64, |x, y| {
                let inside = x >= stain.0 && x < stain.0 + 14 && y >= stain.1 && y < stain.1 + 14;
                Luma([if inside { 255 } else { 0 }])
            });
            // One stain has no mask: its pixels count for nothing.
            if task == "steel" && index > 0 {
                write(&home.join(format!("raw/steel_masks/{name}")), &mask);
            }
        }
    }
}

fn medfsad(home: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
    command.current_dir(home).args(arguments).env("MEDFSAD_CACHE", home.join("cache"));
    command.env("XDG_CONFIG_HOME", home.join("config")).env_remove("MEDFSAD_KEY");
    let output = command.output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
}

#[test]
fn a_bench_with_masks_measures_pixels_and_a_threshold_from_supports() {
    let home = TempDir::new().unwrap();
    raw(home.path());
    std::fs::write(home.path().join("plates.toml"), SPEC).unwrap();
    std::fs::write(home.path().join("bench.toml"), BENCH).unwrap();
    medfsad(home.path(), &["build-dataset", "--spec", "plates.toml", "--raw", "raw"]);
    medfsad(home.path(), &["bench", "--bench", "bench.toml", "--device", "cpu", "--teacher", "random"]);
    let cells = crate::program::cells(&home.path().join("reports/plates"));
    let find = |method: &str, task: &str, shots: usize| -> &CellResult {
        let is_it = |cell: &&CellResult| {
            let i = &cell.cell.identity;
            (i.method.as_str(), i.task.as_str(), i.shots) == (method, task, shots)
        };
        cells.iter().find(is_it).expect("a cell")
    };
    let values = |cell: &CellResult| -> BTreeMap<String, Option<f64>> {
        let clean = cell.metrics.iter().filter(|metric| metric.protocol == Protocol::Clean);
        clean.map(|metric| (metric.metric.to_string(), metric.value)).collect()
    };

    let patchcore = find("patchcore", "steel", 3);
    let found = values(patchcore);
    let value = |name: &str| found[name].unwrap_or_else(|| panic!("{name} is undefined"));
    // Even random features find a bright stain.
    for name in ["image-auroc", "image-ap", "pixel-auroc", "pixel-aupro-30", "pixel-pointing"] {
        assert!(value(name) > 0.8, "{name} is {}", value(name));
    }
    assert!(value("pixel-dice-max") >= value("pixel-preset-dice") && value("pixel-energy") > 0.0);
    assert_eq!(found["pixel-aupimo"], None, "ten small normal pictures are too few for rates of 1e-5");
    assert_eq!(value("image-preset-promised-fpr"), 0.25);
    let left_out = patchcore.metrics.iter().find(|metric| metric.metric == Metric::PixelAuroc).unwrap();
    assert_eq!((left_out.n_anomalous, left_out.n_normal, left_out.n_left_out), (7, 10, 1));
    // The p-values are the shares that the supports leave, and the threshold is where the smallest begin.
    let threshold = value("image-preset-threshold");
    for score in &patchcore.scores {
        let p = score.p_value.unwrap();
        assert!([0.25, 0.5, 0.75, 1.0].contains(&p));
        assert_eq!(p == 0.25, score.under(Protocol::Clean).unwrap() > threshold);
    }
    assert!(patchcore.cell.provenance.latency_seconds.is_some_and(|seconds| seconds > 0.0));

    // One support sets no threshold, nor does a method that would have to train again for each.
    for cell in [find("patchcore", "steel", 1), find("stfpm", "steel", 3)] {
        let found = values(cell);
        assert_eq!((found["image-preset-mcc"], found["pixel-preset-dice"]), (None, None));
        assert!(found["pixel-ap"].is_some() && cell.scores.iter().all(|score| score.p_value.is_none()));
    }
    // Without masks, and without maps, there is nothing to measure pixels by.
    for cell in [find("patchcore", "brass", 3), find("control-random", "steel", 3)] {
        assert!(!values(cell).keys().any(|name| name.starts_with("pixel-")));
    }
    assert!(values(find("control-random", "steel", 3))["image-preset-fpr"].is_some(), "controls set one too");
}
