//! Studies of a made-up run whose numbers can be checked by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medfsad::episode::HeldOut;
use medfsad::files;
use medfsad::ids::TaskName;
use medfsad::manifest::{Header, Label, MANIFEST, Manifest, REJECTED, Rejected, Row, Split, image_id};
use medfsad::protocol::Protocol;
use medfsad::report::studies::{self, Choice, Run};
use medfsad::results::{Cell, CellResult, FORMAT, Provenance, Score};
use medfsad::study::aggregator::Aggregator;
use medfsad::study::grouping::{HiddenFindings, Known, studies};
use medfsad::table::{Record, Table};
use tempfile::TempDir;

use crate::made_up;
use crate::report::made_up::{identity, provenance};

mod trained;

/// A slice of a volume; a volume is a patient's.
fn slice(task: &str, volume: usize, index: u32, split: Split, label: Label) -> Row {
    let source_path = format!("{task}/{volume:03}.nii");
    Row {
        image_id: image_id(task, &source_path, index),
        patient_id: Some(format!("{task} patient {volume}")),
        group_id: Some(format!("{task} volume {volume}")),
        slice_index: Some(index),
        frame: index,
        source_path,
        pixel_hash: format!("{task} {volume} {index}"),
        finding: if label == Label::Normal { "no tumour" } else { "tumour" }.to_owned(),
        ..made_up::row(task, "made up", split, label, 0)
    }
}

/// Volumes 0 to 2 of two slices train, 3 to 6 are normal, 7 to 9 have a tumour in their second of three slices.
fn volumes(task: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for volume in 0..10 {
        let n_slices = if volume < 3 { 2 } else { 3 };
        let split = if volume < 3 { Split::Train } else { Split::Test };
        for index in 0..n_slices {
            let is_ill = volume >= 7 && index == 1;
            let label = if is_ill { Label::Anomalous } else { Label::Normal };
            rows.push(slice(task, volume, index, split, label));
        }
    }
    rows
}

fn not_drawn(task: &str, volume: usize, finding: &str) -> Rejected {
    Rejected {
        task: TaskName::new(task),
        source_path: format!("{task}/{volume:03}.nii"),
        frame: 9,
        finding: Some(finding.to_owned()),
        kind: "not-drawn".to_owned(),
        reason: "made up".to_owned(),
    }
}

fn manifest(folder: &Path, mut rows: Vec<Row>, rejected: &[Rejected]) -> Manifest {
    let header = Header::of(&mut rows, ("made-up", 1), "made up", &[32]);
    Row::write(&folder.join(MANIFEST), &rows).unwrap();
    Rejected::write(&folder.join(REJECTED), rejected).unwrap();
    header.write(folder, &[MANIFEST, REJECTED]).unwrap();
    Manifest::read(folder).unwrap()
}

/// Scores every test picture of every task by `score`, in one cell for each draw.
fn score(
    run: &Path,
    manifest: &Manifest,
    as_method: (&str, &str),
    n_draws: usize,
    score: impl Fn(&Row, usize) -> f64,
) {
    score_as(run, manifest, as_method, n_draws, score, |_| ());
}

/// The same, with every cell as `alter` makes it.
fn score_as(
    run: &Path,
    manifest: &Manifest,
    (method, regime): (&str, &str),
    n_draws: usize,
    score: impl Fn(&Row, usize) -> f64,
    alter: impl Fn(&mut Cell),
) {
    for task in manifest.tasks() {
        for draw in 0..n_draws {
            let mut identity = identity(method, &task, 2, draw);
            identity.manifest_hash.clone_from(&manifest.header.canonical_hash);
            let one = |row: &Row| Score {
                image_id: row.image_id.clone(),
                label: row.label,
                finding: row.finding.clone(),
                group: row.patient_id.clone(),
                p_value: None,
                scores: BTreeMap::from([(Protocol::Clean, score(row, draw))]),
            };
            let scores: Vec<Score> = manifest.select(&task, Split::Test).map(one).collect();
            let mut cell = Cell {
                format: FORMAT,
                id: identity.id(),
                provenance: Provenance { random_weights: false, ..provenance(method, regime) },
                error: None,
                lacked: None,
                identity,
            };
            alter(&mut cell);
            cell.id = cell.identity.id();
            let folder = run.join("cells").join(&cell.id);
            CellResult { cell, scores, metrics: Vec::new(), epochs: Vec::new(), folder }.write().unwrap();
        }
    }
}

struct Made {
    folder: TempDir,
    manifest: Manifest,
}

