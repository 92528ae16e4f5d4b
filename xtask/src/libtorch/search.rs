//! Which libtorch there is on this machine, by the order of the routes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Flavour, VERSION, folder, python, view};
use crate::cache;

/// A libtorch of the right version.
#[derive(Debug)]
pub(crate) struct Found {
    /// How it was found, in words.
    pub route: String,
    /// Holds `include` and `lib`.
    pub home: PathBuf,
}

/// The first fitting libtorch on this machine, and why those before it were passed over.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub found: Option<Found>,
    pub passed_over: Vec<String>,
}

/// Looks without changing anything. A wrong version is an error only where the user named it.
pub(crate) fn search(root: &Path, flavour: Flavour) -> Result<Search> {
    let mut search = Search::default();
    if let Some(found) = named_by_user(root)? {
        search.found = Some(found);
        return Ok(search);
    }
    search.passed_over.push("LIBTORCH is not set".into());
    for program in python::PROGRAMS {
        match python::torch_of(program).and_then(|home| fitting(home, flavour)) {
            Ok(home) => {
                search.found = Some(Found { route: format!("the torch of {program}"), home });
                return Ok(search);
            }
            Err(reason) => search.passed_over.push(format!("{program}: {reason:#}")),
        }
    }
    for kept in [Flavour::Cpu, Flavour::Cuda] {
        if flavour == Flavour::Cuda && kept == Flavour::Cpu {
            continue;
        }
        let home = kept_in(&cache::folder()?, kept);
        match folder::check(&home) {
            Ok(()) => {
                search.found = Some(Found { route: format!("the cache, {} flavour", kept.name()), home });
                return Ok(search);
            }
            Err(reason) if home.exists() => search.passed_over.push(format!("the cache: {reason:#}")),
            Err(_) => search.passed_over.push(format!("the cache has no {} flavour", kept.name())),
        }
    }
    Ok(search)
}

fn fitting(home: PathBuf, flavour: Flavour) -> Result<PathBuf> {
    folder::check(&home)?;
    if !flavour.is_served_by(&home) {
        bail!("{} has no CUDA half, which the GPU here would need", home.display());
    }
    Ok(home)
}

/// Where the cache keeps a flavour, laid out like the wheels: `torch` beside `nvidia`.
pub(super) fn kept_in(cache: &Path, flavour: Flavour) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}-{}", flavour.name())).join("torch")
}

/// What `LIBTORCH` or `LIBTORCH_USE_PYTORCH` names; cargo's own `.libtorch` does not count.
pub(super) fn named_by_user(root: &Path) -> Result<Option<Found>> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(given) = set("LIBTORCH").map(PathBuf::from).filter(|given| *given != view::folder(root)) {
        let home = std::path::absolute(&given)?;
        folder::check(&home)
            .context("LIBTORCH cannot be used; correct it, or unset it to have one fetched")?;
        return Ok(Some(Found { route: "LIBTORCH".into(), home }));
    }
    if set("LIBTORCH_USE_PYTORCH").is_none() {
        return Ok(None);
    }
    let mut reasons = Vec::new();
    for program in python::PROGRAMS {
        match python::torch_of(program).and_then(|home| fitting(home, Flavour::Cpu)) {
            Ok(home) => return Ok(Some(Found { route: format!("LIBTORCH_USE_PYTORCH, {program}"), home })),
            Err(reason) => reasons.push(format!("{program}: {reason:#}")),
        }
    }
    bail!(
        "LIBTORCH_USE_PYTORCH is set, but no Python has torch {VERSION} ({}); \
         `pip install torch=={VERSION}` in that Python, or unset it to have libtorch fetched",
        reasons.join("; ")
    )
}
