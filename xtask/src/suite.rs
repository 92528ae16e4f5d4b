//! Every check there is, cheapest first; the first failure ends it.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::left_out::Record;
use crate::{book, libtorch, programs};

/// One profile throughout: the release build that the tests need is the one that users run.
const BEFORE_LIBTORCH: &[&str] = &[
    "fmt --all --check",
    "clippy -p xtask --all-targets -- -D warnings",
    "test -p xtask",
    "clippy --release -p medfsad --no-default-features --all-targets -- -D warnings",
];

/// The documentation's own examples and the two programs of `examples/` run too.
const WITH_LIBTORCH: &[&str] = &[
    "clippy --release -p medfsad --all-targets -- -D warnings",
    "test --release -p medfsad",
    "run --release -p medfsad --example curate_folder",
    "run --release -p medfsad --example own_method",
];

/// Runs all of it, telling every step and its time.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let started = Instant::now();
    require("fmt", "rustfmt")?;
    require("clippy", "clippy")?;
    let left_out = Record::new(root)?;
    let mut path = None;
    let steps = || BEFORE_LIBTORCH.iter().chain(WITH_LIBTORCH);
    for (done, step) in steps().enumerate() {
        if done == BEFORE_LIBTORCH.len() {
            timed("provision libtorch", || libtorch::provide(root))?;
            path = timed("provide mdBook", || Ok(book::path_with_mdbook(root)))?;
        }
        let mut cargo = programs::cargo();
        cargo.args(step.split(' ')).current_dir(root);
        cargo.envs(path.iter().map(|path| ("PATH", path)));
        left_out.hand_to(&mut cargo);
        if let Some(code) = timed(&format!("cargo {step}"), || failure(&mut cargo))? {
            eprintln!("failed: cargo {step}");
            let version = programs::answer("rustc", &["--version"]).unwrap_or_default();
            eprint!("{}", other_compiler(step, &version));
            return Ok(code);
        }
    }
    print!("{}", left_out.summary()?);
    println!("all checks passed in {}", in_words(started.elapsed()));
    Ok(ExitCode::SUCCESS)
}

/// A hint, where formatting or lints failed under another compiler than they are checked with.
fn other_compiler(step: &str, version: &str) -> String {
    let checked_with = env!("CARGO_PKG_RUST_VERSION");
    let is_of_compiler = step.starts_with("fmt") || step.starts_with("clippy");
    if !is_of_compiler || version.starts_with(&format!("rustc {checked_with}.")) {
        return String::new();
    }
    format!(
        "note: formatting and lints are checked with Rust {checked_with}; this is {version}, which may see more\n"
    )
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
    fn every_example_runs() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let step = format!("run --release -p medfsad --example {name}");
            assert!(WITH_LIBTORCH.contains(&step.as_str()), "{name} is never run");
        }
    }

    #[test]
    fn medfsad_is_built_in_one_profile_only() {
        for step in BEFORE_LIBTORCH.iter().chain(WITH_LIBTORCH) {
            assert!(!step.contains("medfsad") || step.contains("--release"), "{step}");
        }
    }

    #[test]
    fn another_compiler_is_named_where_lints_fail() {
        let checked_with = format!("rustc {}.0 (59807616e 2026-04-14)", env!("CARGO_PKG_RUST_VERSION"));
        assert_eq!(other_compiler("clippy --release", &checked_with), "");
        assert!(other_compiler("clippy --release", "rustc 1.999.0 (x y)").contains("rustc 1.999.0"));
        assert_eq!(other_compiler("test --release", "rustc 1.999.0 (x y)"), "");
    }

    #[test]
    fn a_failing_program_passes_its_code_on() {
        let code = failure(Command::new("sh").args(["-c", "exit 101"])).unwrap();
        assert_eq!(code, Some(ExitCode::from(101)));
        assert_eq!(failure(&mut Command::new("true")).unwrap(), None);
    }
}
