//! Pictures of equal bytes or equal pixels, and copies whose labels differ.

use std::collections::BTreeMap;

use super::near::Pair;
use super::{Finding, Gate, Picture, across};
use crate::manifest::{Label, Rejected, Row, image_id};
use crate::spec::Level;

pub(super) fn gate(rows: &[Row], rejected: &[Rejected], level: Level) -> Gate {
    let asks = "do pictures of equal bytes or pixels stand on two sides, or in two tasks?";
    let mut gate = Gate::new("copies", asks, level);
    if gate.left_out.is_some() {
        return gate;
    }
    let mut within = 0;
    for (a, b) in pairs(rows, |row| row.pixel_hash.as_str()) {
        let what = if same_bytes(a, b) { "byte-identical" } else { "pixel-identical" };
        if across(a, b) {
            gate.findings
                .push(Finding { what: what.to_owned(), pictures: vec![Picture::of(a), Picture::of(b)] });
        } else {
            within += 1;
            gate.notes.push(format!("{what} within one side: {} and {}", by_id(a), by_id(b)));
        }
    }
    if within > 0 {
        let note = format!(
            "{within} copies within one side, which leak nothing but count twice; `build-dataset --drop-copies` keeps one \
             of equal files"
        );
        gate.notes.insert(0, note);
    }
    let left_out: Vec<&Rejected> = rejected.iter().filter(|rejected| rejected.kind == "duplicate").collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for copy in &left_out {
        *counts.entry((&copy.task, copy.finding.as_deref().unwrap_or("?"))).or_default() += 1;
    }
    for ((task, finding), count) in counts {
        gate.notes.push(format!(
            "{count} byte-identical extra copies of {task} {finding} were left out while curating"
        ));
    }
    gate.notes.extend(left_out.iter().map(|copy| said(copy)));
    gate
}

/// Every picture with the first of the same key, and with one on another side where there is one.
fn pairs<'a, K: Ord>(rows: &'a [Row], key: impl Fn(&'a Row) -> K) -> Vec<(&'a Row, &'a Row)> {
    let mut equal: BTreeMap<K, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        equal.entry(key(row)).or_default().push(row);
    }
    let mut pairs = Vec::new();
    for members in equal.into_values() {
        // The first of each task and side.
        let mut firsts: Vec<&Row> = Vec::new();
        for row in members {
            if let Some(first) = firsts.first() {
                pairs.push((*firsts.iter().find(|other| across(other, row)).unwrap_or(first), row));
            }
            if firsts.iter().all(|first| across(first, row)) {
                firsts.push(row);
            }
        }
    }
    pairs
}

fn same_bytes(a: &Row, b: &Row) -> bool {
    a.file_sha256 == b.file_sha256 && a.frame == b.frame
}

/// What nearly equal pictures are called.
const NEAR: &str = "near copies";

/// Whether two pictures are of one patient or group: slices beside each other look alike, and a lesion ends between two.
fn are_of_one(a: &Row, b: &Row) -> bool {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    same(&a.patient_id, &b.patient_id) || same(&a.group_id, &b.group_id)
}

/// Copies and near copies whose labels differ, also those that were left out for it; near copies of one patient or group
/// are noted alone.
pub(super) fn conflicts(rows: &[Row], rejected: &[Rejected], near: &[Pair], level: Level) -> Gate {
    let mut gate =
        Gate::new("label-conflicts", "do copies or near copies of one task have different labels?", level);
    if gate.left_out.is_some() {
        return gate;
    }
    let near = near.iter().map(|pair| (&rows[pair.a], &rows[pair.b], NEAR));
    let equal =
        pairs(rows, |row| (&row.task, row.pixel_hash.as_str())).into_iter().map(|(a, b)| (a, b, "copies"));
    for (a, b, kind) in equal.chain(near).filter(|(a, b, _)| a.task == b.task) {
        let pictures = || vec![Picture::of(a), Picture::of(b)];
        // A label that is not opened contradicts none.
        if [a, b].iter().any(|row| row.label == Label::Unopened) {
            continue;
        }
        if a.label != b.label && kind == NEAR && are_of_one(a, b) {
            let (a, b) = (by_id(a), by_id(b));
            gate.notes.push(format!("{kind} of one patient or group with different labels: {a} and {b}"));
        } else if a.label != b.label {
            gate.findings
                .push(Finding { what: format!("{kind} with different labels"), pictures: pictures() });
        } else if a.finding != b.finding {
            gate.notes.push(format!("{kind} with different findings: {} and {}", by_id(a), by_id(b)));
        }
    }
    let refused = rejected.iter().filter(|rejected| rejected.kind == "label-conflict");
    gate.notes.extend(refused.map(said));
    gate
}

/// A picture in a note, which names no file.
fn by_id(row: &Row) -> Picture {
    Picture::of(row).by_id()
}

/// A file that was left out, by the id that it would have.
fn said(rejected: &Rejected) -> String {
    let Rejected { task, source_path, frame, finding, kind, .. } = rejected;
    format!(
        "left out while curating ({kind}; rejected.parquet names file and reason): {} ({task}, {})",
        image_id(task, source_path, *frame),
        finding.as_deref().unwrap_or("?")
    )
}
