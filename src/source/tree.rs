//! What all adapters share: the walk, which files are pictures, totals against the owner's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::contract::{Candidate, Listing, Refusal, Side};
use crate::{decode, files, names};

/// Endings of files that hold one picture, in small letters.
const SINGLE: &[&str] = &[".png", ".jpg", ".jpeg", ".jpe", ".bmp"];
/// Endings of files that may hold several.
const SEVERAL: &[&str] = &[".tif", ".tiff", ".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".hdr"];

const NOT_A_PICTURE: &str = "not a picture by its ending (known: png, jpg, jpeg, jpe, bmp, tif, tiff, dcm, dicom, ima, \
                             nii, nii.gz, hdr with its img, and DICOM without an ending)";

/// Sorts every file below `root` with `judge`, which is given the path's parts, accents composed, and answers with
/// a candidate or with the reason against it. Files that are no pictures are refused before it.
///
/// # Errors
/// If `root` is missing; `remedy` says what to do.
pub(super) fn list(
    root: &Path,
    remedy: &str,
    judge: impl Fn(&[&str]) -> Result<Candidate, String>,
) -> Result<Listing> {
    require(root, &[], remedy)?;
    let found = files::scan(root)?;
    let mut listing = Listing::default();
    listing
        .refused
        .extend(found.rejected.into_iter().map(|files::Rejected { path, reason }| Refusal { path, reason }));
    for path in found.files {
        let composed = names::composed(&path);
        let parts: Vec<&str> = composed.split('/').collect();
        let verdict = match header_of(root, &path) {
            _ if is_a_picture(root, &path) => judge(&parts),
            Some(header) => Err(format!("the voxels of {header}, which are read with it")),
            None => Err(NOT_A_PICTURE.to_owned()),
        };
        match verdict {
            Ok(candidate) => listing.candidates.push(Candidate { path, ..candidate }),
            Err(reason) => listing.refused.push(Refusal { path, reason }),
        }
    }
    Ok(listing)
}

/// Whether the name ends like a picture's; the content decides later, when it is decoded.
pub(super) fn is_picture(path: &str) -> bool {
    ends_with(path, SINGLE) || ends_with(path, SEVERAL)
}

/// Whether it is taken for a picture: by the end of its name or, without one, as DICOM by its content.
pub(super) fn is_a_picture(root: &Path, path: &str) -> bool {
    is_picture(path) || is_unnamed_dicom(root, path)
}

/// Whether the name ends like that of a file with several frames or slices.
pub(super) fn may_hold_several(path: &str) -> bool {
    ends_with(path, SEVERAL) || has_no_ending(path)
}

/// Whether it is a DICOM file that is called by a number or a UID, as scanners and archives write them.
fn is_unnamed_dicom(root: &Path, path: &str) -> bool {
    has_no_ending(path)
        && files::read_head(&root.join(path), 132).is_ok_and(|head| decode::dicom::is_dicom(&head))
}

/// Whether what follows the last dot of the name, if there is one, is digits alone, as in a UID.
fn has_no_ending(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').is_none_or(|(_, ending)| ending.bytes().all(|byte| byte.is_ascii_digit()))
}

fn ends_with(path: &str, endings: &[&str]) -> bool {
    let path = path.to_ascii_lowercase();
    endings.iter().any(|ending| path.ends_with(ending))
}

/// The header of a two-file volume whose voxels `path` holds.
fn header_of(root: &Path, path: &str) -> Option<String> {
    let header = format!("{}.hdr", path.strip_suffix(".img")?);
    root.join(&header).is_file().then_some(header)
}

/// The file's name without its ending; `.nii.gz` is one ending.
pub(super) fn stem(name: &str) -> &str {
    if has_no_ending(name) {
        return name;
    }
    let name = name.strip_suffix(".gz").filter(|name| name.ends_with(".nii")).unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Masks that lie beside their pictures, as `a_mask.png` beside `a.png` does: each picture of `paths` that has any, with
/// all of its own.
pub(super) fn masks_beside<'a>(
    paths: impl Iterator<Item = &'a str> + Clone,
) -> BTreeMap<String, Vec<&'a str>> {
    let place = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (folder.to_owned(), stem(name).to_owned())
    };
    let pictures: BTreeMap<(String, String), &str> = paths.clone().map(|path| (place(path), path)).collect();
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for path in paths {
        let (folder, name) = place(path);
        let picture = picture_of(&name).and_then(|stem| pictures.get(&(folder, stem.to_owned())));
        if let Some(picture) = picture {
            found.entry((*picture).to_owned()).or_default().push(path);
        }
    }
    found
}

