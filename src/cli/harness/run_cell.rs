//! `run-cell`: computes planned cells, one by one or a job at a time.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cli::common::use_threads;
use crate::evaluate::device::{self, Wanted};
use crate::evaluate::plan::Group;
use crate::evaluate::planned::Planned;
use crate::evaluate::{memory, stop};

/// Computes planned cells. Cells that share a training are one job; naming one of them computes its whole job. Done
/// cells are skipped and those that another process computes are left to it, so a job can be given out twice.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the plan
    run: PathBuf,
    /// Cells or jobs, as plan.parquet names them; beginnings will do
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Compute failed cells again
    #[arg(long)]
    retry_failed: bool,
    /// cpu, cuda or cuda:N, of the kind that the plan states [default: as planned]
    #[arg(long)]
    device: Option<Wanted>,
    /// Jobs computed at once on the CPU [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        stop::on_signals()?;
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        let planned = Planned::read(&self.run)?;
        let device = device::for_plan(planned.device, self.device, planned.precision)
            .with_context(|| self.run.display().to_string())?;
        let opened = planned.open()?;
        let is_named = |group: &Group, id: &str| {
            group.job().starts_with(id) || group.cells.iter().any(|identity| identity.id().starts_with(id))
        };
        for id in &self.ids {
            let known = opened.groups.iter().any(|group| is_named(group, id));
            ensure!(
                known,
                "{} plans no cell or job `{id}`; has code, data or definition changed since?",
                self.run.display()
            );
        }
        let groups: Vec<&Group> =
            opened.groups.iter().filter(|group| self.ids.iter().any(|id| is_named(group, id))).collect();
        let outcome = opened.run(device, &self.run, threads, self.retry_failed).run_all(&groups)?;
        println!(
            "{} jobs, {} cells failed, {} computed elsewhere",
            groups.len(),
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
