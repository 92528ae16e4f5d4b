//! `report`: redraw or join from stored results.

use std::path::PathBuf;

use anyhow::Result;

use crate::report;

/// Reads finished cells and draws tables, figures and index.html anew. No model and no data are needed.
#[derive(clap::Args)]
pub struct Args {
    /// Run folders, such as reports/quick; several are joined into one report
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Where to write; required when several runs are joined [default: the run's own folder]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let index = match (&self.runs[..], self.out) {
            ([run], None) => report::write(run, run)?,
            (_, None) => anyhow::bail!("say where the joined report goes with --out DIR"),
            (runs, Some(out)) => report::write_joined(runs, &out)?,
        };
        println!("report: {}", std::path::absolute(&index).unwrap_or(index).display());
        Ok(())
    }
}
