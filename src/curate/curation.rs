//! A task being curated: what is known of its candidates, and what has been rejected.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;

use super::ids::IdList;
use super::taken;
use crate::decode::resize::RESIZE_ID;
use crate::ids::ImageId;
use crate::manifest::{Rejected, image_id};
use crate::pseudonym::Key;
use crate::source::masks::MaskNames;
use crate::source::{Candidate, Lesions};
use crate::spec::{Duplicates, Spec, Task};
use crate::{decode, files, progress};

/// A candidate of known content.
pub(super) struct KnownContent {
    pub candidate: Candidate,
    /// `None` for a normal picture, else the quota it counts for.
    pub quota: Option<usize>,
    pub sha256: String,
    pub n_bytes: u64,
    /// The spec's group of pictures that stand on one side, by its place.
    pub together: Option<usize>,
}

/// A task being curated.
pub(super) struct Curation<'a> {
    pub spec: &'a Spec,
    pub task: &'a Task,
    pub raw: &'a Path,
    pub pseudonyms: &'a Key,
    /// Replaces the draw.
    pub ids: Option<&'a IdList>,
    pub rejected: Vec<Rejected>,
    /// Files in the spec's folder of masks, if there is one.
    pub masks: Option<MaskNames>,
    /// How pictures were taken, as far as the spec's table tells.
    pub taken: taken::Table,
}

