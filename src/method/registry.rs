//! The list of methods.

use anyhow::{Result, bail};

use super::contract::Entry;
use super::{
    anomalydino, autoencoder, control, cutpaste, d24fad, dae, dinomaly, dn2, dpa, external, foundad, gde,
    inctrl, inp_former, mediclip, mvfa, ogae, padim, patchcore, rad, rd4ad, regad, sagan, spade, stfpm,
    subspacead, winclip,
};
use crate::names;

/// Every method.
pub const METHODS: &[Entry] = &[
    d24fad::ENTRY,
    dn2::ENTRY,
    gde::ENTRY,
    spade::ENTRY,
    patchcore::ENTRY,
    anomalydino::ENTRY,
    rad::ENTRY,
    padim::ENTRY,
    subspacead::ENTRY,
    winclip::ENTRY,
    rd4ad::ENTRY,
    stfpm::ENTRY,
    regad::ENTRY,
    inctrl::ENTRY,
    cutpaste::ENTRY,
    dinomaly::ENTRY,
    inp_former::ENTRY,
    foundad::ENTRY,
    mediclip::ENTRY,
    mvfa::ENTRY,
    autoencoder::AE,
    autoencoder::VAE,
    dae::ENTRY,
    dpa::ENTRY,
    ogae::ENTRY,
    sagan::SAGAN,
    sagan::SAGAN_K,
    control::RANDOM,
    control::MEAN_INTENSITY,
    control::CONTRAST,
    control::SIZE,
    control::ASPECT,
    control::BORDER,
    control::FILE_SIZE,
    control::PIXEL_MEAN,
    control::LABEL_SHUFFLE,
    external::ENTRY,
];

/// The method of that name, or of the name before a colon: `dae:coarse` is a variant of `dae`, with settings
/// and rows of its own. The error lists the known ones.
///
/// # Errors
/// A name that no method has, or a variant with characters other than a-z, 0-9 and -.
pub fn find(name: &str) -> Result<&'static Entry> {
    let base = base_name(name);
    let Some(entry) = METHODS.iter().find(|entry| entry.name == base) else {
        // `all` is no method, and is known wherever several can be named.
        let known = METHODS.iter().map(|entry| entry.name).chain(["all"]);
        return Err(names::unknown("method", base, known));
    };
    let variant = name.strip_prefix(base).and_then(|rest| rest.strip_prefix(':'));
    let is_plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    if !variant.is_none_or(is_plain) {
        bail!("`{name}`: what follows the colon may hold a-z, 0-9 and - only");
    }
    Ok(entry)
}

/// What stands before a colon.
pub fn base_name(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
