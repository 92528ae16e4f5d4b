//! What a run says, on the terminal and in its log.

use std::path::Path;

use tempfile::TempDir;

use super::CONTROLS;
use crate::program::{command, fails};

/// What came out on standard error, and whether it succeeded.
fn stderr(home: &Path, arguments: &[&str]) -> (String, bool) {
    let output = command(home, arguments).output().expect("the binary runs");
    (String::from_utf8(output.stderr).expect("UTF-8"), output.status.success())
}

/// The lines of a log, each without its time, which must stand before it.
fn lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).expect("a log");
    let line = |line: &str| {
        let (time, rest) = line.split_once(' ').expect("a time");
        // As 2026-01-31T23:59:59Z.
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z", "{line}");
        rest.to_owned()
    };
    text.lines().map(line).collect()
}

fn assert_some(lines: &[String], start: &str, middle: &str) {
    let is_it = |line: &String| line.starts_with(start) && line.contains(middle);
    assert!(lines.iter().any(is_it), "no line `{start}...{middle}`: {}", lines.join("\n"));
}

#[test]
fn a_quiet_run_says_nothing_and_its_log_says_all() {
    let home = TempDir::new().expect("a folder");
    let home = home.path();
    std::fs::write(home.join("controls.toml"), CONTROLS).expect("a definition");
    let bench = ["bench", "--bench", "controls.toml", "--device", "cpu", "--out", "run"];
    let logged = ["--quiet", "--log", "run.log"];
    assert_eq!(stderr(home, &[&bench[..], &logged].concat()), (String::new(), true));
    let log = lines(&home.join("run.log"));
    assert!(log[0].starts_with("note    medfsad ") && log[0].contains(medfsad::CODE_HASH), "{}", log[0]);
    assert!(log[0].contains("starts: cargo xtask bench --bench controls.toml"), "{}", log[0]);
    assert_some(&log, "note    drew", "phantom pictures");
    assert_some(&log, "step    lag: decoding: ", "ends after ");
    assert_some(&log, "note    controls: 9 cells, 0 already done", "on cpu");
    assert_some(&log, "step    job ", "control-pixel-mean on lag, 1 cell: starts");
    assert_some(&log, "step    job ", "control-pixel-mean on lag, 1 cell: done in ");
    assert_some(&log, "step    cell ", "control-pixel-mean on lag, 2-shot, draw 0, seed 1: done, scored in ");
    let n_done =
        log.iter().filter(|line| line.starts_with("step    job ") && line.contains("done in")).count();
    assert_eq!(n_done, 9);
    let last = log.last().expect("lines");
    assert!(last.starts_with("note    ends after ") && last.ends_with("with exit code 0"), "{last}");

    // The next command goes on in the same file.
    let (said, is_done) = stderr(home, &["collect", "run", "--log", "run.log"]);
    assert!(is_done && said.contains("9 already done"), "{said}");
    let both = lines(&home.join("run.log"));
    assert_eq!(both[..log.len()], log);
    assert_some(&both[log.len()..], "note    medfsad", "starts: cargo xtask collect run");
}

#[test]
fn a_failed_cell_is_told_in_full_where_that_is_asked_for() {
    let home = TempDir::new().expect("a folder");
    let home = home.path();
    // More training pictures in a batch than there are: training refuses, controls still run.
    let wide = CONTROLS.replace("'control-pixel-mean'", "'d24fad'")
        + "[settings.d24fad]\nbackbone = 'resnet18'\nbatch = 4000\n";
    std::fs::write(home.join("wide.toml"), wide).expect("a definition");
    let bench =
        ["bench", "--bench", "wide.toml", "--device", "cpu", "--teacher", "random", "--log", "run.log"];
    let (said, is_done) = stderr(home, &bench);
    assert!(!is_done && !said.contains("failed after") && said.contains("1 of 10 cells failed"), "{said}");
    let log = lines(&home.join("run.log"));
    assert_some(&log, "error   job ", "d24fad on lag, 1 cell: failed after ");
    assert_some(&log, "error   job ", "do not fill one batch of 4000");
    assert_some(&log, "error   1 of 10 cells failed", "");
    assert!(log.last().expect("lines").ends_with("with exit code 1"), "{log:?}");

    let (said, _) = stderr(home, &[&bench[..], &["--retry-failed", "--verbose"]].concat());
    for words in ["d24fad on lag, 1 cell: starts", "d24fad on lag, 1 cell: failed after", "one batch of 4000"]
    {
        assert!(said.contains(words), "not `{words}`: {said}");
    }
}

#[test]
fn a_log_that_cannot_be_written_is_refused_before_any_work() {
    let home = TempDir::new().expect("a folder");
    let build = |log: &str| {
        fails(home.path(), &["build-dataset", "--log", log], &["--log", log, "a folder that is there"]);
    };
    build("absent/run.log");
    build(".");
    assert!(!home.path().join("manifests").exists(), "nothing was built");
    fails(home.path(), &["doctor", "--quiet", "--verbose"], &["cannot be used with"]);
}
