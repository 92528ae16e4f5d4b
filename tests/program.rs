//! The binary as tests run it: in a folder of their own, which is home, cache and configuration too.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Output};

use medfsad::results::{CellResult, read_run};

pub fn command(home: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
    command.current_dir(home).args(arguments);
    command.env("MEDFSAD_HOME", home).env("MEDFSAD_CACHE", home.join("cache"));
    command.env("XDG_CONFIG_HOME", home.join("config")).env_remove("MEDFSAD_KEY");
    command
}

pub fn medfsad(home: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    command(home, arguments).output().expect("the binary runs")
}

/// All that it said.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What it says when it succeeds, which it must.
pub fn succeeds(home: &Path, arguments: &[impl AsRef<OsStr> + Debug]) -> String {
    let output = medfsad(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// It must fail, and its error name all of `words`.
pub fn fails(home: &Path, arguments: &[impl AsRef<OsStr> + Debug], words: &[&str]) {
    let output = medfsad(home, arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} should fail");
    assert!(words.iter().all(|word| text.contains(word)), "{arguments:?} does not say {words:?}: {text}");
}

/// Every cell of a run, with all that it stores.
pub fn cells(run: &Path) -> Vec<CellResult> {
    let stored = read_run(run).expect("a run");
    stored.iter().map(|cell| cell.whole().expect("a cell")).collect()
}
