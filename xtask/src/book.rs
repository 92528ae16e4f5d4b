//! mdBook, with which the tests build the book.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::programs;

/// Of the version that the book is tried with, without what only its server needs.
const INSTALL: &[&str] =
    &["install", "--quiet", "--debug", "--locked", "--no-default-features", "mdbook@0.5.4", "--root"];

/// Below the checkout, so that `cargo clean` removes it.
const TOOLS: &str = "target/tools/mdbook-0.5.4";

/// A `PATH` with mdBook in it, which is built where nobody has installed it; `None` where the user's own has it, or where it
/// cannot be built, as without a network: the test that needs it is left out then, and says so.
pub(crate) fn path_with_mdbook(root: &Path) -> Option<OsString> {
    if programs::which("mdbook").is_some() {
        return None;
    }
    let tools = root.join(TOOLS);
    let folder = tools.join("bin");
    if !folder.join("mdbook").is_file() {
        let built = programs::succeed(programs::cargo().args(INSTALL).arg(&tools).current_dir(root));
        if let Err(error) = built {
            eprintln!("note: no mdBook, so the book is not built: {error:#}");
            return None;
        }
    }
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.push(folder);
    std::env::join_paths(folders).ok()
}
