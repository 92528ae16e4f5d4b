//! Stored results that were changed after they were written: refused by name, never a number.

use std::fs;
use std::path::{Path, PathBuf};

use medfsad::files;
use medfsad::manifest::Label;
use medfsad::protocol::Protocol;
use medfsad::report;
use medfsad::results::{CellResult, GALLERY, Measured, Score, StoredCell, read_run, read_runs};
use medfsad::table::Record;
use serde_json::Value;
use tempfile::TempDir;

use super::made_up::{METHODS, run_of};
use crate::program::cells;

/// A run of a trained method and a control, and one cell of the control.
fn run() -> (TempDir, PathBuf, CellResult) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &[METHODS[0], METHODS[3]]);
    let control = |result: &CellResult| result.cell.identity.method == "control-border";
    let cell = cells(&run).into_iter().find(control).expect("a control");
    (folder, run, cell)
}

/// What the reader says of the cell in `folder`, which it must give no number of.
fn altered(folder: &Path) -> String {
    let result = StoredCell::read(folder).expect("a cell").whole().expect("no table of it");
    assert!(result.scores.is_empty() && result.metrics.is_empty() && result.epochs.is_empty());
    result.cell.altered().expect("an altered cell").to_owned()
}

/// The report says so too, and counts the cell as failed.
fn is_reported(run: &Path, words: &str) {
    let out = run.join("report");
    report::write(run, &out).expect("a report");
    let board = fs::read_to_string(out.join("leaderboard.md")).expect("a leaderboard");
    assert!(board.contains(&format!("altered: {words}")), "{board}");
    assert!(board.contains(", 1 failed)"), "{board}");
}

/// That a cell whose table was edited has no numbers, and is reported so.
fn edited<T: Record>(table: &str, edit: impl Fn(&mut Vec<T>)) {
    let (_folder, run, cell) = run();
    let path = cell.folder.join(table);
    let mut rows = T::read(&path).expect("a table");
    edit(&mut rows);
    T::write(&path, &rows).expect("a table");
    let words = format!("{table} is not what was written");
    assert!(altered(&cell.folder).starts_with(&words));
    is_reported(&run, &words);
}

#[test]
fn edited_scores_are_no_numbers() {
    edited("scores.parquet", |scores: &mut Vec<Score>| {
        for score in scores {
            let label = f64::from(u8::from(score.label == Label::Anomalous));
            score.scores.values_mut().for_each(|value| *value = label);
        }
    });
}

#[test]
fn edited_metrics_are_no_numbers() {
    edited("metrics.parquet", |metrics: &mut Vec<Measured>| metrics[0].value = Some(0.999));
}

#[test]
fn a_table_that_is_gone_is_no_number() {
    let (_folder, _, cell) = run();
    fs::remove_file(cell.folder.join("epochs.parquet")).expect("a table");
    assert!(altered(&cell.folder).starts_with("epochs.parquet is not what was written"));
}

#[test]
fn a_renamed_method_is_another_identity() {
    let (_folder, run, cell) = run();
    let path = cell.folder.join("cell.json");
    let text = fs::read_to_string(&path).expect("a cell").replace("control-border", "our-method");
    fs::write(&path, text).expect("a cell");
    assert!(altered(&cell.folder).contains("and the identity of"));
    is_reported(&run, "cell.json has the id");
}

#[test]
fn edited_circumstances_are_found() {
    let (_folder, _, cell) = run();
    let path = cell.folder.join("cell.json");
    let text = fs::read_to_string(&path).expect("a cell");
    let edited = text.replace("\"fit_seconds\": 12.5", "\"fit_seconds\": 0.5");
    assert_ne!(text, edited);
    fs::write(&path, edited).expect("a cell");
    assert!(altered(&cell.folder).starts_with("cell.json is not what was written"));
}

#[test]
fn a_failed_cell_cannot_be_turned_into_another_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &[METHODS[1]]);
    let cells = read_run(&run).expect("a run");
    let failed = cells.iter().find(|result| result.cell.error.is_some()).expect("a failed cell");
    let path = failed.folder.join("cell.json");
    let text = fs::read_to_string(&path).expect("a cell").replace("3 GiB", "1 GiB");
    fs::write(&path, text).expect("a cell");
    assert!(altered(&failed.folder).starts_with("cell.json is not what was written"));
}

#[test]
fn a_backup_beside_a_cell_decides_nothing() {
    let (_folder, run, cell) = run();
    let backup = cell.folder.with_file_name("a-backup");
    fs::create_dir(&backup).expect("a folder");
    for entry in fs::read_dir(&cell.folder).expect("a cell") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), backup.join(entry.file_name())).expect("a copy");
    }
    assert!(altered(&backup).contains("is not called so"));
    let error = format!("{:#}", read_run(&run).expect_err("two copies"));
    for word in ["a-backup", cell.cell.id.as_str(), "remove the one that is wrong"] {
        assert!(error.contains(word), "{error}");
    }
}

/// Another computation of a cell, in a run of its own.
fn elsewhere(folder: &Path, cell: &CellResult, change: impl FnOnce(&mut CellResult)) -> PathBuf {
    let run = folder.join("elsewhere");
    let mut other = cell.clone();
    other.folder = run.join("cells").join(&cell.cell.id);
    change(&mut other);
    other.write().expect("a cell");
    run
}

#[test]
fn copies_of_a_cell_that_differ_are_refused_in_any_order() {
    let (folder, run, cell) = run();
    let other = elsewhere(folder.path(), &cell, |other| other.metrics[0].value = Some(0.999));
    let errors = [[run.clone(), other.clone()], [other, run]]
        .map(|runs| format!("{:#}", read_runs(&runs).expect_err("copies that differ")));
    for error in errors {
        assert!(error.contains(cell.cell.id.as_str()) && error.contains("elsewhere"), "{error}");
    }
}

