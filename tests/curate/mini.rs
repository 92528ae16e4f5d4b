//! The reference data beside the repository, curated by the shipped spec `mini`.

use std::collections::BTreeMap;

use medfsad::files;
use medfsad::manifest::{Label, Split};
use medfsad::spec::Spec;

use super::tree::built;
use crate::shared::shared;

#[test]
fn the_reference_data_fill_the_mini_spec_and_every_file_is_accounted_for() {
    let Some(raw) = shared("realmini/raw") else { return };
    let built = built(&Spec::load("mini").unwrap(), &raw);
    let mut counts: BTreeMap<(&str, Split, Label), usize> = BTreeMap::new();
    for row in &built.manifest.rows {
        *counts.entry((&row.task, row.split, row.label)).or_default() += 1;
    }
    for (task, expected) in [
        ("his", [200, 60, 60]),
        ("lag", [140, 60, 60]),
        ("aptos", [90, 60, 60]),
        ("rsna", [80, 50, 50]),
        ("brain_tumor", [120, 60, 60]),
    ] {
        let parts =
            [(Split::Train, Label::Normal), (Split::Test, Label::Normal), (Split::Test, Label::Anomalous)];
        assert_eq!(parts.map(|(split, label)| counts[&(task, split, label)]), expected, "{task}");
        assert!(!counts.contains_key(&(task, Split::Train, Label::Anomalous)), "{task} trains on anomalies");
    }
    let used = built.manifest.rows.iter().map(|row| row.source_path.clone());
    let mut accounted: Vec<String> =
        used.chain(built.outcome.rejected.iter().map(|rejected| rejected.source_path.clone())).collect();
    accounted.sort_unstable();
    assert_eq!(accounted, files::walk(&raw).unwrap());
    let duplicates = built.outcome.rejected.iter().filter(|rejected| rejected.kind == "duplicate");
    let notumor = duplicates.filter(|rejected| rejected.source_path.contains("/notumor/")).count();
    assert_eq!(notumor, 13);
}
