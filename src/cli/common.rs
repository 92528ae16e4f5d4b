//! What several commands share: folders of the project, curated folders, threads.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;
use crate::manifest::Manifest;
use crate::spec::Spec;

/// A folder of the project: below `MEDFSAD_HOME` where that is set, else below the current folder.
pub(super) fn home(folder: &str) -> PathBuf {
    std::env::var_os("MEDFSAD_HOME").map(PathBuf::from).unwrap_or_default().join(folder)
}

/// A curated folder, the phantom's when none is given, with its manifest and the spec it was made from.
pub(super) fn curated(folder: Option<&PathBuf>) -> Result<(PathBuf, Manifest, Spec)> {
    let folder = folder.cloned().unwrap_or_else(|| home("manifests").join("phantom"));
    let manifest = Manifest::read(&folder)?;
    let spec = own_spec(&folder)?;
    Ok((folder, manifest, spec))
}

/// The spec that a curated folder was built from.
pub(super) fn own_spec(folder: &Path) -> Result<Spec> {
    let path = folder.join("spec.toml");
    let parsed = files::read_text(&path).and_then(|text| Spec::parse(&text));
    parsed.with_context(|| format!("the curated folder's own spec, {}", path.display()))
}

/// Limits rayon to `threads`, all cores when not given; returns the number in use.
pub(super) fn use_threads(threads: Option<usize>) -> Result<usize> {
    let threads = match threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().context("counting cores")?.get(),
    };
    anyhow::ensure!(threads > 0, "--threads must be at least 1");
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("starting threads")?;
    Ok(threads)
}
