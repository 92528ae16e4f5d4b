//! Commands that run networks, and what other commands need of them; `without_harness.rs` stands here in a build
//! without libtorch.

use anyhow::Result;

mod bench;
mod bench_arguments;
mod bench_run;
mod bench_speed;
mod collect;
mod compute;
mod embedding;
mod estimate;
mod explain;
mod heatmaps;
mod libtorch;
mod meanings;
mod methods;
mod model;
mod plan;
mod run_cell;
mod samil;
mod score;
mod script;
mod selftest;
mod sequential;
mod settings;
mod slurm;
mod speed_record;
mod submit;
mod teacher;
mod train;
mod train_weights;
mod weights;

pub(super) use embedding::EmbeddingArgs;
pub(super) use libtorch::print_libtorch;
pub(super) use samil::SamilArgs;

use crate::network::kernels::Kernels;
use crate::network::subnormals;

/// What comes before any thread is started.
///
/// # Errors
/// A libtorch or a setting that does not fit.
pub(super) fn prepare() -> Result<()> {
    Kernels::of_processor()?;
    subnormals::flush()
}

#[derive(clap::Subcommand)]
pub(super) enum Command {
    Bench(Box<bench::Args>),
    Plan(Box<plan::Args>),
    RunCell(run_cell::Args),
    Collect(collect::Args),
    Train(train::Args),
    Score(score::Args),
    Explain(explain::Args),
    BenchSpeed(bench_speed::Args),
    Selftest(selftest::Args),
    Methods(methods::Args),
    Weights(weights::Args),
}

impl Command {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Command::Bench(args) => args.run(),
            Command::Plan(args) => args.run(),
            Command::RunCell(args) => args.run(),
            Command::Collect(args) => args.run(),
            Command::Train(args) => args.run(),
            Command::Score(args) => args.run(),
            Command::Explain(args) => args.run(),
            Command::BenchSpeed(args) => args.run(),
            Command::Selftest(args) => args.run(),
            Command::Methods(args) => args.run(),
            Command::Weights(args) => args.run(),
        }
    }
}
