//! Settings of a method, as they are given on the command line.

use anyhow::{Context, Result};

/// Settings of a method, from `key = value` in TOML, one a time.
pub fn settings(given: &[String]) -> Result<toml::Table> {
    let what = || format!("--set {}: it is no TOML, such as lambda=0.1", given.join(" "));
    toml::from_str(&given.join("\n")).with_context(what)
}
