//! Finding, fetching and linking libtorch: exactly one version, by the first route that has it.

use std::path::Path;

use anyhow::{Result, bail};

use crate::cache;

/// pip, and what it takes to get the pinned wheels with it.
mod fetch;

/// A folder with `include` and `lib`: is it libtorch, and which?
mod folder;

/// The torch that a Python has.
mod python;

/// Which libtorch there is, by the order of the routes.
mod search;

/// The folder that cargo links against.
mod view;

/// The pinned wheels.
mod wheels;

/// What the user asks for.
mod options;

pub(crate) use fetch::{find_pip, room_needed};
pub(crate) use folder::has_cuda;
pub(crate) use options::{Flavour, HELP, Options};
pub(crate) use search::search;
pub(crate) use view::{is_linked, linked_home, linked_route};

use search::{Found, Search, kept_in, named_by_user};

/// The one version that `tch` 0.24 works with.
pub(crate) const VERSION: &str = "2.11.0";

/// Sees to it that `.libtorch` can be linked against; what was chosen before stays.
pub(crate) fn provide(root: &Path) -> Result<()> {
    match named_by_user(root)? {
        Some(found) => view::link(root, &found),
        None if is_linked(root) => Ok(()),
        None => provide_anew(root, &Options::default()),
    }
}

/// Chooses anew, by the order of the routes or as the options say.
pub(crate) fn provide_anew(root: &Path, options: &Options) -> Result<()> {
    let flavour = options.flavour.unwrap_or_else(Flavour::fitting);
    let found = match &options.from {
        Some(folder) => from_folder(folder, flavour)?,
        None => match search(root, flavour)? {
            Search { found: Some(found), .. } => found,
            Search { passed_over, .. } => {
                eprintln!("no libtorch {VERSION} yet: {}", passed_over.join("; "));
                fetched(flavour, None)?
            }
        },
    };
    if options.flavour.is_some_and(|flavour| !flavour.is_served_by(&found.home)) {
        bail!("{} ({}) has no CUDA half; unset it or name another", found.route, found.home.display());
    }
    view::link(root, &found)?;
    println!("libtorch {VERSION}: {} ({})", found.route, found.home.display());
    Ok(())
}

fn from_folder(folder: &Path, flavour: Flavour) -> Result<Found> {
    let folder = std::path::absolute(folder)?;
    for home in [folder.clone(), folder.join("torch")] {
        if home.join("lib").is_dir() {
            folder::check(&home)?;
            return Ok(Found { route: format!("--from {}", folder.display()), home });
        }
    }
    fetched(flavour, Some(&folder))
}

fn fetched(flavour: Flavour, shelf: Option<&Path>) -> Result<Found> {
    let cache = cache::folder()?;
    let home = fetch::fetch(&cache, flavour, shelf)?;
    Ok(Found { route: format!("the cache, {} flavour, from wheels", flavour.name()), home })
}
