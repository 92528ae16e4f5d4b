//! A spec without an audit's findings: the pictures that it leaves out or keeps on one side, and what is found then.

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::audit::{Report, remedied};
use medfsad::manifest::{Manifest, Rejected, Split};
use medfsad::spec::{OwnerSplit, Spec};
use medfsad::table::Record;

use super::all_pairs::raw_with_copies;
use super::{audit, gate};

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
    let request = medfsad::curate::Request {
        spec: &spec,
        raw: raw.path(),
        out: out.path(),
        partial: false,
        key: &medfsad::pseudonym::Key::PUBLIC,
    };
    let remarks = medfsad::curate::build(&request).unwrap().remarks;
    let told = "left_out and together name 1 pictures that are not here, such as 0123456789abcdef";
    assert!(remarks.iter().any(|remark| remark.contains(told)), "{remarks:?}");
}
