//! Brain Tumor MRI of Nickparvar (Kaggle): slices by tumour type.

use std::path::Path;

use anyhow::Result;

use super::contract::{Candidate, Listing, Side, Source};
use super::tree;
use crate::spec::Task;

/// Folders `{Training,Testing}/{glioma,meningioma,notumor,pituitary}`. There are no patient ids.
pub const SOURCE: Source = Source {
    name: "brain-tumor-mri",
    about: "MRI slices: {Training,Testing}/{glioma,meningioma,notumor,pituitary}",
    is_own_layout: false,
    list,
};

const REMEDY: &str = "give the folder that holds Training and Testing";
const REQUIRED: &[&str] = &[
    "Training/glioma",
    "Training/meningioma",
    "Training/notumor",
    "Testing/glioma",
    "Testing/meningioma",
    "Testing/notumor",
];

const PUBLISHED: &[(&str, usize)] = &[
    ("Training/glioma", 1321),
    ("Training/meningioma", 1339),
    ("Training/notumor", 1595),
    ("Training/pituitary", 1457),
    ("Testing/glioma", 300),
    ("Testing/meningioma", 306),
    ("Testing/notumor", 405),
    ("Testing/pituitary", 300),
];

fn list(root: &Path, _: &Task) -> Result<Listing> {
    tree::require(root, REQUIRED, REMEDY)?;
    let mut listing = tree::list(root, REMEDY, judge)?;
    let class = |candidate: &Candidate| {
        let side = if candidate.owner_split == Some(Side::Train) { "Training" } else { "Testing" };
        format!("{side}/{}", candidate.finding)
    };
    tree::compare(&mut listing, class, PUBLISHED, "Kaggle, 7,023 pictures");
    Ok(listing)
}

fn judge(parts: &[&str]) -> Result<Candidate, String> {
    let [side, class @ ("glioma" | "meningioma" | "notumor" | "pituitary"), _] = *parts else {
        return Err("outside {Training,Testing}/{glioma,meningioma,notumor,pituitary}".to_owned());
    };
    match side {
        "Training" => Ok(tree::found(class, Some(Side::Train))),
        "Testing" => Ok(tree::found(class, Some(Side::Test))),
        other => Err(format!("folder {other} is neither Training nor Testing")),
    }
}
