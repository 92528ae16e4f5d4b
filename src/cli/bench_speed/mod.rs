//! `bench-speed`: D2-4FAD's training steps and scoring against plain PyTorch, on the same arithmetic in one run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::partner::Partner;
use super::use_threads;
use crate::evaluate::memory;
use crate::metric::quantile::median;
use crate::network::Backbone;
use crate::network::precision::Precision;
use crate::{files, progress};

mod bound;
mod ours;

use ours::Ours;

const PROGRAM: &str = include_str!("../../../benchmarks/speed/reference.py");

/// Times D2-4FAD: one training step and the scoring of one batch, in plain PyTorch as the published procedure
/// does them (benchmarks/speed/reference.py) and in ours, in turns, with the same threads, batch and size.
/// Both compute the same losses and maps from the same formula, or the command fails. `at most` is what training could
/// reach if it did nothing but the decoder's multiplications at the fastest rate that this machine showed.
///
/// Under `cargo xtask` a Python environment with PyTorch (5 GB) is made on the first call.
#[derive(clap::Args)]
pub struct Args {
    /// A Python with torch, numpy and scipy
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// resnet18, resnet34, resnet50 or wide_resnet50_2
    #[arg(long, default_value = "wide_resnet50_2")]
    backbone: String,
    /// Side of the pictures, a multiple of 32
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(32..=512))]
    size: u16,
    /// Support set sizes
    #[arg(long, value_delimiter = ',', default_value = "2,4,8")]
    shots: Vec<usize>,
    /// Queries in a training step
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Queries that are scored at once
    #[arg(long, default_value_t = 16)]
    scored: usize,
    /// What ours multiplies in, f32 or bf16; the reference computes in f32 always
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Times of which the median is taken, after one that is not counted
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// Threads on either side [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Also write all times here, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Everything measured, as written to a file.
#[derive(Serialize)]
struct Record {
    medfsad: &'static str,
    git_revision: &'static str,
    reference: Versions,
    backbone: &'static str,
    size: i64,
    threads: usize,
    precision: Precision,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Versions {
    python: String,
    torch: String,
    numpy: String,
    scipy: String,
}

/// One kind of work at one support set size.
#[derive(Serialize)]
struct Row {
    work: &'static str,
    shots: usize,
    batch: usize,
    reference_seconds: Vec<f64>,
    medfsad_seconds: Vec<f64>,
    /// What comes on top for work that is done once: teacher features of training pictures over 70 epochs.
    medfsad_once: f64,
    times_faster: f64,
    /// What `times_faster` would be if training did nothing but the decoder's multiplications, forward and backward, at
    /// this machine's fastest rate.
    at_most: Option<f64>,
    /// Relative difference of the first loss, or of the maps' mean.
    apart: f64,
}

/// What either side says: seconds of each repeat, and the loss or the maps' mean of each.
#[derive(Debug, Deserialize)]
pub struct Timed {
    pub seconds: Vec<f64>,
    pub values: Vec<f64>,
}

/// Two sides did the same work if their first values differ by no more, relatively: sums in another order.
const SAME: f64 = 1e-3;
/// The same for products of numbers of 8 bits.
const SAME_ROUNDED: f64 = 3e-2;
/// The published number of epochs, over which work that is done once is shared.
const EPOCHS: f64 = 70.0;

impl Args {
    pub fn run(self) -> Result<()> {
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        let backbone = Backbone::parse(&self.backbone).context("--backbone")?;
        self.precision.check(tch::Device::Cpu)?;
        ensure!(self.size.is_multiple_of(32), "--size must be a multiple of 32");
        ensure!(self.batch >= 2 && self.scored >= 1, "--batch must be at least 2, --scored at least 1");
        let size = i64::from(self.size);
        let folder = tempfile::tempdir().context("making a folder for the reference")?;
        let script = folder.path().join("reference.py");
        std::fs::write(&script, PROGRAM)?;
        let mut command = Command::new(&self.python);
        command.arg(&script).args(["--backbone", backbone.name(), "--size", &size.to_string()]);
        command.args(["--threads", &threads.to_string()]);
        let remedy = "the reference needs torch, numpy and scipy; `cargo xtask bench-speed` without --python makes \
            an environment that has them";
        let (mut reference, versions) = Partner::start::<Versions>(&mut command, remedy)?;
        tch::set_num_threads(threads as i32);
        let ours = Ours::new(backbone, size, self.precision, folder.path())?;
        let repeats = usize::from(self.repeats) + 1;
        let bound = ours.operations() / bound::rate(self.precision);
        let bar = progress::bar(4 * self.shots.len(), "timing");
        let mut rows = Vec::new();
        for &shots in &self.shots {
            for (work, batch) in [("train", self.batch), ("score", self.scored)] {
                let theirs: Timed = reference.ask(&format!("{work} {shots} {batch} {repeats}"))?;
                bar.inc(1);
                let (timed, once) = match work {
                    "train" => ours.train(shots, batch, repeats)?,
                    _ => ours.score(shots, batch, repeats)?,
                };
                bar.inc(1);
                let same = if self.precision == Precision::Bf16 { SAME_ROUNDED } else { SAME };
                let mut row = row((work, shots, batch), &theirs, &timed, once, same)?;
                if work == "train" {
                    // The gradient by the input and the one by the kernel each take what the way forward takes.
                    let pictures = (batch * (shots + 1)) as f64;
                    row.at_most = Some(typical(&row.reference_seconds) / (3.0 * pictures * bound));
                }
                rows.push(row);
            }
        }
        bar.finish_and_clear();
        let (medfsad, git_revision) = (crate::VERSION, crate::GIT_REVISION);
        let record = Record {
            medfsad,
            git_revision,
            reference: versions,
            backbone: backbone.name(),
            size,
            threads,
            precision: self.precision,
            rows,
        };
        print(&record);
        if let Some(out) = &self.out {
            files::write_whole(out, serde_json::to_string_pretty(&record)?.as_bytes())?;
            println!("written to {}", out.display());
        }
        Ok(())
    }
}

fn row(
    (work, shots, batch): (&'static str, usize, usize),
    reference: &Timed,
    medfsad: &Timed,
    once: f64,
    same: f64,
) -> Result<Row> {
    let (theirs, own) =
        (reference.values.first().context("no value")?, medfsad.values.first().context("no value")?);
    let apart = (own / theirs - 1.0).abs();
    ensure!(
        apart <= same,
        "{work} with {shots} supports: the reference computes {theirs}, ours {own}, so their times do not compare"
    );
    // The first of each warms up caches and memory.
    let (reference_seconds, medfsad_seconds) =
        (reference.seconds[1..].to_vec(), medfsad.seconds[1..].to_vec());
    let medfsad_once = match work {
        "train" => once / EPOCHS,
        _ => 0.0,
    };
    let times_faster = typical(&reference_seconds) / (typical(&medfsad_seconds) + medfsad_once);
    let at_most = None;
    Ok(Row {
        work,
        shots,
        batch,
        reference_seconds,
        medfsad_seconds,
        medfsad_once,
        times_faster,
        at_most,
        apart,
    })
}

/// The median of at least one number.
fn typical(seconds: &[f64]) -> f64 {
    median(&mut seconds.to_vec()).unwrap_or(f64::NAN)
}

fn print(record: &Record) {
    let Versions { python, torch, numpy, scipy } = &record.reference;
    println!("reference: Python {python}, torch {torch}, numpy {numpy}, scipy {scipy}");
    println!(
        "medfsad {} ({}) in {}, {} at {} pixels, {} threads each\n",
        record.medfsad,
        record.git_revision,
        record.precision.name(),
        record.backbone,
        record.size,
        record.threads
    );
    println!(
        "{:<6} {:>5} {:>6} {:>12} {:>10} {:>7} {:>7}  values apart",
        "work", "shots", "batch", "reference, s", "ours, s", "times", "at most"
    );
    for row in &record.rows {
        println!(
            "{:<6} {:>5} {:>6} {:>12.3} {:>10.3} {:>7.2} {:>7}  {:.1e}",
            row.work,
            row.shots,
            row.batch,
            typical(&row.reference_seconds),
            typical(&row.medfsad_seconds) + row.medfsad_once,
            row.times_faster,
            row.at_most.map_or(String::new(), |most| format!("{most:.2}")),
            row.apart
        );
    }
}
