//! Curated benchmarks for other tools: Croissant metadata, folders in MVTec's layout, CSV, and cards for people.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::files;
use crate::manifest::{COLUMNS, Manifest};
use crate::spec::Spec;
use crate::table::Table;

/// Owners, terms and counts, for people.
pub mod card;
/// Metadata for search engines and loaders.
mod croissant;
/// Folders of pictures that anomaly detection libraries read.
pub mod mvtec;

/// The manifest's rows as CSV, with the columns of the parquet file.
///
/// # Errors
/// A manifest that cannot be read.
pub fn csv(manifest: &Manifest) -> Result<Vec<u8>> {
    Table::read(&manifest.folder.join("manifest.parquet"))?.to_csv()
}

/// Croissant 1.1 metadata as JSON-LD, for a file beside `manifest.parquet`.
///
/// # Errors
/// A manifest that cannot be read.
pub fn croissant(manifest: &Manifest, spec: &Spec) -> Result<String> {
    let path = manifest.folder.join("manifest.parquet");
    let bytes = files::read(&path)?;
    croissant::describe(manifest, spec, &columns(&path)?, &bytes)
}

/// A column as it stands in the parquet file, and what it holds.
struct Described {
    name: String,
    is_number: bool,
    about: &'static str,
}

fn columns(path: &Path) -> Result<Vec<Described>> {
    let columns = Table::read(path)?.columns();
    let known: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let found: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(found == known, "{} has the columns {found:?}, not {known:?}; build it again", path.display());
    let columns = columns.into_iter().zip(COLUMNS);
    Ok(columns.map(|((name, is_number), (_, about))| Described { name, is_number, about }).collect())
}
