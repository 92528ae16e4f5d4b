//! `report`: redraw or join from stored results.

use std::path::PathBuf;

use anyhow::Result;

use crate::manifest::Manifest;
use crate::{files, report};

/// Redraw a report from stored results, or join several
///
/// Reads finished cells and writes tables, figures and index.html again. Needs neither a model nor the
/// pictures. An earlier report stays as it is until the new one is complete; its folders results and figures
/// are replaced whole, other files in the output folder stay.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run folders, such as reports/quick; several are joined into one report
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Output folder; required to join several runs [default: the run's own folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also write pictures.html, in which every test picture can be sorted and filtered by score, label and error; FOLDER
    /// is the curated benchmark. The report then holds the pictures: mind whose they are before you hand it on
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let out = self.out.clone().unwrap_or_else(|| self.runs[0].clone());
        let index = match (&self.runs[..], self.out) {
            ([run], None) => report::write(run, run)?,
            (_, None) => anyhow::bail!("give the folder of the joined report with --out DIR"),
            (runs, Some(out)) => report::write_joined(runs, &out)?,
        };
        println!("{}", files::read_text(&out.join(report::SCREEN))?);
        if let Some(folder) = &self.pictures {
            let page = report::pictures::write(&self.runs, &Manifest::read(folder)?, &out)?;
            println!("pictures: {}", page.display());
        }
        println!("report: {}", std::path::absolute(&index).unwrap_or(index).display());
        Ok(())
    }
}
