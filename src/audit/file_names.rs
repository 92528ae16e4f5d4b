//! Names of files that hold what looks like a person's name or a date, and what of them would be published.

use std::collections::BTreeSet;

use super::{Finding, Gate, Picture, personal};
use crate::manifest::Row;
use crate::spec::Level;

/// Pictures of a finding that are named; it counts the rest.
const N_NAMED: usize = 5;

pub(super) fn gate(rows: &[Row], level: Level) -> Gate {
    let asks = "do names of files and folders hold what looks like a person's name or a date?";
    let mut gate = Gate::new("file-names", asks, level);
    if gate.left_out.is_some() {
        return gate;
    }
    let known = known(rows);
    let mut files: Vec<&Row> = rows.iter().collect();
    files.dedup_by(|a, b| a.source_path == b.source_path);
    let is_found = |row: &Row, holds: &dyn Fn(&str) -> bool| {
        // The first folder is the spec's.
        let parts = row.source_path.split('/').skip(1).filter(|part| **part != *row.finding);
        parts.map(without_ending).any(holds)
    };
    let name = |text: &str| personal::has_name(text, &known);
    let kinds: [(&str, &dyn Fn(&str) -> bool); 2] =
        [("what looks like a person's name", &name), ("what looks like a date", &personal::has_date)];
    for (what, holds) in kinds {
        let found: Vec<&&Row> = files.iter().filter(|row| is_found(row, holds)).collect();
        if !found.is_empty() {
            gate.findings.push(Finding {
                what: format!("{} of {} paths hold {what}", found.len(), files.len()),
                pictures: found.iter().take(N_NAMED).map(|row| Picture::of(row)).collect(),
            });
        }
    }
    gate.notes.push(format!(
        "published by default are image ids and SHA-256 hashes; --freeze-paths and --paths publish {} paths, and \
         manifest.parquet and rejected.parquet hold them",
        files.len()
    ));
    if !gate.findings.is_empty() {
        gate.notes.push(
            "an image id is a hash of the path: whoever has a list of names can try them out; rename the files and \
             build again before ids are published"
                .to_owned(),
        );
    }
    gate
}

/// Words that the benchmark itself uses, in small letters.
fn known(rows: &[Row]) -> BTreeSet<String> {
    let texts: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| [&row.task, &row.organ, &row.modality, &row.finding, &row.source])
        .map(String::as_str)
        .collect();
    let words = texts.into_iter().flat_map(|text| text.split(|c: char| !c.is_alphabetic()));
    words.map(str::to_lowercase).collect()
}

fn without_ending(part: &str) -> &str {
    part.rsplit_once('.').filter(|(_, ending)| ending.len() <= 5).map_or(part, |(name, _)| name)
}