impl Made {
    /// Two tasks of volumes and one of single pictures.
    fn new(rejected: &[Rejected]) -> Made {
        let folder = TempDir::new().unwrap();
        let mut rows = volumes("head");
        rows.extend(volumes("chest"));
        rows.extend((0..4).map(|index| {
            let label = if index < 2 { Label::Normal } else { Label::Anomalous };
            made_up::row("single", "skin", Split::Test, label, index)
        }));
        let manifest = manifest(folder.path(), rows, rejected);
        Made { folder, manifest }
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn board(&self, choice: &Choice) -> (String, PathBuf) {
        let out = self.run().join("studies");
        let run = Run::read(&self.run(), &self.manifest).unwrap();
        (studies::write(&run, &self.manifest, choice, &out).unwrap().0, out)
    }
}

fn number_of(row: &Row) -> usize {
    row.source_path[row.source_path.len() - 7..][..3].parse().unwrap()
}

/// The lesion is seen, but the first slice of every normal volume is higher still.
fn loud_first_slice(row: &Row, _: usize) -> f64 {
    match (row.label, row.slice_index) {
        (Label::Anomalous, _) => 5.0,
        (Label::Normal, Some(0)) if number_of(row) < 7 => 6.0,
        _ => number_of(row) as f64 / 100.0,
    }
}

fn lines(csv: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(csv).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn number(lines: &[BTreeMap<String, String>], method: &str, aggregator: &str, task: &str) -> f64 {
    let is = |line: &&BTreeMap<String, String>| {
        line["method"] == method && line["aggregator"] == aggregator && line["task"] == task
    };
    lines.iter().find(is).unwrap_or_else(|| panic!("no {method} {aggregator} {task}"))["auroc"]
        .parse()
        .unwrap()
}

#[test]
fn slices_are_grouped_by_study_and_volumes_are_studies_where_none_is_named() {
    let mut rows = volumes("head");
    for row in rows.iter_mut().filter(|row| row.source_path.contains("00")) {
        row.study_id = (number_of(row) < 2).then(|| "one examination".to_owned());
    }
    rows.push(made_up::row("head", "skin", Split::Test, Label::Normal, 5));
    let found = studies(rows.iter());
    assert_eq!(found.len(), 9, "two volumes are one study, and the single picture is none");
    assert_eq!(found[0].id, "one examination");
    let order: Vec<(Option<u32>, usize)> =
        found[0].rows.iter().map(|row| (row.slice_index, number_of(row))).collect();
    assert_eq!(order, [(Some(0), 0), (Some(0), 1), (Some(1), 0), (Some(1), 1)]);
    assert_eq!(found[8].n_anomalous(), 1);
    assert_eq!(found[8].unit(), "head patient 9");
}

#[test]
fn what_is_known_of_a_study_follows_from_all_that_is_in_its_files() {
    let mut rows = volumes("head");
    for row in rows.iter_mut().filter(|row| row.source_path.contains("005")) {
        row.label = Label::Unopened;
    }
    let rejected =
        [not_drawn("head", 3, "tumour"), not_drawn("head", 4, "no tumour"), not_drawn("chest", 6, "tumour")];
    let hidden = HiddenFindings::new("head", rows.iter(), &rejected);
    let known: Vec<Known> = studies(rows.iter()).iter().map(|study| hidden.known(study)).collect();
    use Known::{Anomalous, Hidden, Normal, Unopened};
    assert_eq!(
        known,
        [Normal, Normal, Normal, Hidden, Normal, Unopened, Normal, Anomalous, Anomalous, Anomalous]
    );
}

#[test]
fn numbers_of_studies_are_those_of_aggregated_slices() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 2, loud_first_slice);
    let aggregators = vec![Aggregator::Mean, Aggregator::Max, Aggregator::P95];
    let (text, out) = made.board(&Choice { aggregators, ..Choice::default() });
    let found = lines(&out.join("studies.csv"));
    // Normal volumes: maximum 6, mean a little above 2. Ill ones: maximum 5, mean a little above 1.67.
    assert_eq!(number(&found, "own", "max", "head"), 0.0);
    assert_eq!(number(&found, "own", "mean", "chest"), 0.0);
    assert_eq!(number(&found, "own", "max", "mean"), 0.0);
    assert_eq!(number(&found, "control: number of slices", "count", "head"), 0.5);
    assert!(text.contains("| normal + anomalous studies |  |  | 4 + 3 | 4 + 3 |"), "{text}");
    assert!(text.contains("- single, which has no study of several pictures"), "{text}");
    assert!(text.contains("No aggregator was trained"), "{text}");
    let hash = &made.manifest.header.canonical_hash;
    assert!(text.contains(&format!("Benchmark: made up (made-up, version 1), manifest {hash}.")), "{text}");
    assert!(
        text.contains("- own: random teacher, seed 1; seed 1; held out by dataset; settings {}; code c0de"),
        "{text}"
    );
    for line in &found {
        let is_own = line["method"] == "own";
        assert_eq!((&line["manifest_hash"], line["code_hash"] == "c0de"), (hash, is_own));
    }
    let table = Table::read(&out.join("studies.parquet")).unwrap();
    // Three aggregators of two draws and the count, of seven studies in two tasks.
    assert_eq!(table.height(), (3 * 2 + 1) * 7 * 2);
    let slices: Vec<i64> = <u64 as medfsad::table::Field>::of(&table, "n_slices")
        .unwrap()
        .into_iter()
        .map(|n| n as i64)
        .collect();
    assert!(slices.iter().all(|n| *n == 3));
    for name in ["studies.svg", "studies.png", "differences.csv", "studies.md"] {
        assert!(out.join(name).is_file(), "{name}");
    }
}

