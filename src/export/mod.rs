//! Curated benchmarks for other tools: Croissant metadata, folders in MVTec's layout, CSV, and cards for people.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use counts::Counts;

use crate::manifest::{MANIFEST, Manifest, REJECTED, Rejected, Row};
use crate::spec::Spec;
use crate::table::{self, Described, Heads, Record, Table};

/// Owners, terms and counts, for people.
pub mod card;
/// Findings as names of folders.
mod classes;
/// What metadata say of the rows in sum.
mod counts;
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

/// Writes a curated folder's rows as CSV, with the columns of the parquet file but those that `naming` leaves out.
///
/// # Errors
/// A manifest that cannot be read, or a file that cannot be written to.
pub fn csv(folder: &Path, naming: Naming, to: &mut impl Write) -> Result<()> {
    let header = Manifest::visit(folder, drop)?;
    let mut is_first = true;
    Table::visit(&header.table(folder, MANIFEST)?, |piece| {
        let heads = if std::mem::take(&mut is_first) { Heads::Named } else { Heads::LeftOut };
        piece.without(naming.left_out()).write_csv(heads, to)
    })
}

/// Metadata, and the table that they describe.
pub struct Croissant {
    /// JSON-LD, for a file beside the table.
    pub json: String,
    /// The rows as parquet, for a file called [`TABLE`].
    pub table: Vec<u8>,
}

/// Croissant 1.1 metadata with RAI 1.0 of a curated folder, and the table of pictures beside it; `audited` is what an
/// audit said.
///
/// # Errors
/// A manifest that cannot be read.
pub fn croissant(folder: &Path, spec: &Spec, naming: Naming, audited: Option<&Audited>) -> Result<Croissant> {
    let mut counts = Counts::default();
    let header = Manifest::visit(folder, |row| counts.add(&row))?;
    let is_kept = |column: &Described| !naming.left_out().contains(&column.name.as_str());
    let mut described = Vec::new();
    let table = table::copy(&header.table(folder, MANIFEST)?, |stored| {
        described = columns(&stored, folder)?;
        Ok(stored.without(naming.left_out()))
    })?;
    described.retain(is_kept);
    let rejected = Rejected::read(&header.table(folder, REJECTED)?)?;
    let responsible = responsible::properties(&header, spec, &counts, &rejected, audited);
    let json = croissant::describe(&header, spec, &counts, &described, &table, responsible)?;
    Ok(Croissant { json, table })
}

/// The columns of a manifest's table, which must be those that this program states.
fn columns(stored: &Table, folder: &Path) -> Result<Vec<Described>> {
    let columns = Row::columns();
    let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let stored = stored.columns()?;
    let found: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(
        found == known,
        "manifest.parquet in {} has the columns {found:?}, not {known:?}; build it again",
        folder.display()
    );
    Ok(columns)
}