#[test]
fn copies_with_the_same_numbers_count_once_and_the_order_of_runs_decides_nothing() {
    let (folder, run, cell) = run();
    let other = elsewhere(folder.path(), &cell, |other| other.cell.provenance.fit_seconds = Some(99.0));
    let read = |runs: [PathBuf; 2]| -> Vec<_> {
        let results = read_runs(&runs).expect("runs");
        results.into_iter().map(|result| result.cell).collect()
    };
    let one = read([run.clone(), other.clone()]);
    assert_eq!(one, read([other, run.clone()]));
    assert_eq!(one.len(), read_run(&run).expect("a run").len());
}

#[test]
fn a_cell_that_failed_in_one_run_and_not_in_another_has_its_numbers() {
    let (folder, run, cell) = run();
    let other = elsewhere(folder.path(), &cell, |other| other.cell.error = Some("a full disk".to_owned()));
    let runs = [[run.clone(), other.clone()], [other, run]];
    for results in runs.map(|runs| read_runs(&runs).expect("runs")) {
        assert!(results.iter().all(|result| result.cell.error.is_none()));
    }
}

#[test]
fn an_exchanged_gallery_is_refused_by_name() {
    let (_folder, run, _) = run();
    let cells = read_run(&run).expect("a run");
    let with: Vec<&StoredCell> = cells.iter().filter(|result| result.folder.join(GALLERY).exists()).collect();
    fs::copy(with[0].folder.join(GALLERY), with[1].folder.join(GALLERY)).expect("another gallery");
    let error = report::write(&run, &run.join("report")).expect_err("an exchanged gallery");
    assert!(format!("{error:#}").contains("is not what was written with its cell"), "{error:#}");
}

/// A score that is no number is neither written nor, where somebody sealed one, read.
#[test]
fn a_score_that_is_no_number_is_not_stored_and_not_read() {
    let (_folder, run, mut cell) = run();
    let path = cell.folder.join("scores.parquet");
    let stored = fs::read(&path).expect("a table");
    cell.scores[3].scores.insert(Protocol::Clean, f64::NAN);
    let error = cell.write().expect_err("no number").to_string();
    assert!(error.contains(cell.scores[3].image_id.as_str()) && error.contains("no number"), "{error}");
    assert_eq!(fs::read(&path).expect("a table"), stored, "nothing was written");

    Score::write(&path, &cell.scores).expect("a table");
    let seal = |name: &str| files::fingerprint_file(&cell.folder.join(name)).expect("a hash");
    let mut json: Value =
        serde_json::from_str(&fs::read_to_string(cell.folder.join("cell.json")).expect("a cell"))
            .expect("JSON");
    json["seal"]["files"]["scores.parquet"] = seal("scores.parquet").into();
    let parts = (cell.cell.clone(), json["seal"]["files"].clone());
    json["seal"]["cell"] = files::fingerprint(&serde_json::to_vec(&parts).expect("JSON")).into();
    fs::write(cell.folder.join("cell.json"), json.to_string()).expect("a cell");
    let error = format!("{:#}", report::write(&run, &run.join("report")).expect_err("no number"));
    assert!(error.contains("column `clean` of") && error.contains("row 3 is no number"), "{error}");
}

/// Every file of a report in a run's folder, and the user's own, with its bytes.
fn files_of(run: &Path) -> Vec<(String, Vec<u8>)> {
    let files = medfsad::files::walk(run).expect("a folder").into_iter();
    let files = files.filter(|name| !name.starts_with("cells/"));
    files.map(|name| (name.clone(), fs::read(run.join(name)).expect("a file"))).collect()
}

#[test]
fn a_report_that_fails_leaves_the_old_one_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[..2]);
    report::write(&run, &run).expect("a report");
    fs::write(run.join("notes.txt"), "mine").expect("a file");
    fs::write(run.join("figures/of-an-earlier-report.svg"), "stale").expect("a file");
    let before = files_of(&run);
    // One cell is damaged since, so that every table would be another; galleries are read after the tables are written.
    let cells = fs::read_dir(run.join("cells")).expect("cells").map(|cell| cell.expect("a cell").path());
    let mut cells: Vec<PathBuf> = cells.collect();
    cells.sort();
    let place = cells.iter().position(|cell| cell.join(GALLERY).exists()).expect("a gallery");
    let gallery = cells.remove(place).join(GALLERY);
    fs::write(cells[0].join("metrics.parquet"), "damaged").expect("a file");
    let whole = fs::read(&gallery).expect("a gallery");
    fs::write(&gallery, "damaged").expect("a file");
    let error = report::write(&run, &run).expect_err("a damaged gallery").to_string();
    assert!(error.contains(GALLERY), "{error}");
    assert_eq!(files_of(&run), before);
    assert!(
        !fs::read_dir(&run)
            .expect("a run")
            .any(|entry| { entry.expect("an entry").file_name().to_string_lossy().starts_with('.') })
    );

    fs::write(&gallery, whole).expect("a file");
    report::write(&run, &run).expect("a report");
    let after = files_of(&run);
    let named = |files: &[(String, Vec<u8>)], name: &str| {
        files.iter().find(|file| file.0 == name).map(|file| file.1.clone())
    };
    assert!(
        named(&after, "notes.txt").is_some() && named(&after, "figures/of-an-earlier-report.svg").is_none()
    );
    for name in ["index.html", "leaderboard.md", "results/metrics.csv"] {
        assert!(named(&after, name).is_some() && named(&after, name) != named(&before, name), "{name}");
    }
}
