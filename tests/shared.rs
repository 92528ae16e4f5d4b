//! Reference data beside the repository: too large for it, or not ours to hand on.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Names a file to which every test that is left out, or compares less, adds a line; `cargo xtask test` counts them.
const RECORD: &str = "MEDFSAD_LEFT_OUT";

/// The path of `relative` below `../shared`, or `None`, said aloud and recorded, where there is no `../shared` at all.
///
/// # Panics
/// If `../shared` is there but `relative` is not: then the reference data are broken.
#[track_caller]
pub fn shared(relative: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !root.exists() {
        leave_out(relative);
        return None;
    }
    let path = root.join(relative);
    assert!(
        path.exists(),
        "../shared is there but {relative} is missing from it: restore the reference data"
    );
    Some(path)
}

/// Says and records that the running test does without `what`, which is not there.
#[track_caller]
pub fn leave_out(what: &str) {
    println!("left out: nothing is compared with {what}, which is not here");
    if let Some(record) = std::env::var_os(RECORD) {
        add_line(Path::new(&record), &format!("{}\t{what}\n", test_name()));
    }
}

/// The running test, as its thread is named; where tests run one by one on the main thread, the calling line.
#[track_caller]
fn test_name() -> String {
    let caller = std::panic::Location::caller();
    let thread = std::thread::current();
    let name = thread.name().filter(|name| name.contains("::"));
    name.map_or_else(|| format!("{}:{}", caller.file(), caller.line()), str::to_owned)
}

/// In one write, so that lines of tests that run at once stay whole.
fn add_line(path: &Path, line: &str) {
    let mut file = File::options().create(true).append(true).open(path).expect("the record can be opened");
    file.write_all(line.as_bytes()).expect("the record can be written");
}

#[test]
fn a_test_that_is_left_out_is_named_in_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let name = test_name();
    assert!(
        name == "shared::a_test_that_is_left_out_is_named_in_the_record"
            || name.starts_with("tests/shared.rs:"),
        "{name}"
    );
    add_line(&record, "first\ta\n");
    add_line(&record, "second\tb\n");
    assert_eq!(std::fs::read_to_string(&record).unwrap(), "first\ta\nsecond\tb\n");
}
