//! BraTS 2021: brain MRI volumes with tumour masks, offered as slices of the FLAIR volume.

use std::path::Path;

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::contract::{Candidate, Lesions, Listing, Refusal, Source};
use super::{frames, tree};
use crate::spec::Task;
use crate::{decode, progress};

/// `<case>/<case>_flair.nii.gz` and `<case>/<case>_seg.nii.gz`, at any depth; the case is the patient.
///
/// A slice's finding is `tumour` where the mask has any label in it, else `no tumour`. Which slices along which
/// axis are offered, the spec's `slices` and `reading` say; a slice number counts from the low end of the
/// canonical axis.
pub const SOURCE: Source = Source {
    name: "brats",
    about: "BraTS 2021 volumes: <case>/<case>_flair.nii.gz and <case>_seg.nii.gz, as slices with masks",
    is_own_layout: false,
    list,
};

const REMEDY: &str = "give the folder that holds BraTS2021_00000, BraTS2021_00002 and so on";
const FLAIR: &str = "_flair";
/// Other files of a case, and what they are.
const OTHERS: [(&str, &str); 4] =
    [("_seg", "a mask"), ("_t1", "T1, not FLAIR"), ("_t1ce", "T1ce, not FLAIR"), ("_t2", "T2, not FLAIR")];

/// Training cases with masks.
const PUBLISHED: usize = 1251;

fn list(root: &Path, task: &Task) -> Result<Listing> {
    let mut listing = tree::list(root, REMEDY, judge)?;
    let volumes = std::mem::take(&mut listing.candidates);
    ensure!(!volumes.is_empty(), "no <case>_flair.nii.gz below {}; {REMEDY}", root.display());
    let bar = progress::bar(volumes.len(), &format!("{}: reading masks", task.name));
    let slices: Vec<_> =
        volumes.par_iter().map(|volume| slices(root, volume, task)).inspect(|_| bar.inc(1)).collect();
    bar.finish_and_clear();
    let mut n_volumes = 0;
    for (volume, slices) in volumes.into_iter().zip(slices) {
        match slices {
            Ok(slices) => {
                n_volumes += 1;
                listing.candidates.extend(slices);
            }
            Err(error) => {
                listing.refused.push(Refusal { path: volume.path, reason: format!("{error:#}") });
            }
        }
    }
    if n_volumes != PUBLISHED {
        listing.differences.push(format!(
            "{n_volumes} cases with a mask found, {PUBLISHED} published (BraTS 2021, training)"
        ));
    }
    Ok(listing)
}

fn judge(parts: &[&str]) -> Result<Candidate, String> {
    let name = tree::stem(parts[parts.len() - 1]);
    match name.strip_suffix(FLAIR) {
        Some(case) => Ok(Candidate {
            patient: Some(case.to_owned()),
            group: Some(parts.join("/")),
            ..tree::found("", None)
        }),
        None => {
            let known = OTHERS.iter().find(|(ending, _)| name.ends_with(ending));
            Err(known.map_or("no file of a BraTS case", |(_, what)| what).to_owned())
        }
    }
}

/// The chosen slices of one volume, each with what its mask says.
fn slices(root: &Path, volume: &Candidate, task: &Task) -> Result<Vec<Candidate>> {
    let mask = mask_of(&volume.path);
    ensure!(
        root.join(&mask).is_file(),
        "{mask} is missing, so its slices have no label; cases of the validation part come without"
    );
    let labels = decode::label_counts(&root.join(&mask), &root.join(&volume.path), &task.reading)?;
    let count = decode::n_frames(&root.join(&volume.path), &task.reading)?;
    ensure!(
        labels.len() == count as usize,
        "it has {count} slices, its mask {mask} has {}; fetch both again",
        labels.len()
    );
    let slice = |frame: u32| Candidate {
        frame,
        slice_index: Some(frame),
        finding: if labels[frame as usize].is_empty() { "no tumour" } else { "tumour" }.to_owned(),
        mask: (!labels[frame as usize].is_empty()).then(|| Lesions::Masks(mask.clone())),
        ..volume.clone()
    };
    Ok(frames::chosen(task, count).map(slice).collect())
}

/// `a/x_flair.nii.gz` to `a/x_seg.nii.gz`.
fn mask_of(path: &str) -> String {
    let (before, after) = path.rsplit_once(FLAIR).expect("only such files are candidates");
    format!("{before}_seg{after}")
}
