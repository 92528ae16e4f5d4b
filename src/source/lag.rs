//! LAG: fundus pictures, each class with its attention maps and labels beside it.

use std::path::Path;

use anyhow::Result;

use super::contract::{Candidate, Listing, Source};
use super::tree;
use crate::spec::Task;

/// Folders `{non_glaucoma,suspicious_glaucoma}/image`; the companions `attention_map` and `label` are refused.
pub const SOURCE: Source = Source {
    name: "lag",
    about: "fundus pictures: {non_glaucoma,suspicious_glaucoma}/image, beside attention_map and label",
    is_own_layout: false,
    list,
};

const REMEDY: &str = "give the folder that holds non_glaucoma/image and suspicious_glaucoma/image";
const REQUIRED: &[&str] = &["non_glaucoma/image", "suspicious_glaucoma/image"];

/// The part that was released first, which the literature uses.
const PUBLISHED: &[(&str, usize)] = &[("non_glaucoma", 3143), ("suspicious_glaucoma", 1711)];

fn list(root: &Path, _: &Task) -> Result<Listing> {
    tree::require(root, REQUIRED, REMEDY)?;
    let mut listing = tree::list(root, REMEDY, judge)?;
    tree::compare(&mut listing, |candidate| candidate.finding.clone(), PUBLISHED, "LAG, first release");
    Ok(listing)
}

fn judge(parts: &[&str]) -> Result<Candidate, String> {
    match *parts {
        [class @ ("non_glaucoma" | "suspicious_glaucoma"), "image", _] => Ok(tree::found(class, None)),
        [_, "attention_map", ..] => {
            Err("an attention map (where ophthalmologists looked), not a picture".to_owned())
        }
        [_, "label", ..] => Err("a label, not a picture".to_owned()),
        _ => Err("outside {non_glaucoma,suspicious_glaucoma}/image".to_owned()),
    }
}
