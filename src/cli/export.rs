//! `export`: a curated benchmark for other tools.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::common::{home, own_spec, use_threads};
use crate::audit::Report;
use crate::export::mvtec::{self, Pictures};
use crate::export::{Audited, Croissant, Naming};
use crate::manifest::Header;
use crate::{export, files};

/// Export a curated benchmark as Croissant metadata, MVTec-style folders or CSV
///
/// Exports a curated benchmark. `croissant`: metadata for search engines and loaders, with pictures.parquet beside
/// them; `mvtec`: folders of pictures and masks for anomaly detection libraries such as anomalib; `csv`: the rows of
/// the manifest. Pictures are named by ids and hashes, unless --paths is given. `build-dataset --freeze` writes id
/// lists without pictures.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Curated folder [default: manifests/phantom]
    folder: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum)]
    format: Format,
    /// Output file or folder [default: croissant.json, mvtec/ or manifest.csv in the curated folder]
    #[arg(long)]
    out: Option<PathBuf>,
    /// mvtec: size of the standardised pictures, in pixels [default: the largest that was curated]
    #[arg(long, conflicts_with = "link")]
    size: Option<usize>,
    /// mvtec: link to the owners' files instead of writing standardised pictures
    #[arg(long)]
    link: bool,
    /// mvtec: also write masks made from bounding boxes, which include healthy pixels
    #[arg(long)]
    boxes: bool,
    /// croissant, csv: also write the paths of the owners' files, which may name people
    #[arg(long)]
    paths: bool,
    /// Raw folder, for --link [default: the one it was curated from]
    #[arg(long)]
    raw: Option<PathBuf>,
    /// Worker threads [default: all cores]
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
    pub(super) fn run(self) -> Result<()> {
        use_threads(self.threads)?;
        let folder = self.folder.clone().unwrap_or_else(|| home("manifests").join("phantom"));
        ensure!(
            self.format == Format::Mvtec || !(self.link || self.boxes || self.size.is_some()),
            "--size, --link and --boxes need --format mvtec"
        );
        ensure!(self.format != Format::Mvtec || !self.paths, "--paths is for --format croissant and csv");
        let name = match self.format {
            Format::Croissant => "croissant.json",
            Format::Mvtec => "mvtec",
            Format::Csv => "manifest.csv",
        };
        let out = self.out.clone().unwrap_or_else(|| folder.join(name));
        match self.format {
            Format::Croissant => self.croissant(&folder, &out)?,
            Format::Csv => files::write_whole_with(&out, |file| {
                let mut file = BufWriter::new(file);
                export::csv(&folder, self.naming(), &mut file)?;
                Ok(file.flush()?)
            })?,
            Format::Mvtec => self.mvtec(&folder, &out)?,
        }
        println!("written to {}", out.display());
        Ok(())
    }

    fn naming(&self) -> Naming {
        if self.paths { Naming::Paths } else { Naming::Ids }
    }

    fn croissant(&self, folder: &Path, out: &Path) -> Result<()> {
        let audited = audited(folder, &Header::read(folder)?)?;
        if audited.is_none() {
            println!(
                "note: no audit of this manifest is at hand, and the metadata say so; run `audit` first"
            );
        }
        let Croissant { json, table } =
            export::croissant(folder, &own_spec(folder)?, self.naming(), audited.as_ref())?;
        files::write_whole(&out.with_file_name(export::TABLE), &table)?;
        files::write_whole(out, json.as_bytes())
    }

    fn mvtec(&self, folder: &Path, out: &Path) -> Result<()> {
        let (header, spec) = (Header::read(folder)?, &own_spec(folder)?);
        let raw = match &self.raw {
            Some(raw) => raw.clone(),
            None => header.raw_of(folder)?.unwrap_or_default(),
        };
        let sizes = &header.sizes;
        let largest = sizes.iter().copied().max().context("the manifest names no size")?;
        let size = self.size.unwrap_or(largest);
        ensure!(sizes.contains(&size), "--size {size} was not curated (there are: {sizes:?})");
        let pictures = if self.link { Pictures::Links(&raw) } else { Pictures::Standardised(size) };
        let written = mvtec::write(folder, spec, &pictures, self.boxes, out)?;
        println!(
            "{} pictures and {} masks; {} anomalous test pictures have no mask",
            written.pictures, written.masks, written.without_mask
        );
        for (task, restrictions) in mvtec::restrictions(&written.tasks, spec) {
            if !restrictions.is_empty() {
                println!("terms of {task}: {restrictions}");
            }
        }
        Ok(())
    }
}

/// What `audit` found in this manifest and stored beside it; `None` if there is no audit of it.
///
/// # Errors
/// A stored audit that cannot be read.
fn audited(folder: &Path, header: &Header) -> Result<Option<Audited>> {
    let path = folder.join("audit.json");
    if !path.exists() {
        return Ok(None);
    }
    let report: Report = serde_json::from_str(&files::read_text(&path)?)
        .with_context(|| format!("{} is of another version; run `audit` again", path.display()))?;
    let is_same = report.canonical_hash == header.canonical_hash;
    Ok(is_same.then(|| report.sentences()))
}
