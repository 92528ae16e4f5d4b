//! One task from its source's listing to rows, rejections and a pixel store.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Request;
use super::draw::{divided, without_mask};
use super::ids::IdList;
use crate::decode::resize::RESIZE_ID;
use crate::manifest::spool::Spool;
use crate::manifest::{Rejected, Row, Selection, store};
use crate::pseudonym::Key;
use crate::source::masks::MaskNames;
use crate::source::{self, Candidate, Lesions, Side};
use crate::spec::{Duplicates, Shuffle, Spec, Task};
use crate::{decode, files, names, progress};

/// A curated task, as kept between runs.
#[derive(Serialize, Deserialize)]
pub struct Part {
    /// Over everything that determines the rest.
    key: String,
    pub rows: Vec<Row>,
    pub rejected: Vec<Rejected>,
    pub selection: Vec<Selection>,
    pub differences: Vec<String>,
}

/// A candidate of known content.
pub(super) struct Found {
    pub candidate: Candidate,
    /// `None` for a normal picture, else the quota it counts for.
    pub quota: Option<usize>,
    pub sha256: String,
    pub n_bytes: u64,
}

/// A task being curated.
pub(super) struct Work<'a> {
    pub spec: &'a Spec,
    pub task: &'a Task,
    pub raw: &'a Path,
    pub pseudonyms: &'a Key,
    /// Replaces the draw.
    pub ids: Option<&'a IdList>,
    rejected: Vec<Rejected>,
    /// Files in the spec's folder of masks, if there is one.
    masks: Option<MaskNames>,
}

/// Curates `task`; a finished part in `out/parts` with the same key is taken as it is.
pub fn curate(request: &Request, task: &Task, ids: Option<&IdList>) -> Result<Part> {
    let Request { spec, raw, out, key, .. } = *request;
    let mut listing = (source::find(&task.source)?.list)(&raw.join(&task.folder), task)?;
    if let Some(masks) = task.masks.as_ref().filter(|masks| !raw.join(masks).is_dir()) {
        listing
            .differences
            .push(format!("no folder {}, so no lesion mask is used", raw.join(masks).display()));
    }
    let folder = task.masks.as_ref().map(|masks| raw.join(masks)).filter(|folder| folder.is_dir());
    let masks = folder.map(|folder| files::scan(&folder)).transpose()?.map(|found| {
        let rejected = found.rejected.iter().map(|entry| format!("mask {}: {}", entry.path, entry.reason));
        listing.differences.extend(rejected);
        MaskNames::new(found.files)
    });
    let mut work = Work { spec, task, raw, pseudonyms: key, ids, rejected: Vec::new(), masks };
    for refusal in listing.refused {
        work.reject(&refusal.path, 0, None, "not-a-picture", refusal.reason);
    }
    listing.differences.extend(absent(task, &listing.candidates));
    let found = work.classify(listing.candidates);
    let mut found = work.hash(found);
    let key = work.key(&found, &listing.differences)?;
    let kept = out.join("parts").join(format!("{}.json", task.name));
    let is_stored = spec.sizes.iter().all(|&size| store::path(out, &task.name, size).exists());
    if let Some(part) = read_part(&kept, &key).filter(|_| is_stored) {
        return Ok(part);
    }
    if ids.is_none() {
        found = work.drop_duplicates(found);
    }
    if let Some(shuffle) = task.shuffle {
        divide_by_shuffle(shuffle, &mut found);
    }
    let folder = out.join("pixels");
    let spools: Vec<Spool> =
        spec.sizes.iter().map(|&size| Spool::new(&folder, size)).collect::<Result<_>>()?;
    let (fates, done) = work.draw(&found, &spools)?;
    listing.differences.extend(divided(&found, &fates, &done));
    listing.differences.extend(without_mask(&work, &found, &fates, &done));
    let (rows, selection) = work.collect(&found, &fates, &done)?;
    write_stores(spools, task, &rows, out)?;
    let rejected = std::mem::take(&mut work.rejected);
    let part = Part { key, rows, rejected, selection, differences: listing.differences };
    files::write_whole(&kept, &serde_json::to_vec(&part)?)?;
    Ok(part)
}

/// A sentence for every finding of the spec that no picture has.
fn absent(task: &Task, candidates: &[Candidate]) -> Vec<String> {
    let found: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.finding.as_str()).collect();
    let anomalous = task.anomalous.iter().flat_map(|quota| &quota.findings);
    let named = task.normal.iter().chain(anomalous).map(String::as_str);
    let sentence = |finding: &str| {
        let meant = names::did_you_mean(finding, found.iter().copied());
        let known: Vec<&str> = found.iter().copied().take(20).collect();
        format!("no picture has the finding `{finding}`{meant} (found: {})", known.join(", "))
    };
    named.filter(|finding| *finding != "*" && !found.contains(finding)).map(sentence).collect()
}

