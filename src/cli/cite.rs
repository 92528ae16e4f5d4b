//! `cite`: BibTeX of what a run stands on.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::report::cite;
use crate::results::read_run;
use crate::study::learned::Learned;

/// Print BibTeX of the methods and data of a run, and of this program
///
/// What has no entry, such as a program of your own, is named on standard error.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the run, such as reports/quick
    run: PathBuf,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let cells = read_run(&self.run)?;
        ensure!(!cells.is_empty(), "{} holds no finished cell", self.run.display());
        let cited = cite::of_run(&cells, &Learned::all(&self.run)?);
        print!("{}", cited.bibtex);
        for name in cited.without {
            log::warn!("note: no entry is known for {name}");
        }
        Ok(())
    }
}
