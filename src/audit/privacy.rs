//! Raw files that name people, or carry comments which may. Values are never shown, only the names of fields.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;

use super::{Finding, Gate, Picture};
use crate::decode::dicom;
use crate::files;
use crate::manifest::Row;
use crate::spec::Level;

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
        first_frames.par_iter().map(|row| (row, fields(&raw.join(&row.source_path)))).collect();
    for (row, fields) in found {
        match fields {
            Ok(fields) if fields.is_empty() => {}
            Ok(fields) => gate.findings.push(Finding {
                what: format!("carries {}", fields.join(", ")),
                pictures: vec![Picture::of(row)],
            }),
            Err(error) => gate.notes.push(format!("not looked at: {}: {error:#}", row.source_path)),
        }
    }
    gate
}

fn fields(path: &Path) -> Result<Vec<String>> {
    let bytes = files::read(path)?;
    Ok(if dicom::is_dicom(&bytes) {
        dicom::personal_fields(path)?.into_iter().map(str::to_owned).collect()
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        of_jpeg(&bytes)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        of_png(&bytes)
    } else {
        Vec::new()
    })
}

/// Comments and EXIF segments before the first scan.
fn of_jpeg(bytes: &[u8]) -> Vec<String> {
    let (mut found, mut at) = (Vec::new(), 2);
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = bytes.get(at + 4..at + 2 + length).unwrap_or_default();
        match marker {
            0xfe => found.push("a JPEG comment".to_owned()),
            0xe1 if body.starts_with(b"Exif") => found.push("EXIF".to_owned()),
            0xda => break,
            _ => {}
        }
        at += 2 + length;
    }
    found.dedup();
    found
}

/// Text and EXIF chunks.
fn of_png(bytes: &[u8]) -> Vec<String> {
    let (mut found, mut at) = (Vec::new(), 8);
    while let (Some(length), Some(kind)) = (bytes.get(at..at + 4), bytes.get(at + 4..at + 8)) {
        if [b"tEXt", b"zTXt", b"iTXt", b"eXIf"].iter().any(|known| known.as_slice() == kind) {
            found.push(format!("PNG chunk {}", String::from_utf8_lossy(kind)));
        }
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        at = at.saturating_add(length).saturating_add(12);
    }
    found.dedup();
    found
}
