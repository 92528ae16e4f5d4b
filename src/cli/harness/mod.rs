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
mod libtorch;
mod methods;
mod model;
mod plan;
mod run_cell;
mod score;
mod selftest;
mod settings;
mod shell;
mod submit;
mod teacher;
mod train;
mod weights;

pub use embedding::EmbeddingArgs;
pub use libtorch::print_libtorch;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Run methods on a curated benchmark and draw the leaderboard report
    Bench(Box<bench::Args>),
    /// Write the cells of a bench as a table, without computing them
    Plan(Box<plan::Args>),
    /// Compute planned cells
    RunCell(run_cell::Args),
    /// Draw the report of a planned run from the cells that are there
    Collect(collect::Args),
    /// Train D2-4FAD on folders of normal pictures and keep it as a checkpoint
    Train(train::Args),
    /// Score a folder of pictures against a folder of normal references
    Score(score::Args),
    /// Why D2-4FAD scored pictures as it did: weights, scales, nearest regions, occlusion
    Explain(explain::Args),
    /// Time D2-4FAD's training steps and scoring against plain PyTorch
    BenchSpeed(bench_speed::Args),
    /// Check that a device computes what it should, and time it
    Selftest(selftest::Args),
    /// List methods, what each may see and what it needs
    Methods(methods::Args),
    /// Pretrained networks: list, fetch, import, show
    Weights(weights::Args),
}

impl Command {
    pub fn run(self) -> Result<()> {
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
