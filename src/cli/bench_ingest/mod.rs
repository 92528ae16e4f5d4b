//! `bench-ingest`: decoding and resizing timed against Pillow and pydicom on the same files.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::build_dataset;
use super::common::{home, use_threads};
use crate::spec::Spec;
use crate::{files, progress};

mod ours;
mod pictures;
mod python;

use ours::Apart;
use pictures::{Group, Pictures};
use python::{Python, Start, Work};

/// Time decoding and resizing against a Python loader on the same files
///
/// Times decoding and resizing: a Python loader (Pillow, pydicom) with one worker process per core against
/// medfsad with as many threads, in turns, on the same files. Both load every file once before timing starts,
/// so that files are in memory, and their pictures are compared; the command fails if they differ.
///
/// Under `cargo xtask` a Python environment is created on the first call.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of pictures; .dcm, .png and .jpg files below it are read [default: the phantom's]
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Python with Pillow, pydicom and numpy
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// `plain`: the loader most people write; `careful`: resizes before it expands grey to RGB and returns
    /// pictures through shared memory
    #[arg(long, value_enum, default_value = "plain")]
    loader: Loader,
    /// Size of the resized pictures, in pixels
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=1024))]
    size: u16,
    /// Threads of medfsad and worker processes of Python [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Timed repetitions on each side
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,
    /// Most files of each format
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    most: u32,
    /// Also write all times to this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Python loaders.
#[derive(Clone, Copy, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Loader {
    Plain,
    Careful,
}

impl Loader {
    fn name(self) -> &'static str {
        match self {
            Loader::Plain => "plain",
            Loader::Careful => "careful",
        }
    }
}

/// Everything measured, as written to a file.
#[derive(Serialize)]
struct Record {
    medfsad: &'static str,
    git_revision: &'static str,
    /// Threads, and worker processes.
    threads: usize,
    size: usize,
    loader: Loader,
    python: Start,
    formats: Vec<Timed>,
}

/// The times of one format, or of all of them together.
#[derive(Serialize)]
struct Timed {
    format: &'static str,
    files: usize,
    /// Of the files.
    bytes: u64,
    /// One of each for every repeat, in the order in which they were taken.
    python_seconds: Vec<f64>,
    medfsad_seconds: Vec<f64>,
    /// Python's median over ours.
    times_faster: f64,
    /// Grey levels between the two loaders' pictures.
    apart: Apart,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let threads = use_threads(self.threads)?;
        let raw = match &self.raw {
            Some(raw) => raw.clone(),
            None => build_dataset::draw_phantom(&Spec::load("phantom")?, &home("manifests").join("phantom"))?,
        };
        ensure!(raw.is_dir(), "--raw {} is not a folder", raw.display());
        let pictures = Pictures::find(&raw, self.most as usize)?;
        let folder = tempfile::tempdir().context("making a folder for the Python loader")?;
        let size = usize::from(self.size);
        let work = Work { paths: &pictures.paths, size, workers: threads, loader: self.loader.name() };
        let (python, start) = Python::start(&self.python, folder.path(), &work)?;
        let block = vec![0; pictures.paths.len() * size * size * 3];
        let mut race = Race { pictures, size, block, python };
        let apart = race.compare()?;
        let formats = race.run(usize::from(self.repeats), &apart)?;
        let (medfsad, git_revision) = (crate::VERSION, crate::GIT_REVISION);
        let record =
            Record { medfsad, git_revision, threads, size, loader: self.loader, python: start, formats };
        print(&record);
        if let Some(out) = &self.out {
            files::write_whole(out, serde_json::to_string_pretty(&record)?.as_bytes())?;
            println!("written to {}", out.display());
        }
        Ok(())
    }
}

/// Two loaders and the pictures they load.
struct Race {
    pictures: Pictures,
    size: usize,
    /// What ours loaded, `[pictures, size, size, 3]`.
    block: Vec<u8>,
    python: Python,
}