fn write_stores(spools: Vec<Spool>, task: &Task, rows: &[Row], out: &Path) -> Result<()> {
    let pictures: BTreeSet<&str> = rows.iter().map(|row| row.pixel_hash.as_str()).collect();
    let masks: BTreeSet<&str> = rows.iter().filter_map(|row| row.mask_hash.as_deref()).collect();
    for spool in spools {
        spool.write(&store::path(out, &task.name, spool.size()), RESIZE_ID, &pictures, &masks)?;
    }
    Ok(())
}

/// Sides by a published shuffle: of the normal pictures in the owner's order, and of the rest by its rule.
fn divide_by_shuffle(shuffle: Shuffle, found: &mut [Found]) {
    let mut normals: Vec<usize> = (0..found.len()).filter(|&index| found[index].quota.is_none()).collect();
    normals.sort_by_key(|&index| found[index].candidate.owner_order);
    let sides = super::shuffle::divide(shuffle, normals.len());
    found.iter_mut().for_each(|item| item.candidate.owner_split = Some(Side::Test));
    for (index, side) in normals.into_iter().zip(sides) {
        found[index].candidate.owner_split = Some(side);
    }
}

fn read_part(path: &Path, key: &str) -> Option<Part> {
    let part: Part = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (part.key == key).then_some(part)
}

impl Work<'_> {
    fn reject(&mut self, path: &str, frame: u32, finding: Option<&str>, kind: &str, reason: String) {
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

    pub fn reject_found(&mut self, found: &Found, kind: &str, reason: String) {
        let Candidate { path, frame, finding, .. } = &found.candidate;
        self.reject(path, *frame, Some(finding), kind, reason);
    }

    /// The file of a picture, given by its path below the source's folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.raw.join(&self.task.folder).join(path)
    }

    /// The file of the candidate's mask, relative to the raw folder: the spec's, if there, else the source's.
    pub fn mask_path(&self, candidate: &Candidate) -> Option<String> {
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
    pub fn named_mask(&self, candidate: &Candidate) -> Result<Option<String>, String> {
        let (Some(folder), Some(names)) = (&self.task.masks, &self.masks) else { return Ok(None) };
        Ok(names.of(&candidate.path)?.map(|name| format!("{folder}/{name}")))
    }

    /// Whether the spec has a folder of masks.
    pub fn has_masks(&self) -> bool {
        self.masks.is_some()
    }

    /// Sorts candidates into normal, a quota, or findings that the spec leaves out.
    fn classify(&mut self, candidates: Vec<Candidate>) -> Vec<(Candidate, Option<usize>)> {
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

    /// Reads every file once for its hash; unreadable ones are rejected.
    fn hash(&mut self, candidates: Vec<(Candidate, Option<usize>)>) -> Vec<Found> {
        let paths: BTreeSet<&str> = candidates.iter().map(|(candidate, _)| candidate.path.as_str()).collect();
        let bar = progress::bar(paths.len(), &format!("{}: reading", self.task.name));
        let read = |path: &str| {
            let hash = files::sha256_of(&decode::files_of(&self.path(path)));
            bar.inc(1);
            (path.to_owned(), hash.map_err(|error| format!("{error:#}")))
        };
        let hashes: HashMap<String, _> = paths.into_par_iter().map(read).collect();
        bar.finish_and_clear();
        let mut found = Vec::new();
        for (candidate, quota) in candidates {
            match &hashes[&candidate.path] {
                Ok((sha256, n_bytes)) => {
                    found.push(Found { candidate, quota, sha256: sha256.clone(), n_bytes: *n_bytes });
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

    fn key(&self, found: &[Found], differences: &[String]) -> Result<String> {
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
    fn drop_duplicates(&mut self, found: Vec<Found>) -> Vec<Found> {
        if self.task.duplicates == Duplicates::Group {
            return found;
        }
        let content = |item: &Found| (item.sha256.clone(), item.candidate.frame);
        let mut copies: HashMap<(String, u32), Vec<usize>> = HashMap::new();
        for (index, item) in found.iter().enumerate() {
            copies.entry(content(item)).or_default().push(index);
        }
        let is_normal = |index: &usize| found[*index].quota.is_none();
        let verdict = |index: usize, item: &Found| -> Option<(&str, String)> {
            let copies = &copies[&content(item)];
            let path = |index: usize| &found[index].candidate.path;
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