#[test]
fn the_second_run_writes_the_same_bytes() {
    let made = Made::new(&[]);
    score(&made.run(), &made.manifest, ("own", "R1"), 2, |row, draw| {
        loud_first_slice(row, 0) + ((number_of(row) * 7 + draw * 3) % 5) as f64
    });
    let of = |out: &Path| {
        ["studies.csv", "studies.md", "studies.svg", "studies.parquet"]
            .map(|name| files::read(&out.join(name)).unwrap())
    };
    let (_, out) = made.board(&Choice::default());
    let first = of(&out);
    made.board(&Choice::default());
    assert_eq!(of(&out), first);
}

#[test]
fn a_normal_study_with_a_lesion_that_was_not_drawn_is_left_out_and_said() {
    let made = Made::new(&[not_drawn("head", 3, "tumour")]);
    score(&made.run(), &made.manifest, ("own", "R1"), 1, loud_first_slice);
    let (text, _) = made.board(&Choice::default());
    assert!(text.contains("| 4 + 3 | 3 + 3 |"), "{text}");
    assert!(text.contains("- head: studies whose slices here are all normal, while others"), "{text}");
}

#[test]
fn studies_of_several_files_may_hold_a_lesion_that_was_not_drawn_and_that_is_said() {
    let made = |rejected: &[Rejected]| {
        let folder = TempDir::new().unwrap();
        let mut rows = volumes("head");
        for row in &mut rows {
            row.study_id = row.group_id.take();
            row.source_path = format!("{}/{}.dcm", row.source_path, row.frame);
        }
        Made { manifest: manifest(folder.path(), rows, rejected), folder }
    };
    let board = |made: &Made| {
        score(&made.run(), &made.manifest, ("own", "R1"), 1, |row, _| f64::from(row.frame));
        made.board(&Choice::default()).0
    };
    let text = board(&made(&[not_drawn("head", 3, "tumour")]));
    let said = "of which nobody knows the study (1): of the studies that span several files and are called normal (4)";
    assert!(text.contains(said) && text.contains("| 4 + 3 |"), "{text}");
    let text = board(&made(&[not_drawn("head", 3, "no tumour")]));
    assert!(!text.contains("of which nobody knows the study"), "{text}");
}

#[test]
fn the_rule_of_what_is_held_out_is_that_of_the_first_cell_that_has_one() {
    let made = Made::new(&[]);
    let rule = || Run::read(&made.run(), &made.manifest).unwrap().held_out();
    let add = |method: &str, rule: HeldOut| {
        let alter = |cell: &mut Cell| cell.identity.held_out = rule;
        score_as(&made.run(), &made.manifest, (method, "R1"), 1, loud_first_slice, alter);
    };
    add("control-border", HeldOut::None);
    assert_eq!(rule(), HeldOut::Dataset);
    add("own", HeldOut::Organ);
    assert_eq!(rule(), HeldOut::Organ);
}

#[test]
fn a_run_without_studies_or_of_another_benchmark_is_refused() {
    let folder = TempDir::new().unwrap();
    let rows =
        (0..4).map(|index| made_up::row("single", "skin", Split::Test, Label::Normal, index)).collect();
    let manifest = manifest(folder.path(), rows, &[]);
    let run = folder.path().join("run");
    score(&run, &manifest, ("own", "R1"), 1, |_, _| 1.0);
    let error = studies::write(
        &Run::read(&run, &manifest).unwrap(),
        &manifest,
        &Choice::default(),
        &folder.path().join("out"),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("no task of this run has a study"), "{error}");
    let other = Made::new(&[]);
    let error = Run::read(&run, &other.manifest).err().unwrap().to_string();
    assert!(error.contains("is of another benchmark"), "{error}");
}