impl Curation<'_> {
    pub(super) fn reject(
        &mut self,
        path: &str,
        frame: u32,
        finding: Option<&str>,
        kind: &str,
        reason: String,
    ) {
        self.rejected.push(Rejected {
            task: self.task.name.clone(),
            source_path: format!("{}/{path}", self.task.folder),
            frame,
            finding: finding.map(str::to_owned),
            kind: kind.to_owned(),
            // Where the raw folder lies is this machine's business.
            reason: reason.replace(&format!(" {}/", self.raw.display()), " "),
        });
    }

    pub(super) fn reject_found(&mut self, found: &KnownContent, kind: &str, reason: String) {
        let Candidate { path, frame, finding, .. } = &found.candidate;
        self.reject(path, *frame, Some(finding), kind, reason);
    }

    /// The file of a picture, given by its path below the source's folder.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.raw.join(&self.task.folder).join(path)
    }

    /// The file of the candidate's mask, relative to the raw folder: the spec's, if there, else the source's.
    pub(super) fn mask_path(&self, candidate: &Candidate) -> Option<String> {
        let by_source = match &candidate.mask {
            Some(Lesions::Masks(path)) => Some(format!("{}/{path}", self.task.folder)),
            _ => None,
        };
        // Of several that bear its name none is used, and not the source's instead.
        self.named_mask(candidate).ok()?.or(by_source)
    }

    /// The mask in the spec's folder that bears the candidate's name, relative to the raw folder.
    ///
    /// # Errors
    /// Several that do.
    pub(super) fn named_mask(&self, candidate: &Candidate) -> Result<Option<String>, String> {
        let (Some(folder), Some(names)) = (&self.task.masks, &self.masks) else { return Ok(None) };
        Ok(names.of(&candidate.path)?.map(|name| format!("{folder}/{name}")))
    }

    /// Whether the spec has a folder of masks.
    pub(super) fn has_masks(&self) -> bool {
        self.masks.is_some()
    }

    /// Sorts candidates into normal, a quota, or findings that the spec leaves out.
    pub(super) fn classify(&mut self, candidates: Vec<Candidate>) -> Vec<(Candidate, Option<usize>)> {
        let mut classes: HashMap<&str, Option<usize>> = HashMap::new();
        let mut rest = None;
        for finding in &self.task.normal {
            classes.insert(finding, None);
        }
        for (quota, findings) in self.task.anomalous.iter().map(|quota| &quota.findings).enumerate() {
            for finding in findings {
                match finding.as_str() {
                    "*" => rest = Some(quota),
                    _ => _ = classes.insert(finding, Some(quota)),
                }
            }
        }
        let mut kept = Vec::new();
        for candidate in candidates {
            match (classes.get(candidate.finding.as_str()), rest) {
                (Some(&quota), _) => kept.push((candidate, quota)),
                (None, Some(quota)) => kept.push((candidate, Some(quota))),
                (None, None) => {
                    let reason = format!("the spec does not use the finding `{}`", candidate.finding);
                    self.reject(
                        &candidate.path,
                        candidate.frame,
                        Some(&candidate.finding),
                        "other-finding",
                        reason,
                    );
                }
            }
        }
        kept
    }

    /// The picture's id in the manifest.
    pub(super) fn image_id(&self, candidate: &Candidate) -> ImageId {
        let path = format!("{}/{}", self.task.folder, candidate.path);
        image_id(&self.task.name, &path, candidate.frame)
    }

    /// Rejects what the spec leaves out by its id.
    pub(super) fn leave_out(&mut self, found: Vec<KnownContent>) -> Vec<KnownContent> {
        let named: HashSet<&ImageId> = self.task.left_out.iter().collect();
        let is_named =
            |item: &KnownContent| !named.is_empty() && named.contains(&self.image_id(&item.candidate));
        let (left_out, kept): (Vec<_>, Vec<_>) = found.into_iter().partition(is_named);
        for item in left_out {
            self.reject_found(&item, "left-out", "the spec leaves it out (left_out)".to_owned());
        }
        kept
    }

    /// A sentence on ids of the spec that no candidate bears.
    pub(super) fn unknown_ids(&self, candidates: &[Candidate]) -> Option<String> {
        let Task { left_out, together, .. } = self.task;
        let named: BTreeSet<&ImageId> = left_out.iter().chain(together.iter().flatten()).collect();
        if named.is_empty() {
            return None;
        }
        let known: HashSet<ImageId> = candidates.iter().map(|candidate| self.image_id(candidate)).collect();
        let unknown: Vec<&ImageId> = named.into_iter().filter(|id| !known.contains(*id)).collect();
        let first = unknown.first()?;
        Some(format!(
            "left_out and together name {} pictures that are not here, such as {}",
            unknown.len(),
            first.as_str()
        ))
    }

    /// Reads every file once for its hash; unreadable ones are rejected.
    pub(super) fn hash(&mut self, candidates: Vec<(Candidate, Option<usize>)>) -> Vec<KnownContent> {
        let paths: BTreeSet<&str> = candidates.iter().map(|(candidate, _)| candidate.path.as_str()).collect();
        let bar = progress::bar(paths.len(), &format!("{}: reading", self.task.name));
        let read = |path: &str| {
            let hash = files::sha256_of(&decode::files_of(&self.path(path)));
            bar.inc(1);
            (path.to_owned(), hash.map_err(|error| format!("{error:#}")))
        };
        let hashes: HashMap<String, _> = paths.into_par_iter().map(read).collect();
        bar.finish_and_clear();
        let together = together(self.task);
        let mut found = Vec::new();
        for (candidate, quota) in candidates {
            match &hashes[&candidate.path] {
                Ok((sha256, n_bytes)) => {
                    let together = together.get(&*self.image_id(&candidate)).copied();
                    let (sha256, n_bytes) = (sha256.clone(), *n_bytes);
                    found.push(KnownContent { candidate, quota, sha256, n_bytes, together });
                }
                Err(reason) => {
                    let Candidate { path, frame, finding, .. } = &candidate;
                    self.reject(path, *frame, Some(finding), "unreadable", reason.clone());
                }
            }
        }
        found.sort_by(|a, b| {
            (&a.candidate.path, a.candidate.frame).cmp(&(&b.candidate.path, b.candidate.frame))
        });
        found
    }

    pub(super) fn key(&self, found: &[KnownContent], differences: &[String]) -> Result<String> {
        let mut text = serde_json::to_string(self.task)?;
        text += &format!(
            "{} {:?} {RESIZE_ID} {} {differences:?}",
            self.spec.seed,
            self.spec.sizes,
            crate::CODE_HASH
        );
        text += &format!("{} {} {:?}", self.spec.name, self.spec.version, self.rejected);
        text += self.ids.map_or("", IdList::fingerprint);
        text += &self.pseudonyms.fingerprint();
        text += &self.taken.fingerprint();
        let masks: BTreeSet<String> =
            found.iter().filter_map(|item| self.mask_path(&item.candidate)).collect();
        let hash = |path: String| {
            let hash = files::sha256_of(&decode::files_of(&self.raw.join(&path)));
            format!("\n{path} {:?}", hash.ok())
        };
        let masks: Vec<String> = masks.into_par_iter().map(hash).collect();
        text += &masks.concat();
        for item in found {
            text += &format!("\n{:?} {}", item.candidate, item.sha256);
        }
        Ok(files::fingerprint(text.as_bytes()))
    }

    /// Keeps the first of every set of copies, by path; copies that the owner labels differently all go.
    pub(super) fn drop_duplicates(&mut self, found: Vec<KnownContent>) -> Vec<KnownContent> {
        if self.task.duplicates == Duplicates::Group {
            return found;
        }
        let content = |item: &KnownContent| (item.sha256.clone(), item.candidate.frame);
        let mut copies: HashMap<(String, u32), Vec<usize>> = HashMap::new();
        for (index, item) in found.iter().enumerate() {
            copies.entry(content(item)).or_default().push(index);
        }
        let is_normal = |index: &usize| found[*index].quota.is_none();
        let is_unopened =
            |index: &usize| found[*index].quota.is_some_and(|quota| self.task.anomalous[quota].unopened);
        let verdict = |index: usize, item: &KnownContent| -> Option<(&str, String)> {
            let copies = &copies[&content(item)];
            let path = |index: usize| &found[index].candidate.path;
            // A label that is not opened contradicts none; the picture is tested, so no copy of it trains.
            if let Some(unopened) = copies.iter().copied().find(is_unopened) {
                let reason = || format!("byte-identical to {}, whose label is not opened", path(unopened));
                return (unopened != index).then(|| ("duplicate", reason()));
            }
            if copies.iter().any(is_normal) && !copies.iter().all(is_normal) {
                let is_other = |other: &&usize| is_normal(other) != item.quota.is_none();
                let other = path(copies.iter().copied().find(|other| is_other(&other))?);
                return Some((
                    "label-conflict",
                    format!("byte-identical to {other}, which has another label"),
                ));
            }
            (copies[0] != index).then(|| ("duplicate", format!("byte-identical to {}", path(copies[0]))))
        };
        let verdicts: Vec<_> = found.iter().enumerate().map(|(index, item)| verdict(index, item)).collect();
        let mut kept = Vec::new();
        for (item, verdict) in found.into_iter().zip(verdicts) {
            match verdict {
                Some((kind, reason)) => self.reject_found(&item, kind, reason),
                None => kept.push(item),
            }
        }
        kept
    }
}

/// The group of each picture that the spec keeps together with others.
fn together(task: &Task) -> HashMap<&str, usize> {
    let groups = task.together.iter().enumerate();
    groups.flat_map(|(place, ids)| ids.iter().map(move |id| (id.as_str(), place))).collect()
}
