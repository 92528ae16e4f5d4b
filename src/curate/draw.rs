//! Draws, decodes what was drawn, and draws again with what decoding told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;

use super::curation::{Curation, KnownContent};
use super::ids::Present;
use super::select::{Item, Outcome, select};
use super::standardise::{self, Standard};
use crate::decode::{self, Decoded, Masks};
use crate::manifest::spool::Spool;
use crate::manifest::{MaskKind, Split};
use crate::pixels::Pixels;
use crate::progress;
use crate::source::Lesions;

/// A decoded picture and, where there is one, its mask.
pub(super) struct DecodedPicture {
    pub standard: Standard,
    pub mask: Option<Mask>,
    /// Whether the mask of an anomalous picture is empty; it is not used then.
    pub has_empty_mask: bool,
}

pub(super) struct Mask {
    pub kind: MaskKind,
    /// Relative to the raw folder.
    pub path: Option<String>,
    pub hash: String,
}

impl Curation<'_> {
    /// The outcome of every picture, and what became of those that are drawn.
    ///
    /// What cannot be decoded is rejected and another drawn in its place; pictures of equal pixels, known only
    /// once they are decoded, are tied like copies of a file.
    ///
    /// # Errors
    /// A full disk, or an id list that cannot be met.
    pub(super) fn draw(
        &mut self,
        found: &[KnownContent],
        spools: &[Spool],
    ) -> Result<(Vec<Outcome>, HashMap<usize, DecodedPicture>)> {
        let mut done: HashMap<usize, DecodedPicture> = HashMap::new();
        let mut broken: BTreeSet<usize> = BTreeSet::new();
        loop {
            let usable: Vec<usize> = (0..found.len()).filter(|index| !broken.contains(index)).collect();
            let mut outcomes = vec![Outcome::LeftOut("unreadable"); found.len()];
            for (&index, outcome) in usable.iter().zip(self.choose(found, &usable, &done)?) {
                outcomes[index] = outcome;
            }
            let wanted =
                |index: &usize| matches!(outcomes[*index], Outcome::Drawn(_)) && !done.contains_key(index);
            let todo: Vec<usize> = (0..found.len()).filter(wanted).collect();
            if todo.is_empty() {
                return Ok((outcomes, done));
            }
            for (index, result) in self.decode(found, &todo, spools)? {
                match result {
                    Ok(standard) => drop(done.insert(index, standard)),
                    Err(error) => {
                        broken.insert(index);
                        self.reject_found(&found[index], "unreadable", format!("{error:#}"));
                    }
                }
            }
        }
    }

    fn choose(
        &self,
        found: &[KnownContent],
        usable: &[usize],
        done: &HashMap<usize, DecodedPicture>,
    ) -> Result<Vec<Outcome>> {
        let Some(ids) = self.ids else {
            let items: Vec<Item> = usable
                .iter()
                .map(|&index| Item {
                    key: format!("{}#{}", found[index].candidate.path, found[index].candidate.frame),
                    quota: found[index].quota,
                    owner: found[index].candidate.owner_split,
                    ties: ties(&found[index], done.get(&index)),
                })
                .collect();
            return Ok(select(self.task, self.spec.seed, &items));
        };
        let present = usable.iter().map(|&index| Present {
            path: format!("{}/{}", self.task.folder, found[index].candidate.path),
            frame: found[index].candidate.frame,
            sha256: found[index].sha256.as_str(),
        });
        ids.outcomes(&self.task.name, self.pseudonyms, &present.collect::<Vec<_>>())
    }

    /// Decodes pictures file by file, each read once.
    ///
    /// # Errors
    /// Only what no other file could mend: a full disk. A picture's own fault is its result.
    fn decode(
        &self,
        found: &[KnownContent],
        todo: &[usize],
        spools: &[Spool],
    ) -> Result<Vec<(usize, Result<DecodedPicture>)>> {
        let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &index in todo {
            by_file.entry(&found[index].candidate.path).or_default().push(index);
        }
        let bar = progress::bar(todo.len(), &format!("{}: decoding", self.task.name));
        let by_file: Vec<Vec<usize>> = by_file.into_values().collect();
        let decode = |file: &Vec<usize>| -> Result<Vec<_>> {
            let results = self.decode_file(found, file, spools)?;
            bar.inc(file.len() as u64);
            Ok(file.iter().copied().zip(results).collect())
        };
        let decoded: Vec<Vec<_>> = by_file.par_iter().map(decode).collect::<Result<_>>()?;
        bar.finish_and_clear();
        Ok(decoded.into_iter().flatten().collect())
    }

    /// The pictures of one file, with their masks.
    fn decode_file(
        &self,
        found: &[KnownContent],
        file: &[usize],
        spools: &[Spool],
    ) -> Result<Vec<Result<DecodedPicture>>> {
        let frames: Vec<u32> = file.iter().map(|&index| found[index].candidate.frame).collect();
        let path = self.path(&found[file[0]].candidate.path);
        let mut masks = self.masks(found, file);
        let mut finished: Vec<Result<Result<DecodedPicture>>> = Vec::with_capacity(file.len());
        let read = decode::visit_frames(&path, &frames, &self.task.reading, |picture| {
            let index = file[finished.len()];
            finished.push(finish(picture, masks.remove(&index), &found[index], spools));
        });
        match read {
            Ok(()) => finished.into_iter().collect(),
            Err(error) => Ok(file.iter().map(|_| Err(anyhow!("{error:#}"))).collect()),
        }
    }

    /// The masks that lie in files, each file read once, with their paths.
    fn masks(&self, found: &[KnownContent], part: &[usize]) -> HashMap<usize, MaskFile> {
        let mut by_file: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for &index in part {
            if let Some(path) = self.mask_path(&found[index].candidate) {
                by_file.entry(path).or_default().push(index);
            }
        }
        let mut masks = HashMap::new();
        for (path, indices) in by_file {
            let frames: Vec<u32> = indices.iter().map(|&index| found[index].candidate.frame).collect();
            let picture = self.path(&found[part[0]].candidate.path);
            let read = decode::mask_frames_over(&self.raw.join(&path), &picture, &frames, &self.task.reading);
            let Masks { frames, repaired } = read.unwrap_or_else(|error| Masks {
                frames: indices.iter().map(|_| Err(anyhow!("{error:#}"))).collect(),
                repaired: Vec::new(),
            });
            for (index, mask) in indices.into_iter().zip(frames) {
                masks.insert(index, MaskFile { path: path.clone(), mask, repaired: repaired.clone() });
            }
        }
        masks
    }
}

