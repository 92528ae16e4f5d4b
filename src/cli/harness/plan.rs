//! `plan`: the cells of a bench as a table, without computing them.

use anyhow::Result;

use super::bench_arguments::BenchArgs;
use super::bench_run::{announce, write_plan};
use super::estimate;

/// Write the cells of a bench as a table, without computing them
///
/// Writes a bench's plan into its folder: plan.parquet (a row per cell with its hash, its job and the time of
/// comparable cells), plan.json (all that `run-cell` needs) and the episodes. Then estimates what the cells to do take.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    bench: BenchArgs,
    #[command(flatten)]
    estimate: estimate::Args,
    /// Print the estimate as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        let speed = self.estimate.read(&self.bench.compute)?;
        let (opened, folder, _) = self.bench.open()?;
        announce(&opened, &folder, &[]);
        self.bench.announce_device();
        write_plan(&opened, &folder, &[])?;
        if self.json {
            return estimate::print_json(&opened, (&folder, &[]), speed.as_ref());
        }
        println!("{} jobs planned in {}", opened.jobs.len(), folder.display());
        estimate::tell(&opened, (&folder, &[]), speed.as_ref())
    }
}
