//! `collect`: the report of the cells that are finished.

use std::path::PathBuf;

use anyhow::Result;

use super::bench_run::{announce, finish};
use crate::evaluate::planned::Planned;

/// Write the report of a planned run from the cells that are finished
///
/// Writes the report of a planned run from the cells that are finished. Exits with 1, after writing it, if
/// cells failed or are missing.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the plan
    run: PathBuf,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        let planned = Planned::read(&self.run)?;
        let opened = planned.open()?;
        announce(&opened, &self.run, &opened.stopped(&self.run)?);
        finish(&opened, &self.run)
    }
}
