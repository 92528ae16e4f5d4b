//! What the numbers of a row rest on, beside the benchmark.

use std::collections::BTreeSet;

use crate::results::StoredCell;
use crate::study::learned::Learned;

/// Names of the columns of a [`Basis`].
pub(super) const COLUMNS: [&str; 5] = ["weights", "seed", "held_out", "settings", "code_hash"];

/// In words, each; several where cells or trainings differ, and empty where nothing of the kind enters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Basis {
    /// Of the pretrained network.
    pub weights: String,
    /// Of the method or the training.
    pub seed: String,
    /// Which tasks train for a target.
    pub held_out: String,
    /// Of a method all settings, of SAMIL those that differ from the defaults; JSON.
    pub settings: String,
    /// Over the source files that can change a score.
    pub code: String,
}

impl Basis {
    /// Of a method's cells.
    pub(super) fn of_cells(cells: &[&StoredCell]) -> Basis {
        let all = |of: fn(&StoredCell) -> String| distinct(cells.iter().map(|cell| of(cell)));
        Basis {
            weights: all(|cell| cell.cell.provenance.weights.clone()),
            seed: all(|cell| cell.cell.identity.seed.to_string()),
            held_out: all(|cell| cell.cell.identity.held_out.to_string()),
            settings: all(|cell| cell.cell.identity.settings.clone()),
            code: all(|cell| cell.cell.identity.code_hash.clone()),
        }
    }

    /// Of the trainings that share a row.
    pub(super) fn of_trainings(group: &[&Learned]) -> Basis {
        let all = |of: fn(&Learned) -> String| distinct(group.iter().map(|one| of(one)));
        Basis {
            weights: all(|one| one.training.teacher.clone()),
            seed: all(|one| one.identity.seed.to_string()),
            held_out: all(|one| one.identity.held_out.to_string()),
            settings: all(|one| one.training.changed_settings.clone()),
            code: all(|one| one.identity.code_hash.clone()),
        }
    }

    /// In the order of [`COLUMNS`].
    pub(super) fn columns(&self) -> [String; 5] {
        let Basis { weights, seed, held_out, settings, code } = self.clone();
        [weights, seed, held_out, settings, code]
    }

    /// In one line.
    pub(super) fn words(&self) -> String {
        let Basis { weights, seed, held_out, settings, code } = self;
        let weights = if weights.is_empty() { "no network" } else { weights };
        format!("{weights}; seed {seed}; held out by {held_out}; settings {settings}; code {code}")
    }
}

/// In order, each once.
fn distinct(values: impl Iterator<Item = String>) -> String {
    let values: BTreeSet<String> = values.filter(|value| !value.is_empty()).collect();
    values.into_iter().collect::<Vec<_>>().join("; ")
}
