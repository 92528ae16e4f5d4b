//! The list of sources.

use anyhow::{Result, bail};

use super::contract::Source;
use super::{aptos, brain_tumor_mri, brats, camelyon16, ddad, folders, lag, mvtec, rsna};

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
pub fn find(name: &str) -> Result<&'static Source> {
    let Some(source) = SOURCES.iter().find(|source| source.name == name) else {
        let known: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
        bail!("unknown source `{name}` (known: {})", known.join(", "));
    };
    Ok(source)
}
