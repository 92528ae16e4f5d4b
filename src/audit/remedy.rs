//! What can be done about findings: a sentence for each gate, and the spec without them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};

use super::{Gate, Outcome, Report};
use crate::ids::{ImageId, TaskName};
use crate::manifest::{Label, Row, Split};
use crate::spec::{OwnerSplit, Spec, Task};

/// Added to the name of a spec without an audit's findings.
const SUFFIX: &str = "-remedied";

/// What to do about findings of this gate, as a sentence.
pub(super) fn advice(gate: &Gate) -> Option<String> {
    let advice = match (gate.outcome(), gate.name.as_str()) {
        (Outcome::Pass | Outcome::LeftOut, _) => return None,
        (_, "patients") => {
            "a published division has this fault (owner_split = \"exact\"): leave out all but the last side with \
             `audit --remedy SPEC.toml`, or, but for divisions by shuffle, set owner_split = \"respect\"; a replayed id \
             list has it where it was made without patients: build without --replay"
        }
        (_, "copies") => {
            "`audit --remedy SPEC.toml` leaves out those that train, or those of the later task; where sides are \
             drawn, `build-dataset --drop-copies` keeps one of equal files from the start"
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
    /// With `left_out` and `together` filled in, of another name and the next version.
    pub spec: Spec,
    /// Pictures that it newly leaves out.
    pub n_left_out: usize,
    /// Pictures that it newly keeps with another.
    pub n_together: usize,
}

/// Gates whose findings a spec can remedy.
pub const REMEDIED: [&str; 5] =
    ["patients", "copies", "near-copies", "embedding-neighbours", "label-conflicts"];

/// The spec of the curated pictures without what those gates of [`REMEDIED`] found that failed; `None` where none did, or where
/// no spec would mend it.
///
/// Two pictures of one task whose sides are drawn are kept on one side. One of them is left out where they stand in two
/// tasks or where the division is the owner's: of a training, a validation and a test picture the first, of two on one
/// side the one of the later task. Of contradicting labels both go. What an exact division asks for is lowered by
/// what is left out of it. A new draw may bring new copies, so it is to be audited again.
///
/// # Errors
/// A finding in a task that the spec does not have.
pub fn remedied(spec: &Spec, rows: &[Row], report: &Report) -> Result<Option<Remedied>> {
    let by_id: HashMap<&ImageId, &Row> = rows.iter().map(|row| (&row.image_id, row)).collect();
    let found = |gate: &str| pairs(report, gate).filter_map(|(a, b)| Some([*by_id.get(a)?, *by_id.get(b)?]));
    let mut left_out: BTreeMap<&ImageId, &Row> = BTreeMap::new();
    let contradict: BTreeSet<(&TaskName, &str)> =
        found("label-conflicts").flatten().map(|row| (&row.task, row.pixel_hash.as_str())).collect();
    let contradicts = |row: &&Row| contradict.contains(&(&row.task, row.pixel_hash.as_str()));
    left_out.extend(rows.iter().filter(contradicts).map(|row| (&row.image_id, row)));
    let rest = |left_out: &BTreeMap<&ImageId, &Row>| -> Vec<&Row> {
        rows.iter().filter(|row| !left_out.contains_key(&row.image_id)).collect()
    };
    if failed(report, "patients").is_some() {
        let divided = divided_patients(spec, &rest(&left_out))?;
        left_out.extend(divided.into_iter().map(|row| (&row.image_id, row)));
    }
    let equal: BTreeSet<&str> = found("copies").flatten().map(|row| row.pixel_hash.as_str()).collect();
    let copies = copies(spec, &rest(&left_out), &equal)?;
    left_out.extend(copies.into_iter().map(|row| (&row.image_id, row)));
    let alike: Vec<[&Row; 2]> = ["near-copies", "embedding-neighbours"].into_iter().flat_map(found).collect();
    let is_whole = |[a, b]: &[&Row; 2], gone: &BTreeMap<_, _>| {
        !gone.contains_key(&a.image_id) && !gone.contains_key(&b.image_id)
    };
    let mut may_tie = Vec::new();
    for pair in alike {
        let [a, b] = pair;
        if a.task == b.task && spec.task(&a.task)?.owner_split == OwnerSplit::Pool {
            may_tie.push(pair);
        } else if is_whole(&pair, &left_out) {
            let goes = if to_keep(spec, a)? < to_keep(spec, b)? { a } else { b };
            left_out.insert(&goes.image_id, goes);
        }
    }
    let ties: Vec<[&Row; 2]> = may_tie.into_iter().filter(|pair| is_whole(pair, &left_out)).collect();
    if left_out.is_empty() && ties.is_empty() {
        return Ok(None);
    }
    let tied: BTreeSet<&ImageId> = ties.iter().flatten().map(|row| &row.image_id).collect();
    let (n_left_out, n_together) = (left_out.len(), tied.len());
    let name = spec.name.strip_suffix(SUFFIX).unwrap_or(&spec.name).to_owned() + SUFFIX;
    let mut spec = Spec { name, version: spec.version + 1, ..spec.clone() };
    for task in &mut spec.tasks {
        let gone: Vec<&Row> = left_out.values().filter(|row| row.task == task.name).copied().collect();
        task.left_out.extend(gone.iter().map(|row| row.image_id.clone()));
        let tied = ties.iter().filter(|[a, _]| a.task == task.name);
        let pairs = tied.map(|pair| pair.map(|row| row.image_id.clone())).collect();
        task.together = joined(std::mem::take(&mut task.together), pairs);
        if task.owner_split == OwnerSplit::Exact {
            gone.into_iter().for_each(|row| ask_for_one_less(task, row));
        }
    }
    Ok(Some(Remedied { spec, n_left_out, n_together }))
}

/// A gate that failed; what only warns is left alone.
fn failed<'a>(report: &'a Report, gate: &str) -> Option<&'a Gate> {
    report.gates.iter().find(|found| found.name == gate && found.outcome() == Outcome::Fail)
}