/// A mask as it was read.
struct MaskFile {
    path: String,
    mask: Result<Pixels>,
    repaired: Vec<String>,
}

/// Standardises one picture and its mask: outside, what stops the build; inside, what the picture is refused for.
fn finish(
    picture: Result<Decoded>,
    mask: Option<MaskFile>,
    found: &KnownContent,
    spools: &[Spool],
) -> Result<Result<DecodedPicture>> {
    let picture = match picture {
        Ok(picture) => picture,
        Err(error) => return Ok(Err(error)),
    };
    let mut standard = standardise::picture(picture, spools)?;
    standard.repaired.extend(mask.iter().flat_map(|mask| mask.repaired.clone()));
    let lesions = match lesions(mask, found, &standard) {
        Ok(lesions) => lesions,
        Err(error) => return Ok(Err(error)),
    };
    let store = |(kind, path, pixels): (MaskKind, Option<String>, Pixels)| -> Result<Mask> {
        Ok(Mask { kind, path, hash: standardise::mask(&pixels, spools)? })
    };
    let is_empty = |pixels: &Pixels| pixels.samples().iter().all(|&sample| sample == 0);
    let (lesions, empty) = match lesions {
        Some((_, Some(path), pixels)) if found.quota.is_some() && is_empty(&pixels) => (None, Some(path)),
        lesions => (lesions, None),
    };
    // Rows are handed on, so what they say names no file.
    standard.repaired.extend(empty.iter().map(|_| "its mask is empty and not used".to_owned()));
    Ok(Ok(DecodedPicture {
        mask: lesions.map(store).transpose()?,
        has_empty_mask: empty.is_some(),
        standard,
    }))
}

