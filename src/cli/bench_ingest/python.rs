//! The Python loader: a process that is asked by lines and answers in JSON.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;

const PROGRAM: &str = include_str!("../../../benchmarks/ingest/loader.py");

/// What runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Versions {
    pub python: String,
    pub pillow: String,
    pub pydicom: String,
    pub numpy: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Start {
    pub versions: Versions,
    /// Until the workers were ready: imports, for the most part.
    pub seconds: f64,
}

/// A running loader; dropped, it ends.
pub struct Python {
    process: Child,
    /// Taken away to end the process, which takes its workers with it.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    dump: PathBuf,
}

/// What it shall do.
pub struct Work<'a> {
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
    pub fn start(program: &Path, folder: &Path, work: &Work) -> Result<(Python, Start)> {
        let [script, list, dump] = ["loader.py", "list.json", "dump"].map(|name| folder.join(name));
        std::fs::write(&script, PROGRAM)?;
        std::fs::write(&list, serde_json::to_string(work.paths)?)?;
        let clock = Instant::now();
        let mut command = Command::new(program);
        command.arg(&script).arg("--list").arg(&list).arg("--dump").arg(&dump);
        command.arg("--size").arg(work.size.to_string()).arg("--workers").arg(work.workers.to_string());
        command.arg("--loader").arg(work.loader);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot run {}; name a Python with --python", program.display()))?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("the loader has no standard output")?);
        let mut python = Python { process, requests, answers, dump };
        let versions = python.answer().with_context(|| {
            format!(
                "{} cannot run the loader, which needs Pillow, pydicom and numpy; `cargo xtask bench-ingest` \
                 without --python makes an environment that has them",
                program.display()
            )
        })?;
        Ok((python, Start { versions, seconds: clock.elapsed().as_secs_f64() }))
    }

    /// Loads the pictures of `places` once; returns the seconds that this took.
    pub fn run(&mut self, places: &Range<usize>) -> Result<f64> {
        let Run { seconds } = self.ask(&format!("run {} {}", places.start, places.len()))?;
        ensure!(seconds > 0.0, "the Python loader says it took {seconds} seconds");
        Ok(seconds)
    }

    /// All pictures as they were loaded last, `length` bytes.
    pub fn pictures(&mut self, length: usize) -> Result<Vec<u8>> {
        let Dump { dumped } = self.ask("dump")?;
        let bytes = files::read(&self.dump)?;
        ensure!(
            bytes.len() == length && dumped == length,
            "the Python loader wrote {} bytes of pictures, {length} were expected",
            bytes.len()
        );
        Ok(bytes)
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &str) -> Result<T> {
        let requests = self.requests.as_mut().context("the Python loader has ended")?;
        writeln!(requests, "{request}").context("the Python loader has ended")?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("the Python loader's answer is no text")?;
        ensure!(!line.is_empty(), "the Python loader has ended; its reason stands above");
        let odd = || format!("the Python loader's answer is `{}`", line.trim_end());
        let answer: serde_json::Value = serde_json::from_str(&line).with_context(odd)?;
        if let Some(error) = answer.get("error") {
            bail!("the Python loader fails: {}", error.as_str().unwrap_or_default());
        }
        serde_json::from_value(answer).with_context(odd)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.process.wait();
    }
}
