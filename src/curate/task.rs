//! One task from its source's listing to rows, rejections and a pixel store.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::Request;
use super::curation::{Curation, KnownContent};
use super::draw::{divided, without_mask};
use super::ids::IdList;
use super::taken;
use crate::decode::resize::RESIZE_ID;
use crate::manifest::spool::Spool;
use crate::manifest::{Rejected, Row, Selection, store};
use crate::source::masks::MaskNames;
use crate::source::{self, Candidate, Side};
use crate::spec::{Shuffle, Task};
use crate::table::Seals;
use crate::{files, names};

/// A curated task, as kept between runs.
#[derive(Serialize, Deserialize)]
pub struct Part {
    /// Over everything that determines the rest.
    key: String,
    /// The curated images.
    pub rows: Vec<Row>,
    /// Files and frames that were refused.
    pub rejected: Vec<Rejected>,
    /// What was asked for and what was taken.
    pub selection: Vec<Selection>,
    /// Sentences for the user, such as differences from the owner's totals.
    pub differences: Vec<String>,
    /// Of its pixel stores.
    pub pixels: Seals,
}

/// As it lies on disk: with a hash over its JSON, since what was changed there is no part of what was curated.
#[derive(Serialize, Deserialize)]
struct Kept {
    part: Part,
    hash: String,
}

impl Part {
    fn hash(&self) -> Result<String> {
        Ok(files::fingerprint(&serde_json::to_vec(self)?))
    }
}

/// Curates `task`; a finished part in `out/parts` with the same key is taken as it is.
///
/// # Errors
/// A missing source folder, files that are not those of `ids`, or a part that cannot be written.
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
    let taken = task.taken.as_ref().map(|table| taken::Table::read(&raw.join(table))).transpose()?;
    let taken = taken.unwrap_or_default();
    listing.differences.extend(task.taken.as_ref().and_then(|name| taken.unknown(&listing.candidates, name)));
    let mut work = Curation { spec, task, raw, pseudonyms: key, ids, rejected: Vec::new(), masks, taken };
    for refusal in listing.refused {
        work.reject(&refusal.path, 0, None, "not-a-picture", refusal.reason);
    }
    listing.differences.extend(absent(task, &listing.candidates));
    listing.differences.extend(work.unknown_ids(&listing.candidates));
    let found = work.classify(listing.candidates);
    let mut found = work.hash(found);
    let key = work.key(&found, &listing.differences)?;
    let kept = out.join("parts").join(format!("{}.json", task.name));
    let is_stored =
        |part: &Part| store::seals(out, &task.name, &spec.sizes).is_ok_and(|found| found == part.pixels);
    if let Some(part) = read_part(&kept, &key).filter(is_stored) {
        return Ok(part);
    }
    // The owner shuffled all pictures, also those that are left out here.
    if let Some(shuffle) = task.shuffle {
        divide_by_shuffle(shuffle, &mut found);
    }
    if ids.is_none() {
        found = work.drop_duplicates(found);
    }
    // Last, so that no copy of a picture that is left out takes its place.
    found = work.leave_out(found);
    let folder = out.join("pixels");
    let spools: Vec<Spool> =
        spec.sizes.iter().map(|&size| Spool::new(&folder, size)).collect::<Result<_>>()?;
    let (outcomes, done) = work.draw(&found, &spools)?;
    listing.differences.extend(divided(&found, &outcomes, &done));
    listing.differences.extend(without_mask(&work, &found, &outcomes, &done));
    let (rows, selection) = work.collect(&found, &outcomes, &done)?;
    write_stores(spools, task, &rows, out)?;
    let rejected = std::mem::take(&mut work.rejected);
    let pixels = store::seals(out, &task.name, &spec.sizes)?;
    let part = Part { key, rows, rejected, selection, differences: listing.differences, pixels };
    let hash = part.hash()?;
    let to_keep = Kept { part, hash };
    files::write_whole(&kept, &serde_json::to_vec(&to_keep)?)?;
    Ok(to_keep.part)
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
fn divide_by_shuffle(shuffle: Shuffle, found: &mut [KnownContent]) {
    let mut normals: Vec<usize> = (0..found.len()).filter(|&index| found[index].quota.is_none()).collect();
    normals.sort_by_key(|&index| found[index].candidate.owner_order);
    let sides = super::shuffle::divide(shuffle, normals.len());
    found.iter_mut().for_each(|item| item.candidate.owner_split = Some(Side::Test));
    for (index, side) in normals.into_iter().zip(sides) {
        found[index].candidate.owner_split = Some(side);
    }
}

fn read_part(path: &Path, key: &str) -> Option<Part> {
    let Kept { part, hash } = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (part.key == key && part.hash().ok()? == hash).then_some(part)
}
