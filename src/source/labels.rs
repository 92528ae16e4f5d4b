//! Label tables: CSV files read by column name.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{files, names};

/// The named columns of a CSV file, one array per row, trimmed, accents composed.
///
/// # Errors
/// If the file is missing or damaged, or a column is missing: then those it has are named.
pub(super) fn read<const N: usize>(path: &Path, columns: [&str; N]) -> Result<Vec<[String; N]>> {
    let text = files::read_text(path)?;
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().with_context(|| format!("reading {}", path.display()))?.clone();
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let found = header.iter().position(|name| name.trim() == column);
        let held: Vec<&str> = header.iter().collect();
        *place = found.with_context(|| {
            format!(
                "{} has no column `{column}` (its columns: {}); use the file as its owner published it",
                path.display(),
                held.join(", ")
            )
        })?;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.with_context(|| format!("reading {}", path.display()))?;
        rows.push(places.map(|place| names::composed(record[place].trim())));
    }
    ensure!(!rows.is_empty(), "{} has no rows below its header", path.display());
    Ok(rows)
}
