//! A spec without an audit's findings: the pictures that it leaves out or keeps on one side, and what is found then.

use std::collections::BTreeMap;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use medfsad::audit::{Outcome, Report, remedied};
use medfsad::curate::{Request, build};
use medfsad::files;
use medfsad::manifest::{Manifest, Rejected, Row, Split};
use medfsad::pseudonym::Key;
use medfsad::random::Stream;
use medfsad::spec::{OwnerSplit, Spec};
use medfsad::table::Record;
use tempfile::TempDir;

use super::all_pairs::raw_with_copies;
use super::{audit, encoded, gate};
use crate::program::{medfsad, text};

const LEAKS: [&str; 4] = ["patients", "copies", "near-copies", "label-conflicts"];

fn n_findings(report: &Report) -> usize {
    LEAKS.iter().map(|name| gate(report, name).findings.len()).sum()
}

/// Audits and remedies until nothing is left to remedy; the last spec and the number of findings of each round.
fn remedied_throughout(spec: &Spec, raw: &Path, out: &Path) -> (Spec, Vec<usize>) {
    let (mut spec, mut found) = (spec.clone(), Vec::new());
    loop {
        let report = audit(&spec, raw, out);
        found.push(n_findings(&report));
        assert!(found.len() < 8, "{found:?}");
        let manifest = Manifest::read(out).unwrap();
        match remedied(&spec, &manifest.rows, &report).unwrap() {
            // As it is written and read again.
            Some(remedied) => spec = Spec::parse(&toml::to_string(&remedied.spec).unwrap()).unwrap(),
            None => return (spec, found),
        }
    }
}

