//! What can be done about findings: a sentence for each gate, and the spec without them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::{Gate, Outcome, Picture, Report};
use crate::ids::{ImageId, TaskName};
use crate::manifest::{Row, Split};
use crate::spec::{OwnerSplit, Spec};

/// Added to the name of a spec without an audit's findings.
const SUFFIX: &str = "-remedied";

/// What to do about findings of this gate, as a sentence.
pub(super) fn advice(gate: &Gate) -> Option<String> {
    let advice = match (gate.outcome(), gate.name.as_str()) {
        (Outcome::Pass | Outcome::LeftOut, _) => return None,
        (_, "patients") => {
            "a published division has this fault (owner_split = \"exact\"): set owner_split = \"respect\" to divide by \
             patient, or leave out what trains with `audit --remedy SPEC.toml`; a replayed id list has it where it \
             was made without patients: build without --replay"
        }
        (_, "copies") => {
            "keep one copy of equal files with `build-dataset --drop-copies`; copies in two tasks, and files that \
             differ but hold equal pixels, are left out by `audit --remedy SPEC.toml`"
        }
        (_, "near-copies" | "embedding-neighbours") => {
            "look at the pairs, then keep them on one side with `audit --remedy SPEC.toml`; it leaves one out where \
             they stand in two tasks or the division is the owner's. Where names of files tell patients apart, \
             `build-dataset --group-by REGEX` keeps their pictures together from the start"
        }
        (_, "label-conflicts") => {
            "correct the label where the owner's files lie, or leave both pictures out with `audit --remedy SPEC.toml`"
        }
        (_, "shortcuts") => {
            "no picture is at fault: read the methods beside the controls that know these numbers alone, and the \
             adjusted AUROC, both in every report; view, scanner and site can be told with the spec's `taken`"
        }
        (_, "privacy") => {
            "de-identify the raw files before you hand them on; manifests, exports and reports hold none of this"
        }
        (_, "file-names") => {
            "rename the files and build again before ids or paths are published; --freeze-paths and --paths publish paths"
        }
        (_, name) => unreachable!("gate {name} has no remedy"),
    };
    Some(advice.to_owned())
}

/// A spec without an audit's findings.
pub struct Remedied {
    /// With `left_out` and `together` filled in.
    pub spec: Spec,
    /// Pictures that it newly leaves out.
    pub n_left_out: usize,
    /// Pictures that it newly keeps with another.
    pub n_together: usize,
}

/// The spec of the curated pictures without what the gates on patients, copies, near copies, neighbours and labels
/// found; `None` where they found nothing.
///
/// Two pictures of one task are kept on one side. One of them is left out where they stand in two tasks or where the
/// division is the owner's to the letter: of a training, a validation and a test picture the first, of two on one
/// side the one of the later task. Of contradicting labels both go. A new draw may bring new copies, so it is to be
/// audited again.
///
/// # Errors
/// A finding in a task that the spec does not have.
pub fn remedied(spec: &Spec, rows: &[Row], report: &Report) -> Result<Option<Remedied>> {
    let mut left_out: BTreeSet<(TaskName, ImageId)> = BTreeSet::new();
    let mut ties: Vec<(&Picture, &Picture)> = Vec::new();
    for picture in pairs(report, &["label-conflicts"]).flat_map(|(a, b)| [a, b]) {
        left_out.insert(name(picture));
    }
    if report.gates.iter().any(|gate| gate.name == "patients" && !gate.findings.is_empty()) {
        left_out.extend(divided_patients(spec, rows)?);
    }
    for (a, b) in pairs(report, &["copies", "near-copies", "embedding-neighbours"]) {
        if [a, b].iter().any(|picture| left_out.contains(&name(picture))) {
            continue;
        }
        if a.task == b.task && spec.task(&a.task)?.owner_split != OwnerSplit::Exact {
            ties.push((a, b));
        } else {
            left_out.insert(name(first_to_go(spec, a, b)?));
        }
    }
    let mut spec = Spec { name: without_suffix(&spec.name).to_owned() + SUFFIX, ..spec.clone() };
    let (n_left_out, mut n_together) = (left_out.len(), 0);
    for task in &mut spec.tasks {
        let ids = left_out.iter().filter(|(of, _)| *of == task.name).map(|(_, id)| id.clone());
        task.left_out.extend(ids);
        let tied = ties.iter().filter(|(a, _)| a.task == task.name);
        let pairs: Vec<_> = tied.map(|(a, b)| [a.image_id.clone(), b.image_id.clone()]).collect();
        n_together += pairs.iter().flatten().collect::<BTreeSet<_>>().len();
        task.together = joined(std::mem::take(&mut task.together), pairs);
    }
    Ok((n_left_out + n_together > 0).then_some(Remedied { spec, n_left_out, n_together }))
}

