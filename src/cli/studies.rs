//! `studies`: slices' scores as numbers of studies.

use std::path::PathBuf;

use anyhow::Result;

use super::common::home;
use super::harness::SamilArgs;
use crate::manifest::Manifest;
use crate::report::studies::{self, Choice, Run};
use crate::study::aggregator::{Aggregator, TOP_SHARE};

/// Aggregate a run's slice scores to studies, and compare aggregators there
///
/// Groups the scored slices of a run by study (what the owner calls one, else the volume; a study is anomalous if any of
/// its slices is) and shows AUROC and average precision of studies under each aggregator, with 95 % intervals. With --samil
/// it first trains SAMIL, attention that is supervised by how much of a slice is tissue, on labelled studies of the other
/// tasks (regime R3); run it again to resume. Rows of studies never stand beside those of pictures. Needs no libtorch but
/// for --samil.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run folder, such as reports/studies
    run: PathBuf,
    /// Curated folder that the run is of [default: manifests/<the run's spec>]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Number of shots [default: the greatest in the run]
    #[arg(long)]
    shots: Option<usize>,
    /// Aggregators: mean, max, top-share, noisy-or, log-mean-exp, p95 [default: the first four]
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = Aggregator::parse)]
    aggregator: Vec<Aggregator>,
    /// Share of slices that top-share means, of one slice at least
    #[arg(long, default_value_t = TOP_SHARE, value_name = "SHARE")]
    top_share: f64,
    /// Folder for studies.md, studies.csv, differences.csv, studies.parquet, studies.svg and studies.png [default: RUN/studies]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    samil: SamilArgs,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        self.samil.set_up()?;
        let folder = |spec: &str| self.folder.clone().unwrap_or_else(|| home("manifests").join(spec));
        let (run, manifest) = Run::read_with(&self.run, |spec| Manifest::read(&folder(spec)))?;
        self.samil.train(&run, &manifest, run.shots(self.shots)?)?;
        let chosen = self.aggregator;
        let aggregators = if chosen.is_empty() { Aggregator::TRIVIAL.to_vec() } else { chosen };
        let choice = Choice { aggregators, top_share: self.top_share, shots: self.shots };
        let out = self.out.unwrap_or_else(|| self.run.join("studies"));
        let (text, figure) = studies::write(&run, &manifest, &choice, &out)?;
        print!("{text}");
        println!("figure: {}", std::path::absolute(&figure).unwrap_or(figure).display());
        Ok(())
    }
}