/// A picture's mask, from a file or from boxes.
fn lesions(
    mask: Option<MaskFile>,
    found: &KnownContent,
    standard: &Standard,
) -> Result<Option<(MaskKind, Option<String>, Pixels)>> {
    Ok(match (mask, &found.candidate.mask) {
        (Some(MaskFile { path, mask, .. }), _) => {
            let check = |mask: Pixels| standardise::check_mask(&mask, standard).map(|()| mask);
            let mask = mask.and_then(check).with_context(|| format!("mask {path}"))?;
            Some((MaskKind::Pixels, Some(path), mask))
        }
        (None, Some(Lesions::Boxes(boxes))) => {
            Some((MaskKind::Boxes, None, standardise::boxes(boxes, standard.height, standard.width)?))
        }
        (None, _) => None,
    })
}

/// Sentences on masks of drawn anomalous pictures that are missing, doubtful or empty.
pub(super) fn without_mask(
    work: &Curation,
    found: &[KnownContent],
    outcomes: &[Outcome],
    done: &HashMap<usize, DecodedPicture>,
) -> Vec<String> {
    let (mut missing, mut doubtful, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in found.iter().enumerate() {
        if item.quota.is_none() || !matches!(outcomes[index], Outcome::Drawn(_)) {
            continue;
        }
        let path = item.candidate.path.as_str();
        match work.named_mask(&item.candidate) {
            Err(reason) => doubtful.push(format!("{path} ({reason})")),
            Ok(None) if work.has_masks() && item.candidate.mask.is_none() => missing.push(path.to_owned()),
            Ok(_) => {}
        }
        if done.get(&index).is_some_and(|done| done.has_empty_mask) {
            empty.push(path.to_owned());
        }
    }
    let say = |paths: Vec<String>, what: &str| {
        let shown = paths[..paths.len().min(5)].join(", ");
        let more = if paths.len() > 5 { ", ..." } else { "" };
        (!paths.is_empty()).then(|| format!("{} anomalous pictures {what}: {shown}{more}", paths.len()))
    };
    let sentences = [
        say(missing, "have no mask"),
        say(doubtful, "have several masks, of which none is used"),
        say(empty, "have an empty mask, which is not used"),
    ];
    sentences.into_iter().flatten().collect()
}

/// What must not be divided: a patient, a group, what the spec keeps together, copies of a file, equal pixels.
fn ties(found: &KnownContent, done: Option<&DecodedPicture>) -> Vec<String> {
    let candidate = &found.candidate;
    let named = [("patient", &candidate.patient), ("group", &candidate.group)];
    let named =
        named.into_iter().filter_map(|(kind, name)| name.as_ref().map(|name| format!("{kind} {name}")));
    let pixels = done.map(|done| format!("pixels {}", done.standard.pixel_hash));
    let together = found.together.map(|place| format!("together {place}"));
    named
        .chain(together)
        .chain([format!("file {} {}", found.sha256, candidate.frame)])
        .chain(pixels)
        .collect()
}

/// Says how many patients, groups and copies an exact division or an id list puts on several sides; a draw of
/// our own never does.
pub(super) fn divided(
    found: &[KnownContent],
    outcomes: &[Outcome],
    done: &HashMap<usize, DecodedPicture>,
) -> Option<String> {
    let mut sides: HashMap<String, HashSet<Split>> = HashMap::new();
    for (index, (item, outcome)) in found.iter().zip(outcomes).enumerate() {
        if let Outcome::Drawn(split) = outcome {
            for tie in ties(item, done.get(&index)) {
                sides.entry(tie).or_default().insert(*split);
            }
        }
    }
    let n_divided =
        |kind: &str| sides.iter().filter(|(tie, sides)| tie.starts_with(kind) && sides.len() > 1).count();
    let (patients, groups) = (n_divided("patient "), n_divided("group ") + n_divided("together "));
    let copies = n_divided("pixels ");
    (patients + groups + copies > 0).then(|| {
        format!(
            "the division that was asked for puts {patients} patients, {groups} groups and {copies} pictures \
             of equal pixels on more than one side; `audit` names them"
        )
    })
}
