//! The hash of a manifest: over its rows, whatever parquet's bytes and the key of its pseudonyms.

use std::collections::HashMap;

use super::{Row, order};

/// Hash over rows as JSON lines, in their canonical order; independent of parquet's bytes and of the key that
/// pseudonyms are made with: these are replaced by numbers in order of their first appearance.
pub fn canonical_hash(rows: &[Row]) -> String {
    let mut names: [HashMap<&str, usize>; 4] = Default::default();
    let mut lines = Lines::default();
    for row in sorted(rows) {
        let mut numbered = row.clone();
        let of_row = [&row.patient_id, &row.group_id, &row.study_id, &row.series_id];
        let Row { patient_id, group_id, study_id, series_id, .. } = &mut numbered;
        let to = [patient_id, group_id, study_id, series_id];
        for ((names, name), to) in names.iter_mut().zip(of_row).zip(to) {
            let Some(name) = name else { continue };
            let next = names.len();
            *to = Some(names.entry(name).or_insert(next).to_string());
        }
        lines.add(&json(&numbered));
    }
    lines.hash()
}

/// As [`canonical_hash`] was in format 3: over rows as they are, which had no series.
pub(super) fn unkeyed_hash(rows: &[Row]) -> String {
    let mut lines = Lines::default();
    for row in sorted(rows) {
        lines.add(&json(row).replacen("\"series_id\":null,", "", 1));
    }
    lines.hash()
}

fn json(row: &Row) -> String {
    serde_json::to_string(row).expect("rows are plain data")
}

fn sorted(rows: &[Row]) -> Vec<&Row> {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| order(a).cmp(&order(b)));
    sorted
}

/// Rows as lines of JSON, hashed.
#[derive(Default)]
struct Lines(blake3::Hasher);

impl Lines {
    fn add(&mut self, line: &str) {
        self.0.update(line.as_bytes());
        self.0.update(b"\n");
    }

    fn hash(&self) -> String {
        self.0.finalize().to_hex()[..32].to_owned()
    }
}
