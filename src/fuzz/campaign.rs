//! Counting what became of inputs, in another process.
//!
//! The other process tells of each input in a line: its number, what became of it, the peak of its memory. Where it
//! ends or says nothing for too long, the input after the last line is to blame; another process goes on behind it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::damage::mend_checksums;
use super::{Family, Original, damage, originals, read};
use crate::manifest::{Header, MANIFEST};
use crate::random::Stream;
use crate::{files, panics};

/// An input may take this long.
const TIME: Duration = Duration::from_secs(5);
/// And this much memory, in kilobytes.
const MEMORY: u64 = 1 << 20;
/// Starting a process and making its originals may take this long.
const START: Duration = Duration::from_secs(120);

/// Whether a damaged table gets a header with its own hash, as one made to do harm would have, so that parquet's
/// reader sees it.
fn is_sealed(index: u64) -> bool {
    !(index / 2).is_multiple_of(2)
}

/// Which inputs are made.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Of which files.
    pub family: Family,
    /// How many.
    pub cases: u64,
    /// Of the damage.
    pub seed: u64,
    /// A folder with further whole files.
    pub from: Option<PathBuf>,
}

/// What became of all inputs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Inputs that were read or refused.
    pub decoded: u64,
    /// Of those, with a reason.
    pub rejected: u64,
    /// A panic that the library let through, or a process that ended.
    pub panics: u64,
    /// Inputs that took over five seconds.
    pub hangs: u64,
    /// Peak of a process's memory while it read one input, in kilobytes.
    pub memory: u64,
    /// Number of an input and what is wrong with its reading.
    pub faults: Vec<(u64, String)>,
}

/// What became of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read.
    Decoded,
    /// It was refused, for a reason.
    Rejected(String),
    /// The library let a panic through.
    Panicked(String),
}

impl Campaign {
    /// Makes input `index` in `folder`, which is emptied first, and returns its path.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn place(&self, originals: &[Original], index: u64, folder: &Path) -> Result<PathBuf> {
        let original = &originals[index as usize % originals.len()];
        let mut bytes = original.bytes.clone();
        damage(&mut bytes, &mut Stream::new(self.seed, &format!("fuzz {}", self.family), index));
        if self.family == Family::Png && !index.is_multiple_of(3) {
            mend_checksums(&mut bytes);
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        for (place, bytes) in &original.beside {
            files::write_unsynced(&folder.join(place), bytes)?;
        }
        let path = folder.join(&original.place);
        files::write_unsynced(&path, &bytes)?;
        if self.family == Family::Manifest && original.place == MANIFEST && is_sealed(index) {
            Header::read(folder)?.write(folder, &[MANIFEST])?;
        }
        Ok(path)
    }

    /// Reads input `index` in this process.
    ///
    /// # Errors
    /// As [`Campaign::place`].
    pub fn outcome(&self, originals: &[Original], index: u64, folder: &Path) -> Result<Outcome> {
        let path = self.place(originals, index, folder)?;
        let done = panics::caught(|| read(self.family, folder, &path, index));
        Ok(match done {
            Ok(Ok(())) => Outcome::Decoded,
            Ok(Err(reason)) => Outcome::Rejected(format!("{reason:#}")),
            Err(panic) => Outcome::Panicked(panic),
        })
    }

    /// Reads the inputs from `first` on, telling of each in a line.
    ///
    /// # Errors
    /// A folder that cannot be written, or no whole file.
    pub fn work(&self, first: u64) -> Result<()> {
        let originals = originals(self.family, self.from.as_deref())?;
        let scratch = tempfile::tempdir().context("making a scratch folder")?;
        let folder = scratch.path().join("input");
        let mut out = std::io::stdout().lock();
        writeln!(out, "ready")?;
        out.flush()?;
        for index in first..self.cases {
            forget_peak();
            let (kind, text) = match self.outcome(&originals, index, &folder)? {
                Outcome::Decoded => ("decoded", String::new()),
                Outcome::Rejected(reason) => ("rejected", reason),
                Outcome::Panicked(message) => ("panicked", message),
            };
            let text = serde_json::to_string(&text)?;
            writeln!(out, "{index}\t{kind}\t{}\t{text}", peak().unwrap_or(0))?;
            out.flush()?;
        }
        Ok(())
    }

    /// Runs the whole campaign; `start` gives the command of a process that [`Campaign::work`]s from a number on.
    /// `progress` is told how many inputs are done.
    ///
    /// # Errors
    /// A process that cannot be started.
    pub fn run(&self, start: impl Fn(u64) -> Command, mut progress: impl FnMut(u64)) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut next = 0;
        while next < self.cases {
            let mut worker = Worker::start(&mut start(next))?;
            let ended = loop {
                match worker.lines.recv_timeout(TIME) {
                    Ok(line) => {
                        tally.add(&line, next)?;
                        next += 1;
                        progress(next);
                    }
                    Err(other) => break other,
                }
            };
            let blame = match (ended, next < self.cases) {
                (RecvTimeoutError::Timeout, true) => {
                    tally.hangs += 1;
                    Some("it took over five seconds".to_owned())
                }
                (RecvTimeoutError::Disconnected, true) => {
                    tally.panics += 1;
                    Some(format!("the process ended ({})", worker.process.wait()?))
                }
                _ => None,
            };
            if let Some(blame) = blame {
                tally.faults.push((next, blame));
                next += 1;
            }
        }
        Ok(tally)
    }
}

impl Tally {
    fn add(&mut self, line: &str, index: u64) -> Result<()> {
        let mut parts = line.splitn(4, '\t');
        let [number, kind, memory, text] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        ensure!(number.parse() == Ok(index), "the other process answered `{line}` for input {index}");
        let (memory, text): (u64, String) = (memory.parse()?, serde_json::from_str(text)?);
        self.memory = self.memory.max(memory);
        match kind {
            "decoded" => self.decoded += 1,
            "rejected" if text.is_empty() => {
                self.faults.push((index, "it was refused without a reason".to_owned()));
            }
            "rejected" => self.rejected += 1,
            "panicked" => {
                self.panics += 1;
                self.faults.push((index, format!("a panic: {text}")));
            }
            other => bail!("the other process answered `{other}` for input {index}"),
        }
        if memory > MEMORY {
            self.faults.push((index, format!("it took {memory} kB")));
        }
        Ok(())
    }
}

/// A process that reads inputs; dropped, it is ended.
struct Worker {
    process: Child,
    lines: Receiver<String>,
}

impl Worker {
    fn start(command: &mut Command) -> Result<Worker> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut process =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {name}"))?;
        let output = BufReader::new(process.stdout.take().context("it has no standard output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).take_while(|line| sender.send(line.clone()).is_ok()).count()
        });
        let worker = Worker { process, lines };
        let ready = worker.lines.recv_timeout(START);
        ensure!(ready.as_deref() == Ok("ready"), "{name} did not begin; its reason stands above");
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lets the peak of this process's memory begin anew, where the system can.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak of this process's memory in kilobytes, where the system tells it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
