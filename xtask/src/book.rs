//! mdBook, with which the tests build the book.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::programs;

/// The version that the book is tried with.
const VERSION: &str = "0.5.4";

/// Without what only its server and its search need.
const INSTALL: &[&str] = &["install", "--quiet", "--debug", "--locked", "--no-default-features"];

/// A `PATH` with mdBook in it, which is built where nobody has installed it; `None` where the user's own has it, or where it
/// cannot be built, as without a network: the test that needs it is left out then, and says so.
pub(crate) fn path_with_mdbook(root: &Path) -> Option<OsString> {
    if programs::which("mdbook").is_some() {
        return None;
    }
    // Below the checkout, so that `cargo clean` removes it.
    let tools = root.join(format!("target/tools/mdbook-{VERSION}"));
    let folder = tools.join("bin");
    if !folder.join("mdbook").is_file() {
        println!("    mdBook {VERSION} is built once, in a minute or two");
        let mut install = programs::cargo();
        install.args(INSTALL).arg(format!("mdbook@{VERSION}")).arg("--root").arg(&tools).current_dir(root);
        let built = programs::succeed(&mut install);
        if let Err(error) = built {
            eprintln!("note: no mdBook, so the book is not built: {error:#}");
            return None;
        }
    }
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.push(folder);
    std::env::join_paths(folders).ok()
}
