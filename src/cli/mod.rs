//! The command line: one variant, one file, one `run`.

use anyhow::Result;

mod audit;
mod bench_ingest;
mod build_dataset;
mod child_process;
mod common;
mod compare;
mod doctor;
mod episodes;
mod export;
#[cfg_attr(not(feature = "torch"), path = "without_harness.rs")]
mod harness;
mod phantom;
mod report;
mod sources;

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
    /// Time decoding and resizing against a plain Python loader, on the same files
    BenchIngest(bench_ingest::Args),
    /// Draw or join reports from stored results, no model involved
    Report(report::Args),
    /// Two runs or methods on the same pictures; fails if the first is worse
    Compare(compare::Args),
    /// Draw, export or verify the episodes of a curated benchmark
    Episodes(episodes::Args),
    /// Export a curated benchmark: Croissant metadata, folders in MVTec's layout, CSV
    Export(export::Args),
    /// List sources and their folder layouts, and whose they are
    Sources(sources::Args),
    /// Show what this program finds: libtorch, CUDA, cores, folders
    Doctor,
    #[command(flatten)]
    Harness(harness::Command),
}

impl Cli {
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::BuildDataset(args) => args.run(),
            Command::Audit(args) => args.run(),
            Command::Phantom(args) => args.run(),
            Command::BenchIngest(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Compare(args) => args.run(),
            Command::Episodes(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Sources(args) => args.run(),
            Command::Doctor => doctor::run(),
            Command::Harness(command) => command.run(),
        }
    }
}
