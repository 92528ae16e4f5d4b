//! `collect`: from whatever cells there are to tables and a report.

use std::path::PathBuf;

use anyhow::Result;

use super::bench_run::{announce, finish};
use crate::evaluate::planned::Planned;

/// Draws a planned run's report from the cells that are there. Fails, after drawing it, if cells failed or are
/// missing.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the plan
    run: PathBuf,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let planned = Planned::read(&self.run)?;
        let opened = planned.open()?;
        announce(&opened, &self.run);
        finish(&opened, &self.run)
    }
}
