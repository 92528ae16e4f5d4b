//! The command line: one variant, one file, one `run`.

use anyhow::Result;

use crate::progress;

mod audit;
mod bench_ingest;
mod build_dataset;
mod child_process;
mod cite;
mod common;
mod compare;
mod completions;
mod curve;
mod doctor;
mod episodes;
mod export;
mod findings;
mod fuzz;
#[cfg_attr(not(feature = "torch"), path = "without_harness.rs")]
mod harness;
mod import_scores;
mod init;
mod phantom;
mod planned_run;
mod record;
mod report;
mod seal;
mod shell;
mod sources;
mod studies;
#[cfg(any(test, not(feature = "torch")))]
mod unavailable;
mod verify;
mod verify_sealed;

/// Dataset toolkit and evaluation harness for few-shot medical image anomaly detection.
#[derive(clap::Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    saying: progress::Saying,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Init(init::Args),
    BuildDataset(build_dataset::Args),
    Audit(audit::Args),
    Phantom(phantom::Args),
    BenchIngest(bench_ingest::Args),
    Report(report::Args),
    Compare(compare::Args),
    Curve(curve::Args),
    Studies(Box<studies::Args>),
    ImportScores(import_scores::Args),
    Seal(seal::Args),
    Verify(verify::Args),
    Episodes(episodes::Args),
    Export(export::Args),
    Sources(sources::Args),
    Cite(cite::Args),
    Fuzz(fuzz::Args),
    Completions(completions::Args),
    /// Show versions, libtorch, CUDA devices and folders
    Doctor,
    #[command(flatten)]
    Harness(harness::Command),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What the command fails with; the text is for the user.
    pub fn run(self) -> Result<()> {
        self.saying.begin()?;
        progress::recorded(&record::command_line()?, || {
            harness::prepare()?;
            self.command.run()
        })
    }
}

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Command::Init(args) => args.run(),
            Command::BuildDataset(args) => args.run(),
            Command::Audit(args) => args.run(),
            Command::Phantom(args) => args.run(),
            Command::BenchIngest(args) => args.run(),
            Command::Report(args) => args.run(),
            Command::Compare(args) => args.run(),
            Command::Curve(args) => args.run(),
            Command::Studies(args) => args.run(),
            Command::ImportScores(args) => args.run(),
            Command::Seal(args) => args.run(),
            Command::Verify(args) => args.run(),
            Command::Episodes(args) => args.run(),
            Command::Export(args) => args.run(),
            Command::Sources(args) => args.run(),
            Command::Cite(args) => args.run(),
            Command::Fuzz(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Doctor => doctor::run(),
            Command::Harness(command) => command.run(),
        }
    }
}
