//! The command line: one variant, one file, one `run`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::manifest::Manifest;
use crate::spec::Spec;

mod audit;
#[cfg(feature = "torch")]
mod bench;
mod bench_ingest;
#[cfg(feature = "torch")]
mod bench_speed;
mod build_dataset;
#[cfg(feature = "torch")]
mod collect;
mod compare;
#[cfg(feature = "torch")]
mod compute;
mod doctor;
mod episodes;
#[cfg(feature = "torch")]
mod estimate;
#[cfg(feature = "torch")]
mod explain;
mod export;
#[cfg(feature = "torch")]
mod methods;
#[cfg(feature = "torch")]
mod model;
mod partner;
mod phantom;
#[cfg(feature = "torch")]
mod plan;
mod report;
#[cfg(feature = "torch")]
mod run_cell;
#[cfg(feature = "torch")]
mod score;
#[cfg(feature = "torch")]
mod selection;
#[cfg(feature = "torch")]
mod selftest;
mod sources;
#[cfg(feature = "torch")]
mod submit;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod weights;

/// Dataset toolkit and evaluation harness for few-shot medical image anomaly detection.
#[derive(clap::Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Curate raw folders into a parquet manifest; without --raw, draw a phantom benchmark first
    BuildDataset(build_dataset::Args),
    /// Look for leaks, copies, shortcuts and personal data; fails when a gate fails
    Audit(audit::Args),
    /// Draw the raw tree of a synthetic benchmark, small or in the owners' full counts
    Phantom(phantom::Args),
    /// Run methods on a curated benchmark and draw the leaderboard report
    #[cfg(feature = "torch")]
    Bench(Box<bench::Args>),
    /// Write the cells of a bench as a table, without computing them
    #[cfg(feature = "torch")]
    Plan(plan::Args),
    /// Compute planned cells
    #[cfg(feature = "torch")]
    RunCell(run_cell::Args),
    /// Draw the report of a planned run from the cells that are there
    #[cfg(feature = "torch")]
    Collect(collect::Args),
    /// Train D2-4FAD on folders of normal pictures and keep it as a checkpoint
    #[cfg(feature = "torch")]
    Train(train::Args),
    /// Score a folder of pictures against a folder of normal references
    #[cfg(feature = "torch")]
    Score(score::Args),
    /// Why D2-4FAD scored pictures as it did: weights, scales, nearest regions, occlusion
    #[cfg(feature = "torch")]
    Explain(explain::Args),
    /// Time decoding and resizing against a plain Python loader, on the same files
    BenchIngest(bench_ingest::Args),
    /// Time D2-4FAD's training steps and scoring against plain PyTorch
    #[cfg(feature = "torch")]
    BenchSpeed(bench_speed::Args),
    /// Check that a device computes what it should, and time it
    #[cfg(feature = "torch")]
    Selftest(selftest::Args),
    /// Draw or join reports from stored results, no model involved
    Report(report::Args),
    /// Two runs or methods on the same pictures; fails if the first is worse
    Compare(compare::Args),
    /// Draw, export or verify the episodes of a curated benchmark
    Episodes(episodes::Args),
    /// List methods, what each may see and what it needs
    #[cfg(feature = "torch")]
    Methods(methods::Args),
    /// Pretrained networks: list, fetch, import, show
    #[cfg(feature = "torch")]
    Weights(weights::Args),
    /// Export a curated benchmark: Croissant metadata, folders in MVTec's layout, CSV
    Export(export::Args),
    /// List sources and their folder layouts, and whose they are
    Sources(sources::Args),
    /// Show what this program finds: libtorch, CUDA, cores, folders
    Doctor,
}

impl Cli {
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::BuildDataset(args) => args.run(),
            Command::Audit(args) => args.run(),
            Command::Phantom(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Bench(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Plan(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::RunCell(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Collect(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Train(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Score(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Explain(args) => args.run(),
            Command::BenchIngest(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::BenchSpeed(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Selftest(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Compare(args) => args.run(),
            Command::Episodes(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Methods(args) => args.run(),
            #[cfg(feature = "torch")]
            Command::Weights(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Sources(args) => args.run(),
            Command::Doctor => doctor::run(),
        }
    }
}

/// A folder of the project: below `MEDFSAD_HOME` where that is set, else below the current folder.
fn home(folder: &str) -> PathBuf {
    std::env::var_os("MEDFSAD_HOME").map(PathBuf::from).unwrap_or_default().join(folder)
}

/// A curated folder, the phantom's when none is given, with its manifest and the spec it was made from.
fn curated(folder: Option<&PathBuf>) -> Result<(PathBuf, Manifest, Spec)> {
    let folder = folder.cloned().unwrap_or_else(|| home("manifests").join("phantom"));
    let manifest = Manifest::read(&folder)?;
    let spec = Spec::load(&folder.join("spec.toml").display().to_string());
    Ok((folder, manifest, spec.context("the curated folder's own spec")?))
}

/// Settings of a method, from `key = value` in TOML, one a time.
#[cfg(feature = "torch")]
fn settings(given: &[String]) -> Result<toml::Table> {
    let what = || format!("--set {}: it is no TOML, such as lambda=0.1", given.join(" "));
    toml::from_str(&given.join("\n")).with_context(what)
}

/// Limits rayon to `threads`, all cores when not given; returns the number in use.
fn use_threads(threads: Option<usize>) -> Result<usize> {
    let threads = match threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().context("counting cores")?.get(),
    };
    anyhow::ensure!(threads > 0, "--threads must be at least 1");
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("starting threads")?;
    Ok(threads)
}
