//! What a bench runs: methods, tasks, shots, draws, seeds, settings; read from TOML.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::episode::{self, HeldOut};
use crate::ids::TaskName;
use crate::{files, method, names};

/// Definitions that travel inside the binary.
pub const SHIPPED: &[(&str, &str)] = &[
    ("quick", include_str!("../../benchmarks/quick.toml")),
    ("mini", include_str!("../../benchmarks/mini.toml")),
    ("full", include_str!("../../benchmarks/full.toml")),
    ("slice", include_str!("../../benchmarks/slice.toml")),
    ("ablation", include_str!("../../benchmarks/ablation.toml")),
    ("dae-noise", include_str!("../../benchmarks/dae-noise.toml")),
    ("external", include_str!("../../benchmarks/external.toml")),
];

fn every_epoch() -> usize {
    1
}

/// One run definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Names the report folder.
    pub name: String,
    /// Curated benchmark to run on, by its spec's name.
    pub spec: String,
    /// Side of the pictures; one of the spec's sizes.
    pub size: usize,
    /// Methods beside the controls.
    pub methods: Vec<String>,
    /// Tasks to hold out; every one when empty.
    #[serde(default)]
    pub tasks: Vec<TaskName>,
    /// Sizes of the support set.
    pub shots: Vec<usize>,
    /// Support sets per task.
    pub draws: usize,
    /// Training seeds.
    pub seeds: Vec<u64>,
    /// Seed of the episodes.
    pub episode_seed: u64,
    /// Seed of the random teacher that stands in where no weights are given.
    pub teacher_seed: u64,
    /// Which tasks may train for the one held out.
    #[serde(default)]
    pub held_out: HeldOut,
    /// Methods that train on other tasks (R2) are also scored, after each epoch, on those tasks' test sets; the epoch
    /// with the highest mean AUROC there gives the scores of protocol `clean-source`. It needs anomalies of other
    /// tasks, and time for their test sets.
    #[serde(default)]
    pub epoch_by_sources: bool,
    /// Every how many epochs a training is observed: the test set is scored, and the published protocols choose among
    /// these epochs. The last one is observed in any case. Published: every one.
    #[serde(default = "every_epoch")]
    pub observe_every: usize,
    /// Settings by method. A variant such as `dae:coarse` has those of `dae`, overridden by its own.
    #[serde(default)]
    pub settings: BTreeMap<String, toml::Table>,
}

impl Definition {
    /// Reads a definition from a file, or by its name from those shipped.
    ///
    /// # Errors
    /// A name that is neither shipped nor a readable file, or a text that is not a definition.
    pub fn load(name_or_path: &str) -> Result<Definition> {
        let text = match SHIPPED.iter().find(|(name, _)| *name == name_or_path) {
            Some((_, text)) => (*text).to_owned(),
            None => {
                let known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
                files::read_text(Path::new(name_or_path)).with_context(|| {
                    let meant = names::did_you_mean(name_or_path, known.iter().copied());
                    format!(
                        "no bench `{name_or_path}`{meant}: give a TOML file or one of {}",
                        known.join(", ")
                    )
                })?
            }
        };
        toml::from_str(&text).with_context(|| format!("in the bench definition {name_or_path}"))
    }

    /// Checks what the command line may have changed.
    ///
    /// # Errors
    /// An empty list of shots, seeds or methods, shots or draws of 0, or `held_out` of none.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.shots.is_empty() && !self.shots.contains(&0), "shots must be numbers of at least 1");
        ensure!(
            self.held_out != HeldOut::None,
            "held_out must be dataset or organ: methods train on other tasks"
        );
        ensure!(self.draws > 0, "draws must be at least 1");
        ensure!(self.observe_every > 0, "observe_every must be at least 1, which is every epoch");
        ensure!(!self.seeds.is_empty(), "give at least one seed");
        ensure!(!self.methods.is_empty(), "give at least one method");
        Ok(())
    }

    /// Settings of a method or of one of its variants.
    pub fn settings_of(&self, name: &str) -> toml::Table {
        let table = |name: &str| self.settings.get(name).cloned().unwrap_or_default();
        let mut settings = table(method::base_name(name));
        settings.extend(table(name));
        settings
    }

    /// What determines the episodes. Sets are always of at least 8, so that runs with fewer shots share them.
    pub fn episodes(&self) -> episode::Settings {
        let max_shots = self.shots.iter().copied().max().unwrap_or(0).max(8);
        episode::Settings { seed: self.episode_seed, draws: self.draws, max_shots }
    }
}
