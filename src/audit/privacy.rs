//! Raw files that name people, or carry comments which may. Values are never shown, only the names of fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use super::{Finding, Gate, Picture};
use crate::decode::{dicom, jpeg};
use crate::files;
use crate::manifest::Row;
use crate::spec::Level;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(super) fn gate(rows: &[Row], raw: Option<&Path>, level: Level) -> Gate {
    let asks = "do raw files carry names, birth dates, comments or camera data?";
    let mut gate = Gate::new("privacy", asks, level);
    let Some(raw) = raw else {
        gate.left_out.get_or_insert_with(|| "no raw folder is at hand; give --raw".to_owned());
        return gate;
    };
    if gate.left_out.is_some() {
        return gate;
    }
    let mut first_frames: Vec<&Row> = rows.iter().collect();
    first_frames.dedup_by(|a, b| a.source_path == b.source_path);
    let found: Vec<_> =
        first_frames.par_iter().map(|row| (*row, fields(&raw.join(&row.source_path)))).collect();
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for (row, fields) in found {
        let what = match fields {
            Ok(None) => {
                *unknown.entry(ending(&row.source_path)).or_default() += 1;
                continue;
            }
            Ok(Some(fields)) if fields.is_empty() => continue,
            Ok(Some(fields)) => format!("carries {}", fields.join(", ")),
            Err(error) => format!("could not be looked at: {error:#}"),
        };
        gate.findings.push(Finding { what, pictures: vec![Picture::of(row)] });
    }
    for (ending, count) in unknown {
        gate.notes.push(format!("{count} files of kind {ending} were not looked into"));
    }
    gate
}

fn ending(path: &str) -> String {
    Path::new(path).extension().map_or("unknown".to_owned(), |ending| ending.to_string_lossy().to_lowercase())
}

/// What a file carries; `None` for kinds of files that are not looked into.
fn fields(path: &Path) -> Result<Option<Vec<String>>> {
    let bytes = files::read(path)?;
    Ok(if dicom::is_dicom(&bytes) {
        Some(dicom::personal_fields(path)?.into_iter().map(str::to_owned).collect())
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        Some(of_jpeg(&bytes))
    } else if bytes.starts_with(PNG) {
        Some(of_png(&bytes))
    } else {
        None
    })
}

/// Comments and EXIF segments before the first scan.
fn of_jpeg(bytes: &[u8]) -> Vec<String> {
    let named = |(marker, body): (u8, &[u8])| match marker {
        0xfe => Some("a JPEG comment"),
        0xe1 if body.starts_with(b"Exif") => Some("EXIF"),
        _ => None,
    };
    let found: BTreeSet<&str> = jpeg::segments(bytes).filter_map(named).collect();
    found.into_iter().map(str::to_owned).collect()
}

/// Text and EXIF chunks.
fn of_png(bytes: &[u8]) -> Vec<String> {
    let (mut found, mut at) = (BTreeSet::new(), PNG.len());
    while let (Some(length), Some(kind)) = (bytes.get(at..at + 4), bytes.get(at + 4..at + 8)) {
        if [b"tEXt", b"zTXt", b"iTXt", b"eXIf"].iter().any(|known| known.as_slice() == kind) {
            found.insert(format!("PNG chunk {}", String::from_utf8_lossy(kind)));
        }
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        at = at.saturating_add(length).saturating_add(12);
    }
    found.into_iter().collect()
}
