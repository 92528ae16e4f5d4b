//! Where the numbers come from: data, weights, protocol, machine, command.

use std::collections::{BTreeMap, BTreeSet};

use super::entrant::{Entrant, set_up};
use super::summary::Summary;
use crate::protocol::Protocol;
use crate::results::{Cell, Identity, Provenance, StoredCell};
use crate::words;

/// Name and value of everything a reader needs to judge and repeat a run.
pub(super) fn rows(results: &[StoredCell]) -> Vec<(&'static str, String)> {
    let of = |pick: &dyn Fn(&Identity, &Provenance) -> String| {
        let values = results.iter().map(|r| pick(&r.cell.identity, &r.cell.provenance));
        let values: BTreeSet<String> = values.filter(|value| !value.is_empty()).collect();
        if values.is_empty() { "–".to_owned() } else { values.into_iter().collect::<Vec<_>>().join("; ") }
    };
    let whole = |pick: fn(&Identity) -> u64| {
        let values: BTreeSet<u64> = results.iter().map(|r| pick(&r.cell.identity)).collect();
        values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    };
    vec![
        ("Benchmark", of(&|_, p| format!("{} ({}, version {})", p.spec_title, p.spec, p.spec_version))),
        ("Run definition", of(&|_, p| p.bench.clone())),
        ("Manifest", of(&|i, _| i.manifest_hash.clone())),
        ("Episodes", of(&|i, _| i.episodes_hash.clone())),
        ("Held out", of(&|i, _| i.held_out.to_string())),
        ("Backbone", of(&|_, p| p.backbone.clone())),
        ("Teacher weights", of(&|i, p| if i.is_imported() { String::new() } else { p.weights.clone() })),
        ("Trained on", of(&trained_on)),
        (
            "Protocol",
            format!(
                "{} ranks; {} are shown for the gap",
                Protocol::RANKED,
                words::list(Protocol::with_gap())
            ),
        ),
        ("Shots", whole(|i| i.shots as u64)),
        ("Draws", whole(|i| i.draw as u64)),
        ("Seeds", whole(|i| i.seed.0)),
        ("Picture side", of(&|i, _| format!("{} px", i.size))),
        (
            "Device",
            of(&|i, p| format!("{} ({}, {} threads, {})", p.device, i.device_class, p.threads, p.precision)),
        ),
        ("Subnormal numbers", of(&|_, p| p.subnormals.clone().unwrap_or_else(|| "not recorded".to_owned()))),
        (
            "Decoders of D2-4FAD and RD4AD",
            of(&|_, p| p.kernels.as_ref().map(|kernels| format!("by {kernels}")).unwrap_or_default()),
        ),
        ("Versions", of(&|_, p| format!("medfsad {}, libtorch {}", p.version, or_none(&p.libtorch)))),
        ("Code hash", of(&|i, _| i.code_hash.clone())),
        ("Git revision", of(&|_, p| p.git_revision.clone())),
        ("Command", of(&|_, p| p.command.clone())),
        ("Cells", results.len().to_string()),
    ]
}

/// What a cell's network was trained on, and whether the task's pictures may be in it.
fn trained_on(_: &Identity, provenance: &Provenance) -> String {
    let Some(seen) = provenance.seen_before else { return String::new() };
    let data = provenance.weights_trained_on.as_deref().unwrap_or("nobody says");
    format!("{data} (the task's pictures: {seen})")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// Title of the report.
pub(super) fn title(results: &[StoredCell]) -> String {
    let titles: BTreeSet<&str> = results.iter().map(|r| r.cell.provenance.spec_title.as_str()).collect();
    titles.into_iter().collect::<Vec<_>>().join(" + ")
}

/// What a reader must know before comparing: methods that appear with several set-ups, data or code.
pub(super) fn cautions(summary: &Summary) -> Vec<String> {
    let cells = || summary.entrants.iter().flat_map(|entrant| entrant.cells.iter().copied());
    let count =
        |pick: fn(&Identity) -> &str| cells().map(|r| pick(&r.cell.identity)).collect::<BTreeSet<_>>().len();
    let mut cautions = Vec::new();
    if count(|i| &i.manifest_hash) > 1 {
        cautions.push("The cells come from different manifests: rows do not compare across them.".to_owned());
    }
    let own = cells().map(|result| &result.cell.identity).filter(|identity| !identity.is_imported());
    if own.map(|identity| &identity.code_hash).collect::<BTreeSet<_>>().len() > 1 {
        cautions.push("The cells come from different versions of the code.".to_owned());
    }
    cautions.extend(imported(summary));
    let mut extensions: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for Cell { identity, provenance, .. } in cells().map(|result| &result.cell) {
        if let Some(how) = &provenance.extension {
            extensions.entry((how, &provenance.backbone)).or_default().insert(&identity.method);
        }
    }
    for ((how, network), methods) in extensions {
        let methods: Vec<&str> = methods.into_iter().collect();
        let on = if network.is_empty() { String::new() } else { format!(" on {network}") };
        cautions.push(format!(
            "An extension of ours, not the published method: {}{on}, {how}.",
            methods.join(", ")
        ));
    }
    let off = summary.rows.iter().filter_map(|row| Some((row, row.off_ground.as_ref()?)));
    let off: Vec<String> = off
        .map(|(row, how)| format!("{} at {} shots ({how})", summary.entrant(row).label, row.shots))
        .collect();
    if !off.is_empty() {
        cautions.push(format!(
            "Given more than others, or not on the same draws, seeds and pictures as most rows, so not ranked with them \
             (* in figures): {}.",
            off.join(", ")
        ));
    }
    for entrant in summary.entrants.iter().filter(|entrant| entrant.label.contains(" #")) {
        let cell = &entrant.cells[0].cell;
        cautions.push(format!("{}: {}.", entrant.label, set_up(&cell.identity, &cell.provenance)));
    }
    cautions
}

/// Names what was not run here, and from which files it came.
fn imported(summary: &Summary) -> Option<String> {
    let of = |entrant: &Entrant| {
        let files = entrant.cells.iter().map(|result| result.cell.provenance.weights.as_str());
        let files: Vec<&str> = files.collect::<BTreeSet<_>>().into_iter().collect();
        format!("{} ({})", entrant.method, files.join("; "))
    };
    let all: Vec<String> = summary.entrants.iter().filter(|entrant| entrant.imported).map(of).collect();
    (!all.is_empty()).then(|| {
        format!(
            "Imported, not run here: {}. The scores are another program's; supports and training are as its author states.",
            all.join(", ")
        )
    })
}
