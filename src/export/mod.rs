//! Curated benchmarks for other tools: Croissant metadata, folders in MVTec's layout, CSV, and cards for people.

use anyhow::{Result, ensure};

use crate::manifest::{MANIFEST, Manifest, Row};
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
/// Collection, biases, limits and sensitive data.
mod responsible;

pub use croissant::TABLE;
pub use responsible::Audited;

/// How what is handed on names pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By image ids and hashes.
    Ids,
    /// Also by the paths of the owners' files, which may name people.
    Paths,
}

/// Columns that name files.
const PATHS: [&str; 2] = ["source_path", "mask_path"];

impl Naming {
    fn left_out(self) -> &'static [&'static str] {
        match self {
            Naming::Ids => &PATHS,
            Naming::Paths => &[],
        }
    }
}

/// The manifest's rows as CSV, with the columns of the parquet file but those that `naming` leaves out.
///
/// # Errors
/// A manifest that cannot be read.
pub fn csv(manifest: &Manifest, naming: Naming) -> Result<Vec<u8>> {
    table(manifest)?.without(naming.left_out()).to_csv()
}

/// Metadata, and the table that they describe.
pub struct Croissant {
    /// JSON-LD, for a file beside the table.
    pub json: String,
    /// The rows as parquet, for a file called [`TABLE`].
    pub table: Vec<u8>,
}

/// Croissant 1.1 metadata with RAI 1.0, and the table of pictures beside it; `audited` is what an audit said.
///
/// # Errors
/// A manifest that cannot be read.
pub fn croissant(
    manifest: &Manifest,
    spec: &Spec,
    naming: Naming,
    audited: Option<&Audited>,
) -> Result<Croissant> {
    let stored = table(manifest)?;
    let is_kept = |column: &Described| !naming.left_out().contains(&column.name.as_str());
    let columns: Vec<Described> = columns(&stored, manifest)?.into_iter().filter(is_kept).collect();
    let table = stored.without(naming.left_out()).to_parquet()?;
    let responsible = responsible::properties(manifest, spec, &manifest.rejected()?, audited);
    let json = croissant::describe(manifest, spec, &columns, &table, responsible)?;
    Ok(Croissant { json, table })
}

fn table(manifest: &Manifest) -> Result<Table> {
    Table::read(&manifest.header.table(&manifest.folder, MANIFEST)?)
}

/// The columns of a manifest's table, which must be those that this program states.
fn columns(stored: &Table, manifest: &Manifest) -> Result<Vec<Described>> {
    let columns = Row::columns();
    let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let stored = stored.columns()?;
    let found: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(
        found == known,
        "manifest.parquet in {} has the columns {found:?}, not {known:?}; build it again",
        manifest.folder.display()
    );
    Ok(columns)
}
