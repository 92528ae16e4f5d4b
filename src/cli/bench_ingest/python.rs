//! The Python loader: a process that is asked by lines and answers in JSON.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cli::child_process::ChildProcess;
use crate::files;

const PROGRAM: &str = include_str!("../../../benchmarks/ingest/loader.py");

/// What runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Versions {
    pub python: String,
    pub pillow: String,
    pub pydicom: String,
    pub numpy: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Start {
    pub versions: Versions,
    /// Until the workers were ready: imports, for the most part.
    pub seconds: f64,
}

/// A running loader; dropped, it ends.
pub(super) struct Python {
    child: ChildProcess,
    dump: PathBuf,
}

/// What it shall do.
pub(super) struct Work<'a> {
    pub paths: &'a [PathBuf],
    /// Side of the resized pictures.
    pub size: usize,
    /// Processes.
    pub workers: usize,
    /// `plain` or `careful`.
    pub loader: &'static str,
}

#[derive(Deserialize)]
struct Run {
    seconds: f64,
}

#[derive(Deserialize)]
struct Dump {
    /// Bytes.
    dumped: usize,
}

impl Python {
    /// Starts `program`; its files lie in `folder`.
    ///
    /// # Errors
    /// If it cannot be started or lacks a package.
    pub(super) fn start(program: &Path, folder: &Path, work: &Work) -> Result<(Python, Start)> {
        let [script, list, dump] = ["loader.py", "list.json", "dump"].map(|name| folder.join(name));
        std::fs::write(&script, PROGRAM)?;
        std::fs::write(&list, serde_json::to_string(work.paths)?)?;
        let clock = Instant::now();
        let mut command = Command::new(program);
        command.arg(&script).arg("--list").arg(&list).arg("--dump").arg(&dump);
        command.arg("--size").arg(work.size.to_string()).arg("--workers").arg(work.workers.to_string());
        command.arg("--loader").arg(work.loader);
        let remedy = "the loader needs Pillow, pydicom and numpy; `cargo xtask bench-ingest` without --python makes \
            an environment that has them";
        let (child, versions) = ChildProcess::start(&mut command, remedy)?;
        let python = Python { child, dump };
        Ok((python, Start { versions, seconds: clock.elapsed().as_secs_f64() }))
    }

    /// Loads the pictures of `places` once; returns the seconds that this took.
    pub(super) fn run(&mut self, places: &Range<usize>) -> Result<f64> {
        let Run { seconds } = self.child.ask(&format!("run {} {}", places.start, places.len()))?;
        ensure!(seconds > 0.0, "the Python loader says it took {seconds} seconds");
        Ok(seconds)
    }

    /// All pictures as they were loaded last, `length` bytes.
    pub(super) fn pictures(&mut self, length: usize) -> Result<Vec<u8>> {
        let Dump { dumped } = self.child.ask("dump")?;
        let bytes = files::read(&self.dump)?;
        ensure!(
            bytes.len() == length && dumped == length,
            "the Python loader wrote {} bytes of pictures, {length} were expected",
            bytes.len()
        );
        Ok(bytes)
    }
}
