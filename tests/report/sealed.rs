//! Seals of made-up cells: their hashes against Python's, and what no longer matches.

use std::path::Path;

use medfsad::ids::ImageId;
use medfsad::manifest::Label;
use medfsad::metric::Metric;
use medfsad::protocol::Protocol::{Clean, CleanMean};
use medfsad::results::sealed_scores::SealedRun;
use medfsad::results::{Cell, CellResult, FORMAT, Measured, Score, image_level, read_run};

use super::made_up::{identity, provenance};

/// The pictures of `tests/reference/sealed.py`, not in the order of their ids.
fn cell(run: &Path, draw: usize, threshold: Option<f64>) -> CellResult {
    let identity = identity("patchcore", "lag", 2, draw);
    let score = |index: usize| {
        let clean = (index * 37 % 11) as f64 / 7.0 - 0.5;
        let mean = index.is_multiple_of(2).then_some((CleanMean, -clean / 3.0));
        Score {
            image_id: ImageId::new(format!("picture-{index}")),
            label: Label::Unopened,
            finding: "unopened".to_owned(),
            group: None,
            p_value: index.is_multiple_of(3).then(|| 1.0 / (index + 2) as f64),
            scores: [(Clean, clean)].into_iter().chain(mean).collect(),
        }
    };
    let cell = Cell {
        format: FORMAT,
        id: identity.id(),
        provenance: provenance("patchcore", "R1"),
        error: None,
        lacked: None,
        identity,
    };
    let folder = run.join("cells").join(&cell.id);
    let scores = (0..7).rev().map(score).collect();
    let mut result = CellResult { cell, scores, metrics: Vec::new(), epochs: Vec::new(), folder };
    result.metrics = image_level(&result, Clean);
    result
        .metrics
        .extend(threshold.map(|value| {
            Measured::of(Clean, (Metric::ImagePresetThreshold, (Some(value), None)), [0, 0, 7])
        }));
    result.write().expect("the cell is written");
    result
}

#[test]
fn scores_hash_as_another_program_hashes_them() {
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("../reference/sealed.json")).expect("JSON");
    for (threshold, name) in [(None, "without threshold"), (Some(0.25), "with threshold")] {
        let folder = tempfile::tempdir().expect("a folder");
        cell(folder.path(), 0, threshold);
        let sealed = SealedRun::of(&read_run(folder.path()).expect("a run")).expect("a seal");
        assert_eq!(sealed.cells()[0].scores.as_deref(), expected[name].as_str(), "{name}");
        assert_eq!((sealed.cells()[0].pictures, sealed.root().len()), (7, 64));
    }
}

#[test]
fn whatever_is_other_than_it_was_sealed_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path();
    let (first, second, third) = (cell(run, 0, None), cell(run, 1, None), cell(run, 2, None));
    let stored = || read_run(run).expect("a run");
    let path = run.join("seal.json");
    let sealed = SealedRun::of(&stored()).expect("a seal");
    sealed.write(&path).expect("a file");
    let compared = || SealedRun::read(&path).expect("a seal").compare(&stored()).expect("it compares");
    assert_eq!((compared().matching.len(), compared().broken), (3, Vec::new()));
    // Labels are no part of it.
    let mut opened = first.clone();
    for (index, score) in opened.scores.iter_mut().enumerate() {
        score.label = if index < 3 { Label::Normal } else { Label::Anomalous };
        score.finding = "known".to_owned();
    }
    opened.write().expect("a cell");
    assert_eq!(compared().broken, Vec::<String>::new());

    // One bit of one score, a cell that is gone, other weights, and a cell that came afterwards.
    let value = opened.scores[4].scores.get_mut(&Clean).expect("a score");
    *value = f64::from_bits(value.to_bits() ^ 1);
    opened.write().expect("a cell");
    std::fs::remove_dir_all(&second.folder).expect("a folder");
    let mut other = third.clone();
    other.cell.provenance.weights = "others".to_owned();
    other.write().expect("a cell");
    cell(run, 3, None);
    let found = compared();
    assert!(found.matching.is_empty());
    for (what, how) in [
        ("draw 0", "has other scores than were sealed"),
        ("draw 1", "was sealed and is gone"),
        ("draw 2", "has other settings than were sealed"),
        ("draw 3", "is not in the seal: it was computed or imported afterwards"),
    ] {
        assert!(
            found.broken.iter().any(|said| said.contains(what) && said.ends_with(how)),
            "{:?}",
            found.broken
        );
    }

    // A seal is not replaced, and not changed unnoticed.
    let again = SealedRun::of(&stored()).expect("a seal");
    let error = format!("{:#}", again.write(&path).expect_err("another seal"));
    assert!(error.contains("a seal is not replaced") && error.contains(sealed.root()), "{error}");
    let text = std::fs::read_to_string(&path).expect("a text");
    std::fs::write(&path, text.replace("\"draw\": 1", "\"draw\": 4")).expect("a file");
    let error = format!("{:#}", SealedRun::read(&path).expect_err("a changed seal"));
    assert!(error.contains("do not hash to its root"), "{error}");
}