#[test]
fn a_published_division_loses_its_training_copies_and_what_has_two_labels_and_no_more() {
    let (raw, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spec = raw_with_copies(3, raw.path());
    let report = audit(&spec, raw.path(), out.path());
    let before = Manifest::read(out.path()).unwrap().rows;
    let (remedied, found) = remedied_throughout(&spec, raw.path(), out.path());
    assert!(found[0] > 10, "{found:?}");
    assert_eq!(found[1..], [0], "without a draw one round is enough");
    assert_eq!(remedied.name, "p-remedied");
    assert!(remedied.tasks.iter().all(|task| task.together.is_empty()));

    let after = Manifest::read(out.path()).unwrap().rows;
    let in_findings: Vec<&str> = LEAKS
        .iter()
        .flat_map(|name| &gate(&report, name).findings)
        .flat_map(|finding| finding.pictures.iter().map(|picture| picture.image_id.as_str()))
        .collect();
    let of_two_labels: Vec<&str> = gate(&report, "label-conflicts")
        .findings
        .iter()
        .flat_map(|finding| finding.pictures.iter().map(|picture| picture.image_id.as_str()))
        .collect();
    let is_kept = |id: &str| after.iter().any(|row| *row.image_id == *id);
    for row in &before {
        let id = row.image_id.as_str();
        if !in_findings.contains(&id) {
            assert!(is_kept(id), "{} leaks nothing", row.source_path);
        }
        if of_two_labels.contains(&id) {
            assert!(!is_kept(id), "{} has two labels", row.source_path);
        }
    }
    for finding in &gate(&report, "near-copies").findings {
        let [a, b] = &finding.pictures[..] else { panic!("two pictures") };
        assert!(!is_kept(&a.image_id) || !is_kept(&b.image_id), "{a} and {b}");
        let train = |split: &str| split == Split::Train.name();
        if train(&a.split)
            && !train(&b.split)
            && !of_two_labels.contains(&b.image_id.as_str())
            && a.task == b.task
        {
            assert!(!is_kept(&a.image_id), "{a} trains");
        }
    }
    let rejected = Rejected::read(&out.path().join("rejected.parquet")).unwrap();
    assert!(rejected.iter().all(|row| row.kind == "left-out" && row.reason.contains("left_out")));
    assert_eq!(rejected.len(), before.len() - after.len());
    assert_eq!(rejected.len(), remedied.tasks.iter().map(|task| task.left_out.len()).sum::<usize>());
}

#[test]
fn where_sides_are_drawn_copies_are_kept_and_stand_on_one_side() {
    let (raw, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spec = raw_with_copies(1, raw.path());
    spec.tasks.truncate(1);
    (spec.tasks[0].owner_split, spec.tasks[0].train_normal) = (OwnerSplit::Pool, Some(12));
    let (remedied, found) = remedied_throughout(&spec, raw.path(), out.path());
    assert!(found[0] > 0 && found.last() == Some(&0), "{found:?}");
    let task = &remedied.tasks[0];
    assert!(!task.together.is_empty());
    let rows = Manifest::read(out.path()).unwrap().rows;
    assert_eq!(
        rows.iter().filter(|row| row.split == Split::Train).count(),
        12,
        "training is as large as asked for"
    );
    let sides: BTreeMap<&str, Split> = rows.iter().map(|row| (row.image_id.as_str(), row.split)).collect();
    for group in &task.together {
        let sides: Vec<&Split> = group.iter().filter_map(|id| sides.get(id.as_str())).collect();
        assert!(sides.windows(2).all(|pair| pair[0] == pair[1]), "{group:?}: {sides:?}");
    }
}

#[test]
fn ids_that_no_picture_bears_are_told_and_groups_that_cannot_be_are_refused() {
    let raw = tempfile::tempdir().unwrap();
    let spec = raw_with_copies(3, raw.path());
    let text = toml::to_string(&spec).unwrap();
    let with = |line: &str| {
        Spec::parse(&text.replacen("owner_split = \"exact\"", &format!("owner_split = \"exact\"\n{line}"), 1))
    };
    let refused = |line: &str| format!("{:#}", with(line).expect_err(line));
    assert!(refused("together = [[\"a\", \"b\"]]").contains("not heeded where owner_split = \"exact\""));
    let pooled = text.replacen("owner_split = \"exact\"", "test_normal = 4", 1);
    let pooled = |groups: &str| {
        let parsed =
            Spec::parse(&pooled.replacen("test_normal", &format!("together = {groups}\ntest_normal"), 1));
        format!("{:#}", parsed.expect_err(groups))
    };
    assert!(pooled("[[\"a\"]]").contains("give at least two image ids"));
    assert!(pooled("[[\"a\", \"b\"], [\"b\", \"c\"]]").contains("b is named twice; make one group of both"));
    let spec = with("left_out = [\"0123456789abcdef\"]").unwrap();
    let out = tempfile::tempdir().unwrap();
    let remarks = built(&spec, raw.path(), out.path()).remarks;
    let told = "left_out and together name 1 pictures that are not here, such as 0123456789abcdef";
    assert!(remarks.iter().any(|remark| remark.contains(told)), "{remarks:?}");
}

/// Noise in files of these names below `a`; the same number gives the same bytes.
fn raw(files: &[(&str, u64)]) -> TempDir {
    let raw = tempfile::tempdir().unwrap();
    for &(name, seed) in files {
        let mut stream = Stream::new(seed, "pictures", 0);
        let picture = GrayImage::from_fn(40, 40, |_, _| Luma([stream.below(256) as u8]));
        let bytes = encoded(&DynamicImage::ImageLuma8(picture), ImageFormat::Png);
        files::write_unsynced(&raw.path().join("a").join(name), &bytes).unwrap();
    }
    raw
}

fn spec(task: &str) -> Spec {
    Spec::parse(&format!(
        "name = \"p\"\nversion = 1\ntitle = \"p\"\nseed = 1\nsizes = [32]\n[[task]]\nname = \"a\"\norgan = \"a\"\n\
         modality = \"m\"\nanomaly = \"bad\"\nsource = \"folders\"\nfolder = \"a\"\nnormal = [\"good\"]\n{task}"
    ))
    .unwrap()
}

fn built(spec: &Spec, raw: &Path, out: &Path) -> medfsad::curate::Outcome {
    build(&Request { spec, raw, out, partial: false, key: &Key::PUBLIC }).unwrap()
}

/// The spec without findings, built and audited; its pictures by name.
fn after_one_round(spec: &Spec, raw: &Path) -> (Spec, Report, BTreeMap<String, Split>) {
    let out = tempfile::tempdir().unwrap();
    let report = audit(spec, raw, out.path());
    assert!(report.fails());
    let remedied = remedied(spec, &Manifest::read(out.path()).unwrap().rows, &report).unwrap().unwrap().spec;
    let report = audit(&remedied, raw, out.path());
    (remedied, report, sides(&Manifest::read(out.path()).unwrap().rows))
}

fn sides(rows: &[Row]) -> BTreeMap<String, Split> {
    rows.iter().map(|row| (row.source_path.clone(), row.split)).collect()
}

#[test]
fn a_patient_of_a_published_division_who_is_tested_trains_no_more_and_the_counts_follow() {
    let raw = raw(&[
        ("train/good/P1_1.png", 1),
        ("train/good/P1_2.png", 2),
        ("train/good/P2_1.png", 3),
        ("test/good/P1_3.png", 4),
        ("test/bad/P3_1.png", 5),
    ]);
    let spec = spec(
        "owner_split = \"exact\"\npatients = '([^/_]+)_[^/]*$'\ntrain_normal = 3\ntest_normal = 1\n\
         [[task.anomalous]]\nfindings = [\"*\"]\ncount = 1\n",
    );
    let (remedied, report, sides) = after_one_round(&spec, raw.path());
    assert_eq!(gate(&report, "patients").outcome(), Outcome::Pass);
    assert_eq!((remedied.version, remedied.tasks[0].train_normal), (2, Some(1)));
    assert_eq!((remedied.tasks[0].test_normal, remedied.tasks[0].anomalous[0].count), (Some(1), Some(1)));
    let expected = [
        ("a/test/bad/P3_1.png", Split::Test),
        ("a/test/good/P1_3.png", Split::Test),
        ("a/train/good/P2_1.png", Split::Train),
    ];
    assert_eq!(sides, expected.map(|(name, side)| (name.to_owned(), side)).into());
}

#[test]
fn of_equal_pictures_on_three_sides_one_is_left_and_none_where_labels_contradict() {
    let raw = raw(&[
        ("train/good/1.png", 1),
        ("train/good/2.png", 2),
        ("val/good/1.png", 1),
        ("test/good/1.png", 1),
        ("test/good/3.png", 3),
        ("test/good/4.png", 3),
        ("test/bad/3.png", 3),
        ("test/bad/5.png", 5),
    ]);
    let spec = spec(
        "owner_split = \"exact\"\nowner_validation = \"val\"\n[[task.anomalous]]\nfindings = [\"bad\"]\n",
    );
    let (_, report, sides) = after_one_round(&spec, raw.path());
    assert_eq!(n_findings(&report), 0);
    let names: Vec<&str> = sides.keys().map(String::as_str).collect();
    assert_eq!(names, ["a/test/bad/5.png", "a/test/good/1.png", "a/train/good/2.png"]);
}

#[test]
fn no_copy_takes_the_place_of_what_is_left_out_and_no_shuffle_changes_for_it() {
    let pictures: Vec<String> = (0..12).map(|index| format!("good/{index:02}.png")).collect();
    let mut files: Vec<(&str, u64)> = pictures.iter().map(String::as_str).zip(10..).collect();
    files.extend([("good/copy.png", 10), ("bad/1.png", 1)]);
    let raw = raw(&files);
    let shuffled = "owner_split = \"exact\"\nduplicates = \"drop\"\n[task.shuffle]\nseed = 3\ntrain = 6\n\
                    [[task.anomalous]]\nfindings = [\"bad\"]\n";
    let out = tempfile::tempdir().unwrap();
    let mut spec = spec(shuffled);
    built(&spec, raw.path(), out.path());
    let rows = Manifest::read(out.path()).unwrap().rows;
    let mut before = sides(&rows);
    let gone = rows.iter().find(|row| row.source_path == "a/good/00.png").unwrap();
    spec.tasks[0].left_out = vec![gone.image_id.clone()];
    built(&spec, raw.path(), out.path());
    let after = sides(&Manifest::read(out.path()).unwrap().rows);
    before.remove("a/good/00.png");
    assert_eq!(after, before);
    assert!(!after.contains_key("a/good/copy.png"));
    let rejected = Rejected::read(&out.path().join("rejected.parquet")).unwrap();
    let kinds: BTreeMap<&str, &str> =
        rejected.iter().map(|row| (row.source_path.as_str(), row.kind.as_str())).collect();
    assert_eq!(kinds, [("a/good/00.png", "left-out"), ("a/good/copy.png", "duplicate")].into());
}

#[test]
fn near_copies_of_one_patient_may_have_two_labels() {
    let raw = raw(&[("train/good/P1_1.png", 1), ("train/good/P2_1.png", 2), ("test/good/P3_1.png", 3)]);
    let slice = image::open(raw.path().join("a/test/good/P3_1.png")).unwrap();
    let next = encoded(&slice.brighten(3), ImageFormat::Png);
    files::write_unsynced(&raw.path().join("a/test/bad/P3_2.png"), &next).unwrap();
    let (out, bad) = (tempfile::tempdir().unwrap(), "[[task.anomalous]]\nfindings = [\"bad\"]\n");
    let found = |patients: &str| {
        let report =
            audit(&spec(&format!("owner_split = \"exact\"\n{patients}{bad}")), raw.path(), out.path());
        let gate = gate(&report, "label-conflicts");
        (
            gate.findings.len(),
            gate.notes.iter().filter(|note| note.contains("of one patient or group")).count(),
        )
    };
    assert_eq!(found(""), (1, 0));
    assert_eq!(found("patients = '([^/_]+)_[^/]*$'\n"), (0, 1));
}

#[test]
fn the_program_writes_a_spec_that_passes_and_overwrites_no_other_file() {
    let raw = raw(&[
        ("good/P1_1.png", 1),
        ("good/P1_2.png", 2),
        ("good/P2_1.png", 3),
        ("good/P2_2.png", 3),
        ("good/P3_1.png", 4),
        ("bad/P4_1.png", 5),
        ("bad/P5_1.png", 3),
    ]);
    let home = tempfile::tempdir().unwrap();
    let written =
        toml::to_string(&spec("train_normal = 2\n[[task.anomalous]]\nfindings = [\"bad\"]\n")).unwrap();
    std::fs::write(home.path().join("own.toml"), &written).unwrap();
    let say = |arguments: &[&str]| {
        let raw = raw.path().to_str().unwrap();
        let arguments: Vec<&str> =
            arguments.iter().map(|word| if *word == "RAW" { raw } else { word }).collect();
        let output = medfsad(home.path(), &arguments);
        (output.status.success(), text(&output))
    };
    let gates = "--gate=patients,copies,label-conflicts";
    assert!(say(&["build-dataset", "--spec", "own.toml", "--raw", "RAW"]).0);
    let (passed, said) = say(&["audit", "manifests/p", gates, "--remedy", "own.toml"]);
    assert!(!passed && said.contains("own.toml is there and no remedy; give another name"), "{said}");
    assert_eq!(std::fs::read_to_string(home.path().join("own.toml")).unwrap(), written);
    let (passed, said) = say(&["audit", "manifests/p", gates, "--remedy", "better.toml"]);
    assert!(!passed && said.contains("3 pictures left out, 0 kept together"), "{said}");
    assert!(said.contains("gates that did not run: near-copies, embedding-neighbours"), "{said}");
    assert!(said.contains("remedy: correct the label"), "{said}");
    assert!(say(&["build-dataset", "--spec", "better.toml", "--raw", "RAW"]).0);
    assert!(say(&["audit", "manifests/p-remedied", gates]).0);

    let options = ["--group-by", "([^/_]+)_[^/]*$", "--drop-copies", "--out", "grouped"];
    let (built, said) =
        say(&[&["build-dataset", "--spec", "own.toml", "--raw", "RAW"][..], &options].concat());
    assert!(built, "{said}");
    let rows = Manifest::read(&home.path().join("grouped")).unwrap().rows;
    let names: Vec<&str> = rows.iter().map(|row| row.source_path.as_str()).collect();
    assert_eq!(names.len(), 4, "all three copies go, since their labels contradict: {names:?}");
    assert!(rows.iter().all(|row| row.patient_id.is_some()));
    let of_first: Vec<Split> =
        rows.iter().filter(|row| row.source_path.contains("P1_")).map(|row| row.split).collect();
    assert_eq!(of_first.len(), 2);
    assert_eq!(of_first[0], of_first[1]);
}

#[test]
fn an_exact_division_asks_for_less_by_what_is_left_out_of_each_part() {
    let raw = raw(&[
        ("train/good/1.png", 1),
        ("val/good/3.png", 3),
        ("test/x/3.png", 3),
        ("test/good/6.png", 6),
        ("val/y/6.png", 6),
        ("val/good/10.png", 10),
        ("val/y/11.png", 11),
        ("test/good/7.png", 7),
        ("test/x/8.png", 8),
        ("test/y/9.png", 9),
    ]);
    let spec = spec(
        "owner_split = \"exact\"\nowner_validation = \"val\"\ntrain_normal = 1\nval_normal = 2\ntest_normal = 2\n\
         [[task.anomalous]]\nfindings = [\"*\"]\ncount = 1\nval = 2\n\
         [[task.anomalous]]\nfindings = [\"x\"]\ncount = 2\n",
    );
    let (remedied, report, sides) = after_one_round(&spec, raw.path());
    assert_eq!((n_findings(&report), sides.len()), (0, 6));
    let task = &remedied.tasks[0];
    assert_eq!((task.train_normal, task.val_normal, task.test_normal), (Some(1), Some(1), Some(1)));
    let quotas: Vec<_> = task.anomalous.iter().map(|quota| (quota.count, quota.val)).collect();
    assert_eq!(quotas, [(Some(1), Some(1)), (Some(1), None)]);
}

#[test]
fn what_a_gate_only_warns_of_is_left_alone() {
    let (raw, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spec = raw_with_copies(3, raw.path());
    let warn = medfsad::spec::Level::Warn;
    (spec.audit.near_copies, spec.audit.copies, spec.audit.label_conflicts) = (warn, warn, warn);
    let report = audit(&spec, raw.path(), out.path());
    assert!(n_findings(&report) > 10);
    assert!(remedied(&spec, &Manifest::read(out.path()).unwrap().rows, &report).unwrap().is_none());
}

#[test]
fn a_copy_in_another_task_hides_no_contradicting_label() {
    let raw = raw(&[
        ("train/good/1.png", 1),
        ("test/good/3.png", 3),
        ("test/bad/3.png", 3),
        ("train/good/4.png", 4),
    ]);
    let other = raw.path().join("b");
    files::write_unsynced(
        &other.join("train/good/3.png"),
        &files::read(&raw.path().join("a/test/bad/3.png")).unwrap(),
    )
    .unwrap();
    files::write_unsynced(
        &other.join("test/bad/1.png"),
        &files::read(&raw.path().join("a/train/good/4.png")).unwrap(),
    )
    .unwrap();
    let mut spec = spec("owner_split = \"exact\"\n[[task.anomalous]]\nfindings = [\"bad\"]\n");
    let mut second = spec.tasks[0].clone();
    (second.name, second.folder) = (medfsad::ids::TaskName::new("0"), "b".to_owned());
    spec.tasks.push(second);
    let out = tempfile::tempdir().unwrap();
    built_anyway(&spec, raw.path(), out.path());
    let report = medfsad::audit::run(&Manifest::read(out.path()).unwrap(), &spec.audit, None, None).unwrap();
    let conflicts = &gate(&report, "label-conflicts").findings;
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
}

/// With a part of a task that has no picture.
fn built_anyway(spec: &Spec, raw: &Path, out: &Path) {
    build(&Request { spec, raw, out, partial: true, key: &Key::PUBLIC }).unwrap();
}
