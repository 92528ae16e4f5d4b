//! The list of sources.

use anyhow::Result;

use super::contract::Source;
use super::{aptos, brain_tumor_mri, brats, camelyon16, ddad, folders, lag, mvtec, rsna};
use crate::names;

/// Every adapter.
pub const SOURCES: &[Source] = &[
    camelyon16::SOURCE,
    lag::SOURCE,
    aptos::SOURCE,
    rsna::SOURCE,
    brain_tumor_mri::SOURCE,
    brats::SOURCE,
    ddad::SOURCE,
    mvtec::SOURCE,
    folders::SOURCE,
];

/// The adapter of that name; the error lists the known ones.
///
/// # Errors
/// A name that no source has.
pub fn find(name: &str) -> Result<&'static Source> {
    let found = SOURCES.iter().find(|source| source.name == name);
    found.ok_or_else(|| names::unknown("source", name, SOURCES.iter().map(|source| source.name)))
}
