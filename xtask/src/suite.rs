//! Every check there is, cheapest first; the first failure ends it.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{libtorch, programs};

/// One profile throughout: the release build that the tests need is the one that users run.
const BEFORE_LIBTORCH: &[&str] = &[
    "fmt --all --check",
    "clippy -p xtask --all-targets -- -D warnings",
    "test -p xtask",
    "clippy --release -p medfsad --no-default-features --all-targets -- -D warnings",
];

const WITH_LIBTORCH: &[&str] =
    &["clippy --release -p medfsad --all-targets -- -D warnings", "test --release -p medfsad"];

/// Runs all of it, telling every step and its time.
pub fn run(root: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    require("fmt", "rustfmt")?;
    require("clippy", "clippy")?;
    let steps = || BEFORE_LIBTORCH.iter().chain(WITH_LIBTORCH);
    for (done, step) in steps().enumerate() {
        if done == BEFORE_LIBTORCH.len() {
            timed("provision libtorch", || libtorch::provide(root))?;
        }
        let mut cargo = programs::cargo();
        cargo.args(step.split(' ')).current_dir(root);
        if let Some(code) = timed(&format!("cargo {step}"), || failure(&mut cargo))? {
            eprintln!("failed: cargo {step}");
            return Ok(code);
        }
    }
    println!("all checks passed in {}", in_words(started.elapsed()));
    Ok(ExitCode::SUCCESS)
}

fn require(subcommand: &str, component: &str) -> Result<()> {
    let mut cargo = programs::cargo();
    let output = cargo.args([subcommand, "--version"]).output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo {subcommand} is missing; install it: rustup component add {component}"
    );
    Ok(())
}

fn timed<T>(step: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {step}");
    let started = Instant::now();
    let done = work();
    println!("    {}", in_words(started.elapsed()));
    done
}

/// The exit code of a program that failed.
fn failure(command: &mut Command) -> Result<Option<ExitCode>> {
    let status = command.status().context("cannot run cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok((!status.success()).then(|| ExitCode::from(code)))
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        return format!("{:.1} s", time.as_secs_f64());
    }
    format!("{} min {} s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        assert_eq!(in_words(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(in_words(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn medfsad_is_built_in_one_profile_only() {
        for step in BEFORE_LIBTORCH.iter().chain(WITH_LIBTORCH) {
            assert!(!step.contains("medfsad") || step.contains("--release"), "{step}");
        }
    }

    #[test]
    fn a_failing_program_passes_its_code_on() {
        let code = failure(Command::new("sh").args(["-c", "exit 101"])).unwrap();
        assert_eq!(code, Some(ExitCode::from(101)));
        assert_eq!(failure(&mut Command::new("true")).unwrap(), None);
    }
}
