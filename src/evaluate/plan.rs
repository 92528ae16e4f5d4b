//! From a definition to cells: what is to run, what is done already.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::definition::Definition;
use crate::episode::Episodes;
use crate::manifest::Manifest;
use crate::method::{self, Built, Entry};
use crate::network::teacher::Origin;
use crate::results::{Cell, Identity};

/// Cells that share one training: all draws of a method, task, shots and seed.
pub struct Group {
    pub entry: &'static Entry,
    pub built: Built,
    pub task: String,
    pub training: Vec<String>,
    pub shots: usize,
    pub seed: u64,
    /// One per draw.
    pub cells: Vec<Identity>,
}

/// Everything a plan depends on beside the definition.
pub struct Setting<'a> {
    pub manifest: &'a Manifest,
    pub episodes: &'a Episodes,
    pub teacher: &'a Origin,
    pub device_class: &'static str,
}

/// Lists all groups, methods outermost.
///
/// # Errors
/// An unknown method, task or setting; too few train normals for the shots.
pub fn plan(definition: &Definition, setting: &Setting) -> Result<Vec<Group>> {
    let known = setting.manifest.tasks();
    let tasks = if definition.tasks.is_empty() { known.clone() } else { definition.tasks.clone() };
    if let Some(task) = tasks.iter().find(|task| !known.contains(task)) {
        bail!("unknown task `{task}` (known: {})", known.join(", "));
    }
    for name in definition.settings.keys() {
        method::find(name)?;
    }
    let mut groups = Vec::new();
    for name in &definition.methods {
        let entry = method::find(name)?;
        for task in &tasks {
            for &shots in &definition.shots {
                for &seed in &definition.seeds {
                    groups.push(group(definition, setting, entry, task, shots, seed)?);
                }
            }
        }
    }
    Ok(groups)
}

fn group(
    definition: &Definition,
    setting: &Setting,
    entry: &'static Entry,
    task: &str,
    shots: usize,
    seed: u64,
) -> Result<Group> {
    let settings = definition.settings.get(entry.name).cloned().unwrap_or_default();
    let built = (entry.build)(settings)?;
    let training = match entry.trains {
        true => definition.held_out.training_tasks(setting.manifest, task),
        false => Vec::new(),
    };
    let rule = definition.held_out.name();
    ensure!(
        !entry.trains || !training.is_empty(),
        "no task may train for `{task}` under the rule `{rule}`: {} needs another task in the benchmark{}",
        entry.name,
        if rule == "organ" { ", or --held-out dataset" } else { "" }
    );
    let weights_hash = built.backbone.map(|backbone| setting.teacher.hash(backbone)).unwrap_or_default();
    let identity = |draw: usize| {
        Ok(Identity {
            method: entry.name.to_owned(),
            settings: built.settings.clone(),
            task: task.to_owned(),
            shots,
            draw,
            seed,
            size: definition.size,
            held_out: if entry.trains { rule.to_owned() } else { "none".to_owned() },
            manifest_hash: setting.manifest.header.canonical_hash.clone(),
            episode_seed: definition.episode_seed,
            episodes_hash: setting.episodes.cell_hash(task, draw, shots, &training)?,
            code_hash: crate::CODE_HASH.to_owned(),
            weights_hash: weights_hash.clone(),
            device_class: setting.device_class.to_owned(),
        })
    };
    let cells = (0..definition.draws).map(identity).collect::<Result<_>>()?;
    Ok(Group { entry, built, task: task.to_owned(), training, shots, seed, cells })
}

/// Whether a cell has been run to its end without an error.
pub fn is_done(run: &Path, identity: &Identity) -> bool {
    let text = std::fs::read_to_string(run.join("cells").join(identity.id()).join("cell.json"));
    let cell: Option<Cell> = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    cell.is_some_and(|cell| cell.error.is_none())
}
