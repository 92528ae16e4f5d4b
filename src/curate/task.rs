//! One task from its source's listing to rows, rejections and a pixel store.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::select::{Fate, Item, select};
use super::standardise::{self, Mask, Standard};
use crate::decode::resize::RESIZE_ID;
use crate::manifest::{Rejected, Row, Selection, store};
use crate::source::{self, Candidate};
use crate::spec::{Duplicates, Spec, Task};
use crate::{files, progress};

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

/// A decoded picture and, where there is one, its mask and the mask's path.
pub(super) struct Done {
    pub standard: Standard,
    pub mask: Option<(String, Mask)>,
}

/// A task being curated.
pub(super) struct Work<'a> {
    pub spec: &'a Spec,
    pub task: &'a Task,
    raw: &'a Path,
    rejected: Vec<Rejected>,
}

/// Curates `task`; a finished part in `out/parts` with the same key is taken as it is.
pub fn curate(spec: &Spec, task: &Task, raw: &Path, out: &Path) -> Result<Part> {
    let mut listing = (source::find(&task.source)?.list)(&raw.join(&task.folder))?;
    if let Some(masks) = task.masks.as_ref().filter(|masks| !raw.join(masks).is_dir()) {
        listing
            .differences
            .push(format!("no folder {}, so no lesion mask is used", raw.join(masks).display()));
    }
    let mut work = Work { spec, task, raw, rejected: Vec::new() };
    for refusal in listing.refused {
        work.reject(&refusal.path, 0, None, "not-a-picture", refusal.reason);
    }
    let found = work.classify(listing.candidates);
    let found = work.hash(found);
    let key = work.key(&found, &listing.differences)?;
    let kept = out.join("parts").join(format!("{}.json", task.name));
    let is_stored = spec.sizes.iter().all(|&size| store::path(out, &task.name, size).exists());
    if let Some(part) = read_part(&kept, &key).filter(|_| is_stored) {
        return Ok(part);
    }
    let found = work.drop_duplicates(found);
    let (fates, done) = work.draw(&found);
    let (rows, selection) = work.collect(&found, &fates, &done, out)?;
    let rejected = std::mem::take(&mut work.rejected);
    let part = Part { key, rows, rejected, selection, differences: listing.differences };
    files::write_whole(&kept, &serde_json::to_vec(&part)?)?;
    Ok(part)
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
            reason,
        });
    }

    pub fn reject_found(&mut self, found: &Found, kind: &str, reason: String) {
        let Candidate { path, frame, finding, .. } = &found.candidate;
        self.reject(path, *frame, Some(finding), kind, reason);
    }

    fn path(&self, candidate: &Candidate) -> PathBuf {
        self.raw.join(&self.task.folder).join(&candidate.path)
    }

    /// Where the candidate's mask would lie, relative to the raw folder.
    fn mask_path(&self, candidate: &Candidate) -> Option<String> {
        let masks = self.task.masks.as_ref()?;
        Some(format!("{masks}/{}", Path::new(&candidate.path).with_extension("png").display()))
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

    /// Reads every file once for its hash; unreadable and empty ones are rejected.
    fn hash(&mut self, candidates: Vec<(Candidate, Option<usize>)>) -> Vec<Found> {
        let bar = progress::bar(candidates.len(), &format!("{}: reading", self.task.name));
        let read = |(candidate, quota): (Candidate, Option<usize>)| {
            bar.inc(1);
            let bytes = files::read(&self.path(&candidate));
            let result = bytes.map(|bytes| (files::sha256(&bytes), bytes.len() as u64));
            (candidate, quota, result)
        };
        let hashed: Vec<_> = candidates.into_par_iter().map(read).collect();
        bar.finish_and_clear();
        let mut found = Vec::new();
        for (candidate, quota, result) in hashed {
            match result {
                Ok((sha256, n_bytes)) => found.push(Found { candidate, quota, sha256, n_bytes }),
                Err(error) => {
                    let reason = format!("{error:#}");
                    self.reject(
                        &candidate.path,
                        candidate.frame,
                        Some(&candidate.finding),
                        "unreadable",
                        reason,
                    );
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
        for item in found {
            text += &format!("\n{:?} {}", item.candidate, item.sha256);
            if let Some(mask) =
                self.mask_path(&item.candidate).and_then(|path| files::read(&self.raw.join(path)).ok())
            {
                text += &format!(" {}", files::sha256(&mask));
            }
        }
        Ok(files::fingerprint(text.as_bytes()))
    }

    fn drop_duplicates(&mut self, found: Vec<Found>) -> Vec<Found> {
        if self.task.duplicates == Duplicates::Group {
            return found;
        }
        let mut first: HashMap<(String, u32), String> = HashMap::new();
        let mut kept = Vec::new();
        for item in found {
            let key = (item.sha256.clone(), item.candidate.frame);
            if let Some(original) = first.get(&key) {
                let reason = format!("byte-identical to {original}");
                self.reject_found(&item, "duplicate", reason);
            } else {
                first.insert(key, item.candidate.path.clone());
                kept.push(item);
            }
        }
        kept
    }

    /// Draws, decodes what was drawn, and draws again without what could not be decoded.
    fn draw(&mut self, found: &[Found]) -> (Vec<Fate>, HashMap<usize, Done>) {
        let mut done: HashMap<usize, Done> = HashMap::new();
        let mut broken: BTreeSet<usize> = BTreeSet::new();
        loop {
            let usable: Vec<usize> = (0..found.len()).filter(|index| !broken.contains(index)).collect();
            let items: Vec<Item> = usable.iter().map(|&index| item(&found[index])).collect();
            let mut fates = vec![Fate::LeftOut("unreadable"); found.len()];
            for (&index, fate) in usable.iter().zip(select(self.task, self.spec.seed, &items)) {
                fates[index] = fate;
            }
            let wanted = |index: &usize| matches!(fates[*index], Fate::Drawn(_)) && !done.contains_key(index);
            let todo: Vec<usize> = (0..found.len()).filter(wanted).collect();
            if todo.is_empty() {
                return (fates, done);
            }
            for (index, result) in self.decode(found, todo) {
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

    fn decode(&self, found: &[Found], todo: Vec<usize>) -> Vec<(usize, Result<Done>)> {
        let bar = progress::bar(todo.len(), &format!("{}: decoding", self.task.name));
        let decode = |index: usize| {
            let result = self.decode_one(&found[index].candidate);
            bar.inc(1);
            (index, result)
        };
        let decoded = todo.into_par_iter().map(decode).collect();
        bar.finish_and_clear();
        decoded
    }

    fn decode_one(&self, candidate: &Candidate) -> Result<Done> {
        let sizes = &self.spec.sizes;
        let standard = standardise::picture(&self.path(candidate), candidate.frame, sizes)?;
        let Some(relative) = self.mask_path(candidate) else { return Ok(Done { standard, mask: None }) };
        let path = self.raw.join(&relative);
        let mask = match path.exists() {
            true => Some((relative, standardise::mask(&path, &standard, sizes)?)),
            false => None,
        };
        Ok(Done { standard, mask })
    }
}

fn item(found: &Found) -> Item {
    let candidate = &found.candidate;
    let named = [("patient", &candidate.patient), ("group", &candidate.group)];
    let ties =
        named.into_iter().filter_map(|(kind, name)| name.as_ref().map(|name| format!("{kind} {name}")));
    Item {
        key: format!("{}#{}", candidate.path, candidate.frame),
        quota: found.quota,
        owner: candidate.owner_split,
        ties: ties.chain([format!("file {} {}", found.sha256, candidate.frame)]).collect(),
    }
}
