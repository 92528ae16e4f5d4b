//! Any folder of class folders: the folder's name is the finding.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use anyhow::{Result, ensure};
use rayon::prelude::*;
use regex::Regex;

use super::contract::{Candidate, Lesions, Listing, Refusal, Side, Source};
use super::{frames, tree};
use crate::decode::dicom::{self, Belongs};
use crate::names;
use crate::spec::Task;

/// Pictures below class folders, such as `good/x.png` or `train/good/x.png`.
///
/// The folder that holds a picture names its finding; a folder on the way called `train`, `Training`, `test`,
/// `Testing`, `val` or `valid` (capital letters or not, with `_set` or the like behind) names the owner's side. Below `ground_truth` are masks.
/// Every frame of a long file and every slice of a volume is a picture; those of one file stay together.
pub const SOURCE: Source = Source {
    name: "folders",
    about: "any folder of class folders, below train and test or not: [train/]good/x.png",
    is_own_layout: true,
    list,
};

const REMEDY: &str = "put pictures into one folder per finding, such as good/x.png or train/good/x.png";

fn list(root: &Path, task: &Task) -> Result<Listing> {
    let masks = masks_within(task);
    let mut listing = tree::list(root, REMEDY, |parts| {
        let is_mask = masks.as_ref().is_some_and(|masks| parts.starts_with(masks));
        if is_mask { Err(IS_MASK.to_owned()) } else { judge(parts) }
    })?;
    listing.candidates.par_iter_mut().for_each(|candidate| {
        // Whatever cannot be read here is refused with its reason when it is decoded.
        let Belongs { patient, study, series } =
            dicom_belongs(&root.join(&candidate.path)).unwrap_or_default();
        *candidate = Candidate { patient, study, series, ..candidate.clone() };
    });
    take_masks(&mut listing);
    forget_placeholder(&mut listing);
    if let Some(pattern) = &task.patients {
        name_patients(&mut listing, &pattern.0);
    }
    tie_studies(&mut listing);
    if listing.candidates.iter().all(|candidate| candidate.patient.is_none()) {
        let by = if listing.candidates.iter().any(|candidate| candidate.group.is_some()) {
            "study"
        } else {
            "picture"
        };
        listing.differences.push(format!("no patient is known, so sides are divided by {by}; where paths tell patients, give --group-by REGEX"));
    }
    frames::expand(root, &mut listing, task);
    ensure!(
        !listing.candidates.is_empty(),
        "no picture in a class folder below {}; {REMEDY}",
        root.display()
    );
    Ok(listing)
}

const IS_MASK: &str = "a mask (below the folder that `masks` names), not a picture";

/// Masks beside pictures are no pictures. One of a picture's own is its mask; of several, none is.
fn take_masks(listing: &mut Listing) {
    let found = tree::masks_beside(listing.candidates.iter().map(|candidate| candidate.path.as_str()));
    let found: BTreeMap<String, Vec<String>> = found
        .into_iter()
        .map(|(picture, masks)| (picture, masks.into_iter().map(str::to_owned).collect()))
        .collect();
    let masks: BTreeSet<&String> = found.values().flatten().collect();
    let candidates = std::mem::take(&mut listing.candidates);
    let mut several = 0;
    for mut candidate in candidates {
        if masks.contains(&candidate.path) {
            let reason = "a mask by its name, beside its picture".to_owned();
            listing.refused.push(Refusal { path: candidate.path, reason });
            continue;
        }
        match found.get(&candidate.path).map(Vec::as_slice) {
            Some([mask]) => candidate.mask = Some(Lesions::Masks(mask.clone())),
            Some(_) => several += 1,
            None => {}
        }
        listing.candidates.push(candidate);
    }
    if several > 0 {
        listing
            .differences
            .push(format!("{several} pictures have several masks beside them, of which none is used"));
    }
}

/// The parts of the masks' folder, where that lies within the task's own.
fn masks_within(task: &Task) -> Option<Vec<&str>> {
    let below = task.masks.as_ref()?.strip_prefix(&task.folder)?.strip_prefix('/')?;
    Some(below.split('/').collect())
}

/// Takes patients from the paths, where the files do not name them. A path that does not fit is refused: its picture might
/// be of a patient who stands on the other side.
fn name_patients(listing: &mut Listing, pattern: &Regex) {
    let candidates = std::mem::take(&mut listing.candidates);
    for candidate in candidates {
        let path = names::composed(&candidate.path);
        let named =
            pattern.captures(&path).and_then(|found| found.get(1)).map(|found| found.as_str().to_owned());
        match candidate.patient.clone().or(named) {
            Some(patient) => listing.candidates.push(Candidate { patient: Some(patient), ..candidate }),
            None => listing.refused.push(Refusal {
                path: candidate.path,
                reason: format!("its path does not fit `patients` ({pattern}), so its patient is not known"),
            }),
        }
    }
}

/// One id on every DICOM file of several is a placeholder; taken for a patient, it would tie all of them together.
fn forget_placeholder(listing: &mut Listing) {
    let Some(n_named) = same_on_all(listing, |candidate| candidate.patient.as_ref()) else { return };
    listing
        .differences
        .push(format!("one PatientID stands on all {n_named} DICOM files and is taken for a placeholder"));
    listing.candidates.iter_mut().for_each(|candidate| candidate.patient = None);
}

/// Without a patient, films of one study stay together. One study on every file of several is a placeholder too.
fn tie_studies(listing: &mut Listing) {
    if same_on_all(listing, |candidate| candidate.study.as_ref()).is_some() {
        return;
    }
    for candidate in listing.candidates.iter_mut().filter(|candidate| candidate.patient.is_none()) {
        candidate.group = candidate.study.as_ref().map(|study| format!("study {study}"));
    }
}

/// How many candidates bear a name, if those are several and bear the same one.
fn same_on_all(listing: &Listing, name: fn(&Candidate) -> Option<&String>) -> Option<usize> {
    let named: Vec<&String> = listing.candidates.iter().filter_map(name).collect();
    (named.len() >= 2 && named.iter().all(|other| *other == named[0])).then_some(named.len())
}

/// What a DICOM file belongs to; nothing for any other file.
fn dicom_belongs(path: &Path) -> Result<Belongs> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(256).read_to_end(&mut head)?;
    if dicom::is_dicom(&head) { dicom::belongs(path) } else { Ok(Belongs::default()) }
}

fn judge(parts: &[&str]) -> Result<Candidate, String> {
    let folders = &parts[..parts.len() - 1];
    if folders.contains(&"ground_truth") {
        return Err("a mask (below ground_truth), not a picture".to_owned());
    }
    match folders.iter().rfind(|folder| side(folder).is_none()) {
        Some(class) => Ok(tree::found(class, folders.iter().find_map(|folder| side(folder)))),
        None => Err(format!("not in a class folder; {REMEDY}")),
    }
}

pub(super) fn side(folder: &str) -> Option<Side> {
    let folder = folder.to_ascii_lowercase();
    let plain = ["set", "data", "images"].iter().find_map(|end| folder.strip_suffix(end)).unwrap_or(&folder);
    match plain.trim_end_matches(['_', '-', ' ']) {
        "train" | "training" => Some(Side::Train),
        "val" | "valid" | "validation" => Some(Side::Val),
        "test" | "testing" => Some(Side::Test),
        _ => None,
    }
}
