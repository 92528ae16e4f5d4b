//! Folders as MVTec AD lays them out, which many medical collections copy.

use std::path::Path;

use anyhow::{Result, ensure};

use super::contract::{Candidate, Lesions, Listing, Side, Source};
use super::masks::MaskNames;
use super::{frames, tree};
use crate::spec::Task;

/// `train/good`, `test/good`, `test/<finding>`, and masks in `ground_truth/<finding>/<name>_mask.png` or under
/// another name that [`MaskNames`] understands; a `val` folder like `test` is understood.
pub const SOURCE: Source = Source {
    name: "mvtec",
    about: "MVTec-style folders: train/good, test/{good,<finding>}, ground_truth/<finding>/<name>_mask.png",
    is_own_layout: true,
    list,
};

const REMEDY: &str = "give the folder that holds train/good, test and, for masks, ground_truth";
const MASKS: &str = "ground_truth";

fn list(root: &Path, task: &Task) -> Result<Listing> {
    let mut listing = tree::list(root, REMEDY, judge)?;
    let held = |side| listing.candidates.iter().any(|candidate| candidate.owner_split == Some(side));
    ensure!(held(Side::Train), "no picture in train/<finding> below {}; {REMEDY}", root.display());
    ensure!(held(Side::Test), "no picture in test/<finding> below {}; {REMEDY}", root.display());
    add_masks(&mut listing, task);
    listing.differences.push("no patient is known, so the owner's sides cannot be checked".to_owned());
    frames::expand(root, &mut listing, task);
    Ok(listing)
}

fn judge(parts: &[&str]) -> Result<Candidate, String> {
    let [side, finding, _] = *parts else {
        return Err("outside train/<finding>, test/<finding> and ground_truth/<finding>".to_owned());
    };
    let side = match side {
        "train" => Side::Train,
        "val" | "validation" => Side::Val,
        "test" => Side::Test,
        MASKS => return Err("a mask (below ground_truth), not a picture".to_owned()),
        other => return Err(format!("folder {other} is neither train, val, test nor ground_truth")),
    };
    Ok(tree::found(finding, Some(side)))
}

/// Doubtful pictures that a remark names; it counts the rest.
const N_NAMED: usize = 5;

/// Names every picture's mask, and says how many pictures have several, and how many that the spec counts as
/// anomalous have none.
fn add_masks(listing: &mut Listing, task: &Task) {
    let below = |path: &str| path.strip_prefix(MASKS)?.strip_prefix('/').map(str::to_owned);
    let masks = MaskNames::new(listing.refused.iter().filter_map(|refusal| below(&refusal.path)));
    let (mut without, mut doubtful) = (0, Vec::new());
    for candidate in &mut listing.candidates {
        let Some((_, name)) = candidate.path.split_once('/') else { continue };
        match masks.of(name) {
            Ok(mask) => candidate.mask = mask.map(|path| Lesions::Masks(format!("{MASKS}/{path}"))),
            Err(reason) => doubtful.push(format!("{} ({reason})", candidate.path)),
        }
        let is_anomalous =
            candidate.owner_split != Some(Side::Train) && !task.normal.contains(&candidate.finding);
        without += usize::from(is_anomalous && candidate.mask.is_none());
    }
    if !doubtful.is_empty() {
        let shown = doubtful[..doubtful.len().min(N_NAMED)].join(", ");
        let more = if doubtful.len() > N_NAMED { ", ..." } else { "" };
        listing.differences.push(format!(
            "{} pictures have several masks, of which none is used: {shown}{more}",
            doubtful.len()
        ));
    }
    if without > 0 {
        listing.differences.push(format!("{without} anomalous pictures have no mask below {MASKS}"));
    }
}
