//! `compare`: two runs, or two methods of one, on the same pictures.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::report;

/// Compare two runs or methods on the same pictures; exit 1 if the first is worse
///
/// Compares two runs, method by method, or two methods, with paired tests over the pictures and draws that they
/// share. Exits with 1 if the first is worse than the second beyond the 95 % interval, and also if something that the
/// second has could not be compared, so it can guard a change.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run folder, such as reports/quick
    first: PathBuf,
    /// Second run folder; the same one to compare two methods of a run
    second: PathBuf,
    /// One method, or one for each run, as the leaderboard names them [default: all but the controls]
    #[arg(long, value_delimiter = ',')]
    method: Vec<String>,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        ensure!(self.method.len() <= 2, "--method takes one or two names");
        let methods = [self.method.first(), self.method.get(1)].map(|name| name.map(String::as_str));
        let comparison = report::compare_runs(&self.first, &self.second, methods)?;
        println!("{}", comparison.table.markdown(None));
        let n = comparison.regressions;
        ensure!(n == 0, "the first is worse in {n} of these comparisons, beyond the 95 % interval");
        ensure!(comparison.unjudged.is_empty(), "not compared:\n  {}", comparison.unjudged.join("\n  "));
        Ok(())
    }
}
