//! A reader of others that panics on a damaged file costs that file, and tells the terminal nothing.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use medfsad::files;
use medfsad::manifest::Rejected;
use medfsad::table::{Record, Table};
use tempfile::TempDir;

use crate::folders;
use crate::program::{command, medfsad, text};

/// A build over whole pictures and one that makes its decoder panic.
fn built(home: &Path) -> Output {
    folders::raw(home);
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/hostile/png_palette_panic.png");
    fs::copy(hostile, home.join("raw/wrist/good/panics.png")).expect("a copy");
    medfsad(home, &["build-dataset", "--spec", "mine.toml", "--raw", "raw", "--threads", "2"])
}

fn assert_tells_of_no_panic(output: &Output) {
    let told = text(output);
    assert!(!told.contains("panic at") && !told.contains("panicked at"), "{told}");
}

#[test]
fn a_decoder_that_panics_on_a_worker_rejects_its_file_and_is_quiet() {
    let home = TempDir::new().expect("a folder");
    let output = built(home.path());
    assert!(output.status.success(), "{}", text(&output));
    assert_tells_of_no_panic(&output);
    let rejected = Rejected::read(&home.path().join("manifests/mine/rejected.parquet")).expect("a table");
    let row = rejected.iter().find(|row| row.source_path.ends_with("panics.png")).expect("its row");
    assert!(row.reason.contains("the decoder gave up on malformed data ("), "{}", row.reason);
}

#[test]
fn a_reader_of_tables_that_panics_names_its_file_and_is_quiet() {
    let home = TempDir::new().expect("a folder");
    built(home.path());
    let path = home.path().join("manifests/mine/manifest.parquet");
    let whole = fs::read(&path).expect("the manifest");
    // Which damage makes polars panic depends on its version.
    let gives_up = |&place: &usize| {
        let mut damaged = whole.clone();
        damaged[place] ^= 0xff;
        fs::write(&path, damaged).expect("a file");
        Table::read(&path).is_err_and(|error| format!("{error:#}").contains("its reader gave up ("))
    };
    assert!((0..whole.len()).find(gives_up).is_some(), "polars panics at none of {} bytes", whole.len());
    // With a hash that fits, or damage would be refused before the reader sees it.
    let header = home.path().join("manifests/mine/manifest.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(&header).expect("a header")).expect("JSON");
    json["tables"]["manifest.parquet"] =
        files::fingerprint(&fs::read(&path).expect("the damaged file")).into();
    fs::write(&header, json.to_string()).expect("a header");
    let output = medfsad(home.path(), &["audit", "manifests/mine"]);
    let told = text(&output);
    assert!(!output.status.success() && told.contains("its reader gave up ("), "{told}");
    assert!(told.contains("manifest.parquet"), "{told}");
    assert_tells_of_no_panic(&output);
}

/// As after `| head`: not a panic, and nothing on the terminal.
#[test]
fn a_program_whose_words_nobody_reads_ends_quietly() {
    let home = tempfile::tempdir().unwrap();
    for backtrace in [None, Some("0"), Some("1")] {
        let mut command = command(home.path(), &["sources"]);
        command.env_remove("RUST_BACKTRACE").envs(backtrace.map(|value| ("RUST_BACKTRACE", value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn an_error_that_nobody_reads_is_an_error_still() {
    let home = tempfile::tempdir().unwrap();
    let mut child = command(home.path(), &["report", "nothing"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
