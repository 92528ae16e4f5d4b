//! `run-cell`: computes planned cells, one by one or a job at a time.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cli::common::use_threads;
use crate::evaluate::device::{self, Wanted};
use crate::evaluate::plan::{Job, Retry};
use crate::evaluate::planned::Planned;
use crate::evaluate::{memory, stop};

/// Compute planned cells
///
/// Computes planned cells. Cells that share a training form a job; naming one of them computes the whole job.
/// Finished cells are skipped, and so are those that another process is computing, so a job may be started
/// twice.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the plan
    run: PathBuf,
    /// Cells or jobs, as named in plan.parquet; prefixes are accepted
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Retry all failed cells; those that failed for a full disk are retried in any case
    #[arg(long)]
    retry_failed: bool,
    /// Device: cpu, cuda or cuda:N, of the kind that the plan is for [default: as planned]
    #[arg(long)]
    device: Option<Wanted>,
    /// Jobs run in parallel on the CPU [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        stop::on_signals()?;
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        let planned = Planned::read(&self.run)?;
        let device = device::for_plan(planned.device, self.device, planned.precision)
            .with_context(|| self.run.display().to_string())?;
        let opened = planned.open()?;
        let is_named = |job: &Job, id: &str| {
            job.name().starts_with(id) || job.cells.iter().any(|identity| identity.id().starts_with(id))
        };
        for id in &self.ids {
            // It would begin the names of all.
            ensure!(!id.is_empty(), "an empty ID names no cell; see plan.parquet");
            let known = opened.jobs.iter().any(|job| is_named(job, id));
            ensure!(
                known,
                "{} has no cell or job `{id}`; plan again if code, data or definition have changed",
                self.run.display()
            );
        }
        let jobs: Vec<&Job> =
            opened.jobs.iter().filter(|job| self.ids.iter().any(|id| is_named(job, id))).collect();
        let outcome =
            opened.run(device, &self.run, threads, Retry::asked(self.retry_failed)).run_all(&jobs)?;
        println!(
            "{} jobs, {} cells failed, {} computed elsewhere",
            jobs.len(),
            outcome.failed,
            outcome.elsewhere
        );
        ensure!(
            outcome.failed == 0,
            "{} cells failed; `collect` names them with their errors",
            outcome.failed
        );
        Ok(())
    }
}
