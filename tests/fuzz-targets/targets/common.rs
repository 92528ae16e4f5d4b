//! Reads bytes as the program reads a file of that name.

use std::sync::LazyLock;

use medfsad::fuzz::{Family, read};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder for inputs"));

/// An error is a refusal, which is as good as a picture; a panic, a hang or much memory is a finding.
pub fn file(family: Family, name: &str, bytes: &[u8]) {
    let path = FOLDER.path().join(name);
    std::fs::write(&path, bytes).expect("an input of its own");
    let _ = read(family, FOLDER.path(), &path, 0);
}
