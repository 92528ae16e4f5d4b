//! Camelyon16 patches in the layouts of BMAD, MedIAnomaly, MVFA and D2-4FAD.

use std::path::Path;

use anyhow::{Result, ensure};

use super::contract::{Candidate, Listing, Side, Source};
use super::tree;
use crate::spec::Task;

/// Folders `train/good` and `test` or `valid` with `good` and `Ungood`, `img` below them or not.
///
/// What `valid` becomes is the spec's business. Names restart in every folder, so the path is the
/// only key; slides are unknown, except in names such as `14082_idx5_x1001_y1051_class0.png`, which begin
/// with the patient.
pub const SOURCE: Source = Source {
    name: "camelyon16",
    about: "lymph-node tiles: train/good, {test,valid}/{good,Ungood}, with or without img below",
    is_own_layout: false,
    list,
};

const REMEDY: &str = "give the folder that holds train/good, test/good and test/Ungood";

/// MedIAnomaly's count; BMAD splits the held-out part again.
const PUBLISHED: &[(&str, usize)] =
    &[("train good", 5088), ("held-out good", 1120), ("held-out Ungood", 1113)];

fn list(root: &Path, _: &Task) -> Result<Listing> {
    let mut listing = tree::list(root, REMEDY, judge)?;
    let held = |side| listing.candidates.iter().any(|candidate| candidate.owner_split == Some(side));
    ensure!(held(Side::Train), "no picture in train/good below {}; {REMEDY}", root.display());
    ensure!(
        held(Side::Test) || held(Side::Val),
        "no picture in test or valid below {}; {REMEDY}",
        root.display()
    );
    let class = |candidate: &Candidate| {
        let side = if candidate.owner_split == Some(Side::Train) { "train" } else { "held-out" };
        format!("{side} {}", candidate.finding)
    };
    tree::compare(&mut listing, class, PUBLISHED, "BMAD, test and valid together");
    Ok(listing)
}

fn judge(parts: &[&str]) -> Result<Candidate, String> {
    let ([side, class, file] | [side, class, "img", file]) = *parts else {
        return Err("outside train/good and {test,valid}/{good,Ungood}".to_owned());
    };
    let side = match side {
        "train" => Side::Train,
        "valid" => Side::Val,
        "test" => Side::Test,
        other => return Err(format!("folder {other} is neither train, test nor valid")),
    };
    let finding = match class {
        "good" => "good",
        "Ungood" | "ungood" | "bad" => "Ungood",
        "ground_truth" | "anomaly_mask" => return Err("a mask, not a picture of the benchmark".to_owned()),
        other => return Err(format!("class folder {other} is neither good, Ungood nor bad")),
    };
    Ok(Candidate { patient: patient(file), ..tree::found(finding, Some(side)) })
}

fn patient(file: &str) -> Option<String> {
    let (patient, rest) = file.split_once("_idx")?;
    let numbered = !patient.is_empty() && patient.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && rest.contains("_x") && rest.contains("_y")).then(|| patient.to_owned())
}
