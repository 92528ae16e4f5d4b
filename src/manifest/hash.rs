//! The hash of a manifest: over its rows, whatever parquet's bytes and the key of its pseudonyms.

use std::collections::HashMap;

use super::{Row, order};

/// Hash over rows as JSON lines, in their canonical order; independent of parquet's bytes and of the key that
/// pseudonyms are made with: these are replaced by numbers in order of their first appearance.
pub fn canonical_hash(rows: &[Row]) -> String {
    hash(rows, Pseudonyms::Numbered)
}

/// The hash over rows in whatever order they are.
pub(super) fn hash(rows: &[Row], pseudonyms: Pseudonyms) -> String {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut canonical = Canonical::new(pseudonyms);
    sorted.into_iter().for_each(|row| canonical.add(row));
    canonical.hash()
}

/// How pseudonyms enter the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pseudonyms {
    /// As numbers, so that no key of theirs matters.
    Numbered,
    /// As they are, as in format 3, which had no series.
    AsTheyAre,
}

/// The hash over rows that come one after the other, in their canonical order.
pub(super) struct Canonical {
    pseudonyms: Pseudonyms,
    names: [HashMap<String, usize>; 5],
    lines: Lines,
}

impl Canonical {
    pub(super) fn new(pseudonyms: Pseudonyms) -> Canonical {
        Canonical { pseudonyms, names: Default::default(), lines: Lines::default() }
    }

    pub(super) fn add(&mut self, row: &Row) {
        if self.pseudonyms == Pseudonyms::AsTheyAre {
            return self.lines.add(&json(row).replacen("\"series_id\":null,", "", 1));
        }
        let mut numbered = row.clone();
        let Row { patient_id, group_id, study_id, series_id, site, .. } = &mut numbered;
        for (names, to) in self.names.iter_mut().zip([patient_id, group_id, study_id, series_id, site]) {
            let Some(name) = to else { continue };
            let next = names.len();
            let number = *names.entry(std::mem::take(name)).or_insert(next);
            *name = number.to_string();
        }
        self.lines.add(&json(&numbered));
    }

    pub(super) fn hash(self) -> String {
        self.lines.hash()
    }
}

fn json(row: &Row) -> String {
    serde_json::to_string(row).expect("rows are plain data")
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