/// The pairs that a gate found, by id.
fn pairs<'a>(report: &'a Report, gate: &str) -> impl Iterator<Item = (&'a ImageId, &'a ImageId)> + use<'a> {
    let findings = failed(report, gate).into_iter().flat_map(|gate| &gate.findings);
    findings.filter_map(|finding| match &finding.pictures[..] {
        [a, b] => Some((&a.image_id, &b.image_id)),
        _ => None,
    })
}

/// Of each set of equal pictures with one of these hashes, all but those that stand where the one to keep stands.
fn copies<'a>(spec: &Spec, rows: &[&'a Row], hashes: &BTreeSet<&str>) -> Result<Vec<&'a Row>> {
    let mut sets: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for &row in rows.iter().filter(|row| hashes.contains(row.pixel_hash.as_str())) {
        sets.entry(&row.pixel_hash).or_default().push(row);
    }
    let mut gone = Vec::new();
    for set in sets.into_values() {
        let places = set.iter().map(|row| to_keep(spec, row)).collect::<Result<Vec<_>>>()?;
        let kept = places.iter().max().copied();
        gone.extend(
            set.into_iter().zip(places).filter(|(_, place)| Some(*place) != kept).map(|(row, _)| row),
        );
    }
    Ok(gone)
}

/// Of the patients and groups that an owner's division puts on several sides, all but what stands on the last of them.
fn divided_patients<'a>(spec: &Spec, rows: &[&'a Row]) -> Result<Vec<&'a Row>> {
    let mut members: BTreeMap<(&TaskName, u8, &str), Vec<&Row>> = BTreeMap::new();
    for &row in rows {
        if spec.task(&row.task)?.owner_split != OwnerSplit::Exact {
            continue;
        }
        let keys = [(0, &row.patient_id), (1, &row.group_id)];
        for (kind, key) in keys.into_iter().filter_map(|(kind, key)| Some((kind, key.as_deref()?))) {
            members.entry((&row.task, kind, key)).or_default().push(row);
        }
    }
    let first_sides = |members: Vec<&'a Row>| {
        let last = members.iter().map(|row| side(row.split)).max();
        members.into_iter().filter(move |row| Some(side(row.split)) < last)
    };
    Ok(members.into_values().flat_map(first_sides).collect())
}

/// How much rather a picture is kept than others: those that test before those that validate before those that train, and
/// on one side those of earlier tasks.
fn to_keep(spec: &Spec, row: &Row) -> Result<(u8, Reverse<usize>)> {
    let place = spec.tasks.iter().position(|task| task.name == row.task).context("no such task")?;
    Ok((side(row.split), Reverse(place)))
}

fn side(split: Split) -> u8 {
    match split {
        Split::Train => 0,
        Split::Val => 1,
        Split::Test => 2,
    }
}

/// Takes a picture that is left out from the count that it was part of.
fn ask_for_one_less(task: &mut Task, row: &Row) {
    let count = match (row.label == Label::Normal, row.split) {
        (true, Split::Train) => &mut task.train_normal,
        (true, Split::Val) => &mut task.val_normal,
        (true, Split::Test) => &mut task.test_normal,
        (false, split) => {
            let by_name = task.anomalous.iter().position(|quota| quota.findings.contains(&row.finding));
            let rest = || {
                task.anomalous.iter().position(|quota| quota.findings.iter().any(|finding| finding == "*"))
            };
            let Some(quota) = by_name.or_else(rest) else { return };
            let quota = &mut task.anomalous[quota];
            if split == Split::Val { &mut quota.val } else { &mut quota.count }
        }
    };
    *count = count.map(|count| count.saturating_sub(1));
}

/// Groups that share no picture, from groups and pairs that may.
fn joined(groups: Vec<Vec<ImageId>>, pairs: Vec<[ImageId; 2]>) -> Vec<Vec<ImageId>> {
    let mut place: HashMap<ImageId, usize> = HashMap::new();
    let mut joined: Vec<Vec<ImageId>> = Vec::new();
    for group in groups.into_iter().chain(pairs.into_iter().map(Vec::from)) {
        let mut met: Vec<usize> = group.iter().filter_map(|id| place.get(id).copied()).collect();
        met.sort_by_key(|&at| Reverse(joined[at].len()));
        met.dedup();
        // The largest takes the others in, so that no picture moves often.
        let into = met.first().copied().unwrap_or_else(|| {
            joined.push(Vec::new());
            joined.len() - 1
        });
        let moved =
            met.iter().skip(1).filter(|&&at| at != into).flat_map(|&at| std::mem::take(&mut joined[at]));
        let moved: Vec<ImageId> = moved.collect();
        let new: Vec<ImageId> = group.into_iter().filter(|id| !place.contains_key(id)).collect();
        for id in moved.into_iter().chain(new) {
            place.insert(id.clone(), into);
            joined[into].push(id);
        }
    }
    joined.retain(|group| !group.is_empty());
    joined.iter_mut().for_each(|group| group.sort());
    joined.sort();
    joined
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