/// The pairs that gates of these names found.
fn pairs<'a>(report: &'a Report, gates: &'a [&str]) -> impl Iterator<Item = (&'a Picture, &'a Picture)> {
    let gates = report.gates.iter().filter(|gate| gates.contains(&gate.name.as_str()));
    gates.flat_map(|gate| &gate.findings).filter_map(|finding| match &finding.pictures[..] {
        [a, b] => Some((a, b)),
        _ => None,
    })
}

fn name(picture: &Picture) -> (TaskName, ImageId) {
    (picture.task.clone(), picture.image_id.clone())
}

/// Of the patients and groups that an owner's division puts on several sides, all but what stands on the last of them.
fn divided_patients(spec: &Spec, rows: &[Row]) -> Result<Vec<(TaskName, ImageId)>> {
    let mut members: BTreeMap<(&TaskName, u8, &str), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if spec.task(&row.task)?.owner_split != OwnerSplit::Exact {
            continue;
        }
        let keys = [(0, &row.patient_id), (1, &row.group_id)];
        for (kind, key) in keys.into_iter().filter_map(|(kind, key)| Some((kind, key.as_deref()?))) {
            members.entry((&row.task, kind, key)).or_default().push(row);
        }
    }
    let first_sides = |members: Vec<&Row>| {
        let last = members.iter().map(|row| to_keep(row.split)).max();
        let goes = move |row: &&Row| Some(to_keep(row.split)) < last;
        members
            .into_iter()
            .filter(goes)
            .map(|row| (row.task.clone(), row.image_id.clone()))
            .collect::<Vec<_>>()
    };
    Ok(members.into_values().flat_map(first_sides).collect())
}

/// How much rather a picture of this side is kept.
fn to_keep(split: Split) -> u8 {
    match split {
        Split::Train => 0,
        Split::Val => 1,
        Split::Test => 2,
    }
}

/// Which of two pictures is left out.
fn first_to_go<'a>(spec: &Spec, a: &'a Picture, b: &'a Picture) -> Result<&'a Picture> {
    let place = |picture: &Picture| -> Result<_> {
        let place = spec.tasks.iter().position(|task| task.name == picture.task).context("no such task")?;
        Ok((to_keep(Split::parse(&picture.split)?), std::cmp::Reverse(place)))
    };
    Ok(if place(a)? < place(b)? { a } else { b })
}

/// Groups that share no picture, from groups and pairs that may.
fn joined(groups: Vec<Vec<ImageId>>, pairs: Vec<[ImageId; 2]>) -> Vec<Vec<ImageId>> {
    let mut joined: Vec<BTreeSet<ImageId>> =
        groups.into_iter().map(|group| group.into_iter().collect()).collect();
    for pair in pairs {
        let (met, mut others): (Vec<_>, Vec<_>) =
            joined.into_iter().partition(|group| pair.iter().any(|id| group.contains(id)));
        others.push(met.into_iter().flatten().chain(pair).collect());
        joined = others;
    }
    let mut joined: Vec<Vec<ImageId>> = joined.into_iter().map(|group| group.into_iter().collect()).collect();
    joined.sort();
    joined
}

fn without_suffix(name: &str) -> &str {
    name.strip_suffix(SUFFIX).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_share_a_picture_are_one() {
        let ids = |names: &[&str]| names.iter().map(|name| ImageId::new(*name)).collect::<Vec<_>>();
        let pair = |a: &str, b: &str| [ImageId::new(a), ImageId::new(b)];
        let groups = vec![ids(&["a", "b"]), ids(&["x", "y"])];
        let pairs = vec![pair("c", "d"), pair("m", "n"), pair("d", "b")];
        assert_eq!(joined(groups, pairs), [ids(&["a", "b", "c", "d"]), ids(&["m", "n"]), ids(&["x", "y"])]);
    }
}
