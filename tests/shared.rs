//! Reference data beside the repository.

use std::path::{Path, PathBuf};

/// The path of `relative` below `../shared`, or `None`, said aloud, where there is no `../shared` at all.
///
/// # Panics
/// If `../shared` is there but `relative` is not: then the reference data are broken.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !root.exists() {
        println!("left out: ../shared is absent, so nothing is compared with {relative}");
        return None;
    }
    let path = root.join(relative);
    assert!(
        path.exists(),
        "../shared is there but {relative} is missing from it: restore the reference data"
    );
    Some(path)
}
