//! Names of files that hold what looks like a person's name or a date, and what of them would be published.

use std::collections::BTreeSet;

use super::{Finding, Gate, Picture, personal};
use crate::manifest::Row;
use crate::names;
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
    let finding = |what: &str, holds: &dyn Fn(&str) -> bool| {
        let found: Vec<&&Row> = files.iter().filter(|row| parts(row).any(|part| holds(&part))).collect();
        (!found.is_empty()).then(|| Finding {
            what: format!("{} of {} paths hold {what}", found.len(), files.len()),
            pictures: found.iter().take(N_NAMED).map(|row| Picture::of(row)).collect(),
        })
    };
    gate.findings
        .extend(finding("what looks like a person's name", &|text| personal::has_name(text, &known)));
    gate.findings.extend(finding("what looks like a date", &personal::has_date));
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

/// Names of the file and of its folders, without the first, which is the spec's, and the finding's.
fn parts(row: &Row) -> impl Iterator<Item = String> {
    let parts = row.source_path.split('/').skip(1).map(names::composed);
    parts.filter(|part| *part != row.finding).map(|part| without_ending(&part).to_owned())
}

/// Words that the benchmark itself uses, in small letters.
fn known(rows: &[Row]) -> BTreeSet<String> {
    let texts: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| [row.task.as_str(), &row.organ, &row.modality, &row.finding, &row.source])
        .collect();
    let words = texts.into_iter().flat_map(|text| text.split(|c: char| !c.is_alphabetic()));
    words.map(str::to_lowercase).collect()
}

fn without_ending(part: &str) -> &str {
    part.rsplit_once('.').filter(|(_, ending)| ending.len() <= 5).map_or(part, |(name, _)| name)
}
