//! What a bench runs: methods, tasks, shots, draws, seeds, settings; read from TOML.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
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
    ("studies", include_str!("../../benchmarks/studies.toml")),
    ("ablation", include_str!("../../benchmarks/ablation.toml")),
    ("dae-noise", include_str!("../../benchmarks/dae-noise.toml")),
    ("external", include_str!("../../benchmarks/external.toml")),
];

fn every_epoch() -> usize {
    1
}

/// One run definition. A plan states all of it; a TOML file need not ([`Definition::parse`]).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Names the report folder; the file's own name when not given.
    pub name: String,
    /// Curated benchmark to run on, by its spec's name.
    pub spec: String,
    /// Side of the pictures; one of the spec's sizes. 128 when not given.
    pub size: usize,
    /// Methods beside the controls.
    pub methods: Vec<String>,
    /// Tasks to hold out; every one when empty.
    #[serde(default)]
    pub tasks: Vec<TaskName>,
    /// Sizes of the support set; 4 when not given.
    pub shots: Vec<usize>,
    /// Support sets per task; 5 when not given.
    pub draws: usize,
    /// Training seeds; 1 alone when not given.
    pub seeds: Vec<u64>,
    /// Seed of the episodes; 1 when not given.
    pub episode_seed: u64,
    /// Seed of the random teacher that stands in where no weights are given; 1 when not given.
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
        let own_name =
            Path::new(name_or_path).file_stem().map_or("bench".into(), |stem| stem.to_string_lossy());
        Definition::parse(&text, &own_name).with_context(|| format!("in the bench definition {name_or_path}"))
    }

    /// Reads a definition; `own_name` is its name where the text gives none.
    ///
    /// # Errors
    /// A text that is not TOML; else everything that is missing, unknown or of another kind, all at once.
    pub fn parse(text: &str, own_name: &str) -> Result<Definition> {
        let mut fields = Fields { table: toml::from_str(text)?, known: Vec::new(), wrong: Vec::new() };
        let definition = Definition {
            name: fields.or("name", own_name.to_owned()),
            spec: fields.required("spec", "the curated benchmark, such as \"phantom\""),
            size: fields.or("size", 128),
            methods: fields.required("methods", "such as [\"patchcore\"]"),
            tasks: fields.or("tasks", Vec::new()),
            shots: fields.or("shots", vec![4]),
            draws: fields.or("draws", 5),
            seeds: fields.or("seeds", vec![1]),
            episode_seed: fields.or("episode_seed", 1),
            teacher_seed: fields.or("teacher_seed", 1),
            held_out: fields.or("held_out", HeldOut::default()),
            epoch_by_sources: fields.or("epoch_by_sources", false),
            observe_every: fields.or("observe_every", 1),
            settings: fields.or("settings", BTreeMap::new()),
        };
        fields.finish()?;
        Ok(definition)
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

/// The fields of a definition's text, and what is wrong with them.
struct Fields {
    table: toml::Table,
    known: Vec<&'static str>,
    wrong: Vec<String>,
}

impl Fields {
    /// The value of a key, or `default` where it is not given or wrong.
    fn or<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> T {
        self.known.push(key);
        let Some(value) = self.table.remove(key) else { return default };
        let given = value.to_string();
        value.try_into().unwrap_or_else(|error: toml::de::Error| {
            self.wrong.push(format!("{key} = {given}: {}", error.message()));
            default
        })
    }

    fn required<T: DeserializeOwned + Default>(&mut self, key: &'static str, such_as: &str) -> T {
        if !self.table.contains_key(key) {
            self.wrong.push(format!("{key} is missing: {such_as}"));
        }
        self.or(key, T::default())
    }

    fn finish(mut self) -> Result<()> {
        for key in self.table.keys() {
            let meant = names::did_you_mean(key, self.known.iter().copied());
            self.wrong.push(format!("{key} is no key of a bench definition{meant}"));
        }
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_and_methods_are_enough() {
        let definition = Definition::parse("spec = 'own'\nmethods = ['dn2']", "mine").unwrap();
        assert_eq!((definition.name.as_str(), definition.size, definition.draws), ("mine", 128, 5));
        assert_eq!((definition.shots.as_slice(), definition.seeds.as_slice()), (&[4][..], &[1][..]));
        definition.check().unwrap();
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let text = "shots = 'four'\nshot = [2]\nmethods = ['dn2']\ndraws = -1\nheld_out = 'nobody'";
        let error = Definition::parse(text, "mine").unwrap_err().to_string();
        for part in
            ["spec is missing", "shots = \"four\"", "did you mean `shots`?", "draws = -1", "held_out = "]
        {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (name, text) in SHIPPED {
            let definition = Definition::parse(text, "other").unwrap();
            assert_eq!(definition.name, *name);
            let written = toml::to_string(&definition).unwrap();
            let again = Definition::parse(&written, "other").unwrap();
            assert_eq!(toml::to_string(&again).unwrap(), written);
        }
    }
}
