//! `export`: a curated benchmark for other tools.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::common::{curated, use_threads};
use crate::export::mvtec::{self, Pictures};
use crate::manifest::Manifest;
use crate::spec::Spec;
use crate::{export, files};

/// Exports a curated benchmark: `croissant`, metadata that search engines and loaders read; `mvtec`, folders of
/// pictures and masks that anomaly detection libraries such as anomalib read; `csv`, the manifest's rows. Id lists
/// without pictures come from `build-dataset --freeze`.
#[derive(clap::Args)]
pub struct Args {
    /// A curated folder [default: manifests/phantom]
    folder: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// Where to write [default: croissant.json, mvtec/ or manifest.csv in the curated folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// mvtec: side of the standardised pictures [default: the largest that was curated]
    #[arg(long, conflicts_with = "link")]
    size: Option<usize>,
    /// mvtec: links to the owners' files instead of standardised pictures
    #[arg(long)]
    link: bool,
    /// mvtec: also masks made from boxes, which hold healthy pixels too
    #[arg(long)]
    boxes: bool,
    /// The raw folder, for --link [default: where it stood when it was curated]
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Croissant,
    Mvtec,
    Csv,
}

impl Args {
    pub fn run(self) -> Result<()> {
        use_threads(self.threads)?;
        let (folder, manifest, spec) = curated(self.folder.as_ref())?;
        ensure!(
            self.format == Format::Mvtec || !(self.link || self.boxes || self.size.is_some()),
            "--size, --link and --boxes belong to --format mvtec"
        );
        let name = match self.format {
            Format::Croissant => "croissant.json",
            Format::Mvtec => "mvtec",
            Format::Csv => "manifest.csv",
        };
        let out = self.out.clone().unwrap_or_else(|| folder.join(name));
        match self.format {
            Format::Croissant => files::write_whole(&out, export::croissant(&manifest, &spec)?.as_bytes())?,
            Format::Csv => files::write_whole(&out, &export::csv(&manifest)?)?,
            Format::Mvtec => self.mvtec(&manifest, &spec, &out)?,
        }
        println!("written to {}", out.display());
        Ok(())
    }

    fn mvtec(&self, manifest: &Manifest, spec: &Spec, out: &Path) -> Result<()> {
        let raw = self.raw.clone().unwrap_or_else(|| PathBuf::from(&manifest.header.raw));
        let sizes = &manifest.header.sizes;
        let largest = sizes.iter().copied().max().context("the manifest names no size")?;
        let size = self.size.unwrap_or(largest);
        ensure!(sizes.contains(&size), "--size {size} was not curated (there are: {sizes:?})");
        let pictures = if self.link { Pictures::Links(&raw) } else { Pictures::Standardised(size) };
        let written = mvtec::write(manifest, spec, &pictures, self.boxes, out)?;
        println!(
            "{} pictures and {} masks; {} anomalous test pictures have no mask",
            written.pictures, written.masks, written.without_mask
        );
        for (task, restrictions) in mvtec::restrictions(manifest, spec) {
            if !restrictions.is_empty() {
                println!("mind {task}: {restrictions}");
            }
        }
        Ok(())
    }
}
