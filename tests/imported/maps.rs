//! Maps of another program: read as numpy writes them, and measured as maps that are computed here.

use std::fs;
use std::path::{Path, PathBuf};

use medfsad::imported::map_file;
use medfsad::manifest::{Label, Manifest, Row, Split};
use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::results::CellResult;
use serde_json::Value;

use super::home;
use crate::program::{cells, command, succeeds, text};

const SIDE: usize = 64;

fn reference() -> Value {
    serde_json::from_str(include_str!("../reference/imported_maps.json")).expect("JSON")
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().expect("numbers").iter().map(|number| number.as_f64().expect("a number")).collect()
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

#[test]
fn files_of_numpy_are_read_value_for_value_or_refused() {
    let expected = reference();
    for (name, key) in [("map_f4.npy", "f4"), ("map_f8.npy", "f8")] {
        let found = map_file::read(&file(name), 8).expect("a map");
        let wanted: Vec<f32> = floats(&expected[key]).into_iter().map(|value| value as f32).collect();
        assert_eq!(found, wanted, "{name}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let whole = fs::read(file("map_f4.npy")).expect("a file");
    let planted = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        path
    };
    let mut with_nan = whole.clone();
    let last = with_nan.len() - 4;
    with_nan[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    for (path, side, reason) in [
        (file("map_f4.npy"), 9, "its shape is (8, 8), and the run's pictures are 9 x 9"),
        (file("map_fortran.npy"), 8, "not in C order"),
        (file("map_i4.npy"), 8, "its numbers are `<i4`"),
        (planted("cut.npy", &whole[..whole.len() - 1]), 8, "cut off"),
        (planted("short.npy", &whole[..9]), 8, "cut off"),
        (planted("text.npy", b"1,2,3"), 8, "no .npy file"),
        (planted("nan.npy", &with_nan), 8, "NaN"),
        (folder.path().join("absent.npy"), 8, "absent.npy"),
    ] {
        let error = format!("{:#}", map_file::read(&path, side).expect_err(reason));
        assert!(error.contains(reason) && error.contains(".npy"), "{error}");
    }
    // Whatever is cut off is refused, and nothing panics.
    for length in 0..whole.len() {
        assert!(map_file::read(&planted("any.npy", &whole[..length]), 8).is_err(), "{length} bytes");
    }
}

/// As `numpy.save` writes it.
fn npy(values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({SIDE}, {SIDE}), }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Map `k` of `tests/reference/imported_maps.py`.
fn map(k: usize) -> Vec<f32> {
    let value = |at: usize| {
        let (y, x) = (at / SIDE, at % SIDE);
        let noise = ((k * 7919 + y * 104_729 + x * 1_299_709) % 1009) as f64 / 1009.0;
        let is_near = y.abs_diff(k % SIDE).pow(2) + x.abs_diff(3 * k % SIDE).pow(2) < 36;
        (noise + if is_near { (k % 5) as f64 / 4.0 } else { 0.0 }) as f32
    };
    (0..SIDE * SIDE).map(value).collect()
}

/// The test pictures of `lag` in class-sorted order.
fn tested(manifest: &Manifest) -> Vec<&Row> {
    let mut rows: Vec<&Row> = manifest.select("lag", Split::Test).collect();
    rows.sort_by(|a, b| (b.label, &a.source_path).cmp(&(a.label, &b.source_path)));
    rows
}

/// Imports a table with `columns` beside the id, a line for each picture; returns the cell.
fn imported(home: &Path, name: &str, columns: &str, line: impl Fn(usize, &Row) -> String) -> CellResult {
    let manifest = Manifest::read(&home.join("manifests/phantom")).expect("a manifest");
    let lines: String = tested(&manifest)
        .into_iter()
        .enumerate()
        .map(|(k, row)| format!("{},{}\n", row.image_id, line(k, row)))
        .collect();
    let table = home.join(format!("tables/{name}.csv"));
    fs::write(&table, format!("image_id,{columns}\n{lines}")).expect("a table");
    succeeds(home, &import(&table.display().to_string(), name));
    let found = cells(&home.join("run")).into_iter();
    found.into_iter().find(|cell| cell.cell.identity.method == format!("imported:{name}")).expect("a cell")
}

fn import(table: &str, method: &str) -> Vec<String> {
    let words =
        ["import-scores", table, "--method", method, "--bench", "run", "--regime", "R0", "--shots", "2"];
    let words = [&words[..], &["--all-draws", "--manifest", "manifests/phantom"]].concat();
    words.into_iter().map(str::to_owned).collect()
}

fn scores(cell: &CellResult, protocol: Protocol) -> Vec<Option<f64>> {
    cell.scores.iter().map(|score| score.under(protocol)).collect()
}

#[test]
fn maps_are_scored_under_every_protocol_and_measured_against_masks() {
    let home = home();
    let home = home.path();
    fs::create_dir_all(home.join("tables/maps")).expect("a folder");
    let manifest = Manifest::read(&home.join("manifests/phantom")).expect("a manifest");
    let store = manifest.task("lag").expect("a task").store(SIDE).expect("a store");
    for (k, row) in tested(&manifest).into_iter().enumerate() {
        let save = |name: String, values: &[f32]| {
            fs::write(home.join("tables/maps").join(name), npy(values)).expect("a map");
        };
        save(format!("{k}.npy"), &map(k));
        let mask = row.mask_hash.as_ref().filter(|_| row.label == Label::Anomalous);
        let mask = mask
            .map(|hash| store.mask(hash).expect("a mask").iter().map(|&v| f32::from(v) / 255.0).collect());
        save(format!("mask-{k}.npy"), &mask.unwrap_or(vec![0.0; SIDE * SIDE]));
    }

    let cell = imported(home, "maps", "map", |k, _| format!("maps/{k}.npy"));
    let expected = reference();
    let mut worst: f64 = 0.0;
    for (name, wanted) in expected["protocols"].as_object().expect("protocols") {
        let found = scores(&cell, Protocol::parse(name).expect("a protocol"));
        for (found, wanted) in found.iter().zip(floats(wanted)) {
            worst = worst.max((found.expect("a score") - wanted).abs());
        }
    }
    println!("scores of maps differ from scipy's by at most {worst:.1e}");
    // Maps are smoothed in single precision between axes.
    assert!(worst < 1e-6, "{worst:e}");
    assert!(cell.metric(Protocol::Published, Metric::ImageAuroc).expect("measured").value.is_some());
    assert!(cell.metric(Protocol::CleanMean, Metric::ImageAp).is_none(), "as in cells that are computed");

    // A program's own scores stay; protocols that reduce otherwise read the maps.
    let both = imported(home, "both", "score,map", |k, _| format!("{k},maps/{k}.npy"));
    assert!(scores(&both, Protocol::Clean).iter().enumerate().all(|(k, score)| *score == Some(k as f64)));
    assert_eq!(scores(&both, Protocol::CleanTop1), scores(&cell, Protocol::CleanTop1));

    // Maps that are the masks peak inside them.
    let masks = imported(home, "masks", "map", |k, _| format!("maps/mask-{k}.npy"));
    let value = |metric| masks.metric(Protocol::Clean, metric).expect("measured").value.expect("defined");
    assert_eq!((value(Metric::PixelPointing), value(Metric::ImageAuroc)), (1.0, 1.0));
    assert!(value(Metric::PixelAuroc) > 0.98, "{}", value(Metric::PixelAuroc));
    let said = succeeds(home, &["verify", "run", "--manifest", "manifests/phantom"]);
    assert!(said.contains("cells are what was written, 0 of them failed"), "{said}");

    // Of a table that names a file which is not there, or maps of some pictures only, nothing is taken.
    let table = fs::read_to_string(home.join("tables/maps.csv")).expect("a table");
    for (wrong, reason) in [
        (table.replace("maps/7.npy", "maps/absent.npy"), "absent.npy"),
        (table.replace("maps/7.npy", ""), "column `map` is partly empty"),
    ] {
        fs::write(home.join("tables/wrong.csv"), wrong).expect("a table");
        let output = command(home, &import("tables/wrong.csv", "wrong")).output().expect("it runs");
        assert!(!output.status.success() && text(&output).contains(reason), "{}", text(&output));
    }
    assert!(cells(&home.join("run")).iter().all(|cell| cell.cell.identity.method != "imported:wrong"));
}