impl Race {
    /// Loads everything once on either side, untimed, and compares, group by group.
    fn compare(&mut self) -> Result<Vec<Apart>> {
        self.load(&(0..self.pictures.paths.len()))?;
        self.python.run(&(0..self.pictures.paths.len()))?;
        let theirs = self.python.pictures(self.block.len())?;
        let length = self.length();
        let pair = |place: usize| {
            let part = place * length..(place + 1) * length;
            (&self.pictures.paths[place], &self.block[part.clone()], &theirs[part])
        };
        self.pictures.groups.iter().map(|group| Apart::of(group.places.clone().map(pair))).collect()
    }

    /// Takes turns, and changes who goes first after each.
    fn run(&mut self, repeats: usize, apart: &[Apart]) -> Result<Vec<Timed>> {
        let groups: Vec<Group> = self.pictures.groups.clone();
        let bar = progress::bar(repeats * groups.len(), "loading");
        let mut times = vec![(Vec::new(), Vec::new()); groups.len()];
        for turn in 0..repeats {
            for (group, (python, medfsad)) in groups.iter().zip(&mut times) {
                if turn % 2 == 0 {
                    python.push(self.python.run(&group.places)?);
                }
                medfsad.push(self.load(&group.places)?);
                if turn % 2 == 1 {
                    python.push(self.python.run(&group.places)?);
                }
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let mut timed = Vec::with_capacity(groups.len());
        for ((group, apart), (python_seconds, medfsad_seconds)) in groups.into_iter().zip(apart).zip(times) {
            timed.push(Timed {
                format: group.name,
                files: group.places.len(),
                bytes: group.bytes,
                times_faster: median(&python_seconds) / median(&medfsad_seconds),
                python_seconds,
                medfsad_seconds,
                apart: *apart,
            });
        }
        Ok(timed)
    }

    fn load(&mut self, places: &Range<usize>) -> Result<f64> {
        let length = self.length();
        let block = &mut self.block[places.start * length..places.end * length];
        ours::run(&self.pictures.paths[places.clone()], self.size, block)
    }

    /// Bytes of one picture.
    fn length(&self) -> usize {
        self.size * self.size * 3
    }
}

/// Of at least one number; between the middle two where their count is even.
fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0
}

fn print(record: &Record) {
    let Start { versions, seconds } = &record.python;
    println!(
        "Python {} with Pillow {}, pydicom {}, numpy {}, {} loader: {} workers, ready after {seconds:.2} s (not counted)",
        versions.python,
        versions.pillow,
        versions.pydicom,
        versions.numpy,
        record.loader.name(),
        record.threads
    );
    println!(
        "medfsad {0} ({1}): {2} threads; pictures of {3} x {3} pixels, median of {4} runs\n",
        record.medfsad,
        record.git_revision,
        record.threads,
        record.size,
        record.formats.first().map_or(0, |timed| timed.medfsad_seconds.len())
    );
    println!(
        "{:<6} {:>6} {:>8} | {:^29} | {:^29} | {:>7} | grey levels apart",
        "", "files", "MB", "Python", "medfsad", "times"
    );
    let columns = format!("{:>8} {:>10} {:>9}", "s", "pictures/s", "MB/s");
    println!("{:<6} {:>6} {:>8} | {columns} | {columns} | {:>7} | mean, worst", "", "", "", "faster");
    for timed in &record.formats {
        let megabytes = timed.bytes as f64 / 1e6;
        let side = |seconds: &[f64]| {
            let seconds = median(seconds);
            format!("{seconds:>8.3} {:>10.0} {:>9.1}", timed.files as f64 / seconds, megabytes / seconds)
        };
        println!(
            "{:<6} {:>6} {megabytes:>8.1} | {} | {} | {:>7.2} | {:.3}, {:.3}",
            timed.format,
            timed.files,
            side(&timed.python_seconds),
            side(&timed.medfsad_seconds),
            timed.times_faster,
            timed.apart.mean,
            timed.apart.worst
        );
    }
}