/// The name of the picture that a mask's name begins with: `a` of `a_mask`, `a-mask`, `a_seg` and `a_mask_1`.
fn picture_of(stem: &str) -> Option<&str> {
    let plain = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = if plain.len() < stem.len() { plain.strip_suffix('_').unwrap_or(stem) } else { stem };
    ["_mask", "-mask", "_seg", "-seg", "_segmentation"].iter().find_map(|end| plain.strip_suffix(end))
}

/// A candidate that only says what it shows; [`list`] fills in the path.
pub(super) fn found(finding: &str, owner_split: Option<Side>) -> Candidate {
    Candidate {
        path: String::new(),
        frame: 0,
        finding: finding.to_owned(),
        owner_split,
        patient: None,
        group: None,
        study: None,
        series: None,
        slice_index: None,
        owner_order: None,
        mask: None,
    }
}

/// Fails unless `root` and everything `required` below it is there; `remedy` says what to do.
pub(super) fn require(root: &Path, required: &[&str], remedy: &str) -> Result<()> {
    ensure!(root.is_dir(), "the folder {} is missing; {remedy}", root.display());
    for needed in required {
        let there = root.join(needed).exists();
        ensure!(
            there,
            "{needed} is missing below {}, which holds {}; {remedy}",
            root.display(),
            content(root)?
        );
    }
    Ok(())
}

/// The first names in a folder, for an error message.
fn content(folder: &Path) -> Result<String> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    let more = if names.len() > 8 { ", ..." } else { "" };
    names.truncate(8);
    Ok(if names.is_empty() { "nothing".to_owned() } else { names.join(", ") + more })
}

/// Adds a sentence for every class whose count is not what the owner publishes.
///
/// `class` names a candidate's class in the owner's table; `published` are that table's rows.
pub(super) fn compare(
    listing: &mut Listing,
    class: impl Fn(&Candidate) -> String,
    published: &[(&str, usize)],
    owner: &str,
) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for candidate in &listing.candidates {
        *counts.entry(class(candidate)).or_default() += 1;
    }
    for &(name, expected) in published {
        let found = counts.get(name).copied().unwrap_or(0);
        if found != expected {
            listing.differences.push(format!("{name}: {found} found, {expected} published ({owner})"));
        }
    }
}

/// Refuses every id of a label table whose file is not below `folder`.
pub(super) fn refuse_missing<'a>(
    listing: &mut Listing,
    folder: &str,
    ending: &str,
    ids: impl Iterator<Item = &'a String>,
    table: &str,
) {
    let found = listing.candidates.iter().map(|candidate| candidate.path.as_str());
    let found = found.chain(listing.refused.iter().map(|refusal| refusal.path.as_str()));
    let found = found.filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
    let held: BTreeSet<String> = found.map(|path| names::composed(stem(path))).collect();
    let refuse = |id: &String| Refusal {
        path: format!("{folder}/{id}.{ending}"),
        reason: format!("{table} has a row for it, but the file is missing"),
    };
    let refusals: Vec<Refusal> = ids.filter(|id| !held.contains(*id)).map(refuse).collect();
    listing.refused.extend(refusals);
}
