//! A method as it was set up, with its cells.

use std::collections::BTreeMap;

use crate::regime::Regime;
use crate::results::{Identity, Provenance, StoredCell};

/// What every table and figure of a run without trained weights says.
pub(super) const RANDOM_TEACHER: &str =
    "random teacher: these numbers test the software, not the published method";

/// A method as it was set up; the same method with other settings is another entrant.
pub(super) struct Entrant<'a> {
    pub label: String,
    pub method: &'a str,
    pub regime: Regime,
    pub control: bool,
    pub random: bool,
    /// Whether another program computed its scores.
    pub imported: bool,
    pub cells: Vec<&'a StoredCell>,
}

impl<'a> Entrant<'a> {
    /// Its regime: what it was given or, where scores were imported, what its author states.
    pub(super) fn regime_words(&self) -> String {
        if self.imported { format!("{} (stated)", self.regime) } else { self.regime.to_string() }
    }

    /// The cell that stands for it and a task in figures and pages of single cells: most shots, first draw.
    pub(super) fn exemplar(&self, task: &str) -> Option<&'a StoredCell> {
        let ran =
            self.cells.iter().copied().filter(|r| r.cell.error.is_none() && r.cell.identity.task == task);
        ran.min_by_key(|r| {
            let id = &r.cell.identity;
            (std::cmp::Reverse(id.shots), id.draw, id.seed, &r.cell.id)
        })
    }

    /// Its cells of a number of shots.
    pub(super) fn at(&self, shots: usize) -> Vec<&'a StoredCell> {
        self.cells.iter().copied().filter(|cell| cell.cell.identity.shots == shots).collect()
    }
}

/// Cells by method and set-up.
pub(super) fn entrants(results: &[StoredCell]) -> Vec<Entrant<'_>> {
    let mut groups: BTreeMap<(&str, String), Vec<&StoredCell>> = BTreeMap::new();
    for result in results {
        let key =
            (result.cell.identity.method.as_str(), set_up(&result.cell.identity, &result.cell.provenance));
        groups.entry(key).or_default().push(result);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let several = |method: &str| groups.keys().filter(|(other, _)| *other == method).count() > 1;
    let mut entrants = Vec::new();
    for ((method, _), cells) in &groups {
        let number = seen.entry(method).and_modify(|n| *n += 1).or_insert(1);
        let imported = cells[0].cell.identity.is_imported();
        let name = if several(method) { format!("{method} #{number}") } else { (*method).to_owned() };
        let label = if imported { format!("{name} (not run here)") } else { name };
        entrants.push(Entrant {
            label,
            method,
            regime: regime(&cells[0].cell.provenance),
            control: method.starts_with("control-"),
            random: cells.iter().any(|r| r.cell.provenance.random_weights),
            imported,
            cells: cells.clone(),
        });
    }
    entrants
}

/// What the method was given, and its teacher before it.
fn regime(provenance: &Provenance) -> Regime {
    provenance.teacher_regime.map_or(provenance.regime, |teacher| teacher.max(provenance.regime))
}

/// What must agree for two cells to share a row, in words.
pub(super) fn set_up(identity: &Identity, provenance: &Provenance) -> String {
    format!(
        "settings {}; {} px; held out by {}; manifest {}; episode seed {}; weights {}; code {}; {}; regime {}; {}{}{}{}",
        identity.settings,
        identity.size,
        identity.held_out,
        identity.manifest_hash,
        identity.episode_seed,
        // One recipe gives each target weights of its own.
        match &provenance.teacher_recipe {
            Some(recipe) => recipe,
            None if identity.weights_hash.is_empty() => "none",
            None => &identity.weights_hash,
        },
        if identity.is_imported() { "of others" } else { &identity.code_hash },
        identity.device_class,
        regime(provenance),
        if provenance.backbone.is_empty() { "no network" } else { &provenance.backbone },
        if provenance.random_weights { " (random)" } else { "" },
        if identity.epoch_by_sources { "; epoch also chosen on source tasks" } else { "" },
        identity.observed_every.map_or(String::new(), |every| format!("; observed every {every} epochs")),
    )
}

/// The loud label of entrants whose teacher has random weights.
pub(super) fn warning(entrants: &[Entrant]) -> Option<String> {
    let random: Vec<&str> = entrants.iter().filter(|e| e.random).map(|e| e.label.as_str()).collect();
    warning_of(&random, entrants.iter().filter(|e| !e.control && !e.imported).all(|e| e.random))
}

/// The same, of the names of `random` rows; `all` says that no other row has a network.
pub(super) fn warning_of(random: &[&str], all: bool) -> Option<String> {
    match random {
        [] => None,
        _ if all => Some(RANDOM_TEACHER.to_owned()),
        some => Some(format!("{RANDOM_TEACHER} (concerns: {})", some.join(", "))),
    }
}
