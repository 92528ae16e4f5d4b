//! `curve`: how a run's numbers and ranks move with the choices of evaluation that papers make.

use std::path::PathBuf;

use anyhow::Result;

use crate::report::curve;

/// Show how AUROC and rank of each method move with the choices of evaluation that papers make
///
/// Crosses last or best epoch, smoothing (sigma 0, 2, 4, 8 and over batches), maximum, mean or top 1 %, the last batch kept
/// or dropped, maps at full or half size, and one seed or the mean over seeds: as far as they make a difference, and as
/// far as the run tells. Most need the maps that `bench --keep-maps` keeps; without them they are left out, and that is
/// said. Writes a figure, every method under every combination, and each method's range of ranks. Needs no libtorch.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run folder, such as reports/quick
    run: PathBuf,
    /// Number of shots [default: the greatest in the run]
    #[arg(long)]
    shots: Option<usize>,
    /// Folder for curve.svg, curve.png, curve.md, curve.csv and ranges.csv [default: RUN/curve]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let out = self.out.unwrap_or_else(|| self.run.join("curve"));
        let (text, figure) = curve::write(&self.run, self.shots, &out)?;
        print!("{text}");
        println!("figure: {}", std::path::absolute(&figure).unwrap_or(figure).display());
        Ok(())
    }
}
