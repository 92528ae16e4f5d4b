//! Strata, against scipy and the interval's definition in numpy (`tests/reference/strata.py`).

use std::path::{Path, PathBuf};

use medfsad::files;
use medfsad::ids::{ImageId, TaskName};
use medfsad::manifest::Label;
use medfsad::protocol::Protocol;
use medfsad::report;
use medfsad::results::{Cell, CellResult, FORMAT, Score, image_level};
use medfsad::trivia::{Stored, Trivia};
use serde_json::Value;

use super::made_up::{identity, provenance};

const N: usize = 150;
const TASK: &str = "aptos";

fn finding(index: usize) -> (&'static str, f64) {
    match index {
        ..60 => ("no DR", 0.0),
        60..90 => ("mild", 0.2),
        90..130 => ("moderate", 0.5),
        130..145 => ("severe", 0.9),
        _ => ("proliferative", 1.2),
    }
}

fn id(index: usize) -> ImageId {
    ImageId::new(format!("picture-{index:03}"))
}

fn label(index: usize) -> Label {
    if index < 60 { Label::Normal } else { Label::Anomalous }
}

/// A cell of `method`; `permuted` gives every picture the label of another.
fn write_cell(run: &Path, method: &str, draw: usize, permuted: bool) {
    let identity = identity(method, TASK, 2, draw);
    let score = |index: usize| {
        let (name, shift) = finding(index);
        let value = ((index * 7919 + draw * 104_729 + 13) % 1009 / 5) as f64 / 200.0
            + shift * (1.0 - 0.05 * draw as f64);
        Score {
            image_id: id(index),
            label: label(if permuted { 7 * index % N } else { index }),
            finding: name.to_owned(),
            group: (index < 100).then(|| format!("p{}", index % 50)),
            p_value: None,
            scores: [(Protocol::Clean, value)].into(),
        }
    };
    let cell = Cell {
        format: FORMAT,
        id: identity.id(),
        provenance: provenance(method, "R1"),
        error: None,
        lacked: None,
        identity,
    };
    let folder = run.join("cells").join(&cell.id);
    let scores = (0..N).map(score).collect();
    let mut result = CellResult { cell, scores, metrics: Vec::new(), epochs: Vec::new(), folder };
    result.metrics = image_level(&result, Protocol::Clean);
    result.write().expect("the cell is written");
}

fn trivia() -> Stored {
    let text = |text: &str| Some(text.to_owned());
    let row = |index: usize| Trivia {
        image_id: id(index),
        task: TaskName::new(TASK),
        label: label(index),
        group: None,
        file_bytes: 1000 + index as u64,
        width: 640,
        height: 480,
        bits: 8,
        mean: 100.0,
        contrast: 30.0,
        border: 20.0,
        view: [text("AP"), text("PA"), None][index % 3].clone(),
        scanner: text("one for all"),
        site: text(if index.is_multiple_of(10) { "pseudonym z" } else { "pseudonym a" }),
    };
    let manifest_hash = identity("patchcore", TASK, 2, 0).manifest_hash;
    Stored { manifest_hash, size: 64, rows: (0..N).map(row).collect() }
}

/// A run of one method, and of a control whose labels are permuted.
fn run(folder: &Path) -> PathBuf {
    let run = folder.join("run");
    for draw in 0..2 {
        write_cell(&run, "patchcore", draw, false);
        write_cell(&run, "control-label-shuffle", draw, true);
    }
    run
}

fn reported(run: &Path) -> (Vec<Vec<String>>, String) {
    let out = run.with_file_name("report");
    report::write(run, &out).expect("a report");
    let table = files::read_text(&out.join("results/strata.csv")).expect("a table");
    let lines = table.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect();
    (lines, files::read_text(&out.join("leaderboard.md")).expect("a leaderboard"))
}

#[test]
fn strata_have_the_aurocs_and_intervals_of_other_programs() {
    let expected: Value = serde_json::from_str(include_str!("../reference/strata.json")).expect("JSON");
    let expected = expected.as_array().expect("strata");
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(folder.path());
    trivia().write(&run).expect("trivia");
    let (lines, _) = reported(&run);
    let of = |method: &str| -> Vec<&Vec<String>> {
        lines.iter().filter(|line| line[0].starts_with(method)).collect()
    };
    assert_eq!(of("patchcore").len(), expected.len(), "one device for all is no stratum: {lines:?}");
    let mut worst: f64 = 0.0;
    for wanted in expected {
        let found = of("patchcore").into_iter().find(|line| {
            (&*line[4], &*line[5]) == (wanted["by"].as_str().unwrap(), wanted["stratum"].as_str().unwrap())
        });
        let found = found.unwrap_or_else(|| panic!("{wanted} is missing in {lines:?}"));
        assert_eq!(
            (&found[6], &found[7]),
            (&wanted["n_normal"].to_string(), &wanted["n_anomalous"].to_string())
        );
        assert_eq!(found[12], wanted["note"].as_str().unwrap_or_default());
        for (column, name) in [(9, "auroc"), (10, "low"), (11, "high")] {
            match wanted[name].as_f64() {
                Some(value) => worst = worst.max((found[column].parse::<f64>().unwrap() - value).abs()),
                None => assert_eq!(found[column], "", "{name} of {wanted}"),
            }
        }
    }
    println!("strata differ by at most {worst:.1e}");
    // The interval is found by halving 40 times.
    assert!(worst < 1e-11, "{worst:e}");
    assert!(!of("control-label-shuffle").is_empty());
    assert!(of("control-label-shuffle").iter().all(|line| line[9].is_empty() && line[12] == "undefined"));
}

#[test]
fn a_board_says_which_strata_are_too_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(folder.path());
    let (lines, board) = reported(&run);
    assert!(lines.iter().all(|line| line[4] == "finding"), "nobody has looked at the pictures");
    let table = board.split("## By finding").nth(1).expect("a table");
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).expect(start);
    let head =
        "| method | shots | regime | aptos: mild | aptos: moderate | aptos: proliferative | aptos: severe |";
    assert_eq!(line("| method"), head);
    let sizes = "| normal + anomalous | – |  | 60 + 30 | 60 + 40 | 60 + 5 | 60 + 15 |";
    assert_eq!(line("| normal + anomalous"), sizes);
    assert!(line("| patchcore").contains("] | too small | "), "{table}");
    assert!(line("| control-label-shuffle").ends_with("| – | – | – | – |"), "{table}");
    assert!(!board.contains("## By view"));

    trivia().write(&run).expect("trivia");
    let (_, board) = reported(&run);
    for words in
        ["## By view", "aptos: AP | aptos: PA | aptos: not stated |", "## By site", "| 6 + 9 | 54 + 81 |"]
    {
        assert!(board.contains(words), "{words} in {board}");
    }
    assert!(!board.contains("## By scanner") && !board.contains("pseudonym z"), "{board}");
}
