//! Curated benchmarks for other tools: Croissant metadata, folders in MVTec's layout, CSV, and cards for people.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::files;
use crate::manifest::{Manifest, Row};
use crate::spec::Spec;
use crate::table::{Described, Record, Table};

/// Owners, terms and counts, for people.
pub mod card;
/// Findings as names of folders.
mod classes;
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

/// The columns of a manifest's table, which must be those that this program states.
fn columns(path: &Path) -> Result<Vec<Described>> {
    let columns = Row::columns();
    let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let stored = Table::read(path)?.columns()?;
    let found: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(found == known, "{} has the columns {found:?}, not {known:?}; build it again", path.display());
    Ok(columns)
}
