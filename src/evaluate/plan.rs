//! From a definition to cells: what is to run, what is done already.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::definition::Definition;
use super::seen;
use crate::episode::{Episodes, HeldOut};
use crate::files;
use crate::ids::{CellId, TaskName};
use crate::manifest::Manifest;
use crate::method::{self, Built};
use crate::network::origin::Teachers;
use crate::regime::Regime;
use crate::results::{self, Cell, Identity, Seed};

/// Cells that share one training: all draws of a method, task and seed, and all shots unless training
/// depends on them.
pub struct Job {
    /// As the definition calls it.
    pub method: String,
    /// The method with its settings.
    pub built: Built,
    /// The task whose test pictures are scored.
    pub task: TaskName,
    /// Tasks whose train normals it is given.
    pub training: Vec<TaskName>,
    /// Tasks whose train normals calibrate its random teacher; empty if it needs none.
    pub calibration: Vec<TaskName>,
    /// Seed of the method's random streams.
    pub seed: u64,
    /// One per shots and draw.
    pub cells: Vec<Identity>,
}

/// Everything a plan depends on beside the definition.
pub struct Setting<'a> {
    /// The curated benchmark.
    pub manifest: &'a Manifest,
    /// The episodes drawn from it.
    pub episodes: &'a Episodes,
    /// Where the weights of pretrained networks come from.
    pub teachers: &'a Teachers,
    /// As [`super::device::Wanted::class`] says it.
    pub device_class: String,
}

/// Lists all jobs, methods outermost.
///
/// # Errors
/// An unknown method, task or setting; too few train normals for the shots.
pub fn plan(definition: &Definition, setting: &Setting) -> Result<Vec<Job>> {
    let known = setting.manifest.tasks();
    let tasks = if definition.tasks.is_empty() { known.clone() } else { definition.tasks.clone() };
    if let Some(task) = tasks.iter().find(|task| !known.contains(task)) {
        bail!("unknown task `{task}` (known: {})", known.join(", "));
    }
    for name in definition.settings.keys() {
        method::find(name)?;
    }
    let mut jobs = Vec::new();
    for name in &definition.methods {
        for task in &tasks {
            for &seed in &definition.seeds {
                let built = build(definition, name)?;
                if built.fits_shots {
                    for &shots in &definition.shots {
                        jobs.push(job(definition, setting, name, task, &[shots], seed)?);
                    }
                } else {
                    jobs.push(job(definition, setting, name, task, &definition.shots, seed)?);
                }
            }
        }
    }
    Ok(jobs)
}

fn build(definition: &Definition, name: &str) -> Result<Built> {
    let settings = definition.settings_of(name);
    (method::find(name)?.build)(settings)
}

fn job(
    definition: &Definition,
    setting: &Setting,
    method: &str,
    task: &str,
    shots: &[usize],
    seed: u64,
) -> Result<Job> {
    let built = build(definition, method)?;
    built.check_size(definition.size).with_context(|| method.to_owned())?;
    built.check_has_squares().with_context(|| method.to_owned())?;
    let others = definition.held_out.training_tasks(setting.manifest, task);
    let rule = definition.held_out;
    ensure!(
        !built.regime.learns_from_others() || !others.is_empty(),
        "no task may train for `{task}` under the rule `{rule}`: {method} needs another task in the benchmark{}",
        if rule == HeldOut::Organ { ", or --held-out dataset" } else { "" }
    );
    let training = definition.held_out.given_tasks(built.regime, setting.manifest, task);
    let origin = built
        .network
        .map(|network| {
            let origin = seen::unseen(setting.teachers, network, setting.manifest, task, rule)?;
            anyhow::Ok((network, origin))
        })
        .transpose()?;
    let random = origin.as_ref().is_some_and(|(_, origin)| origin.is_random());
    let calibration = if random { others } else { Vec::new() };
    let weights_hash = origin.map(|(network, origin)| origin.hash(network)).unwrap_or_default();
    let by_sources = definition.epoch_by_sources && built.regime == Regime::OtherNormals;
    // A training on supports is not observed.
    let on_supports = matches!(built.regime, Regime::Supports | Regime::TargetAnomalies);
    let has_epochs = built.takes_steps && !on_supports;
    let observed_every = (has_epochs && definition.observe_every > 1).then_some(definition.observe_every);
    let ruled = random || built.regime.learns_from_others();
    let identity = |shots: usize, draw: usize| {
        Ok(Identity {
            method: method.to_owned(),
            settings: built.settings.clone(),
            task: TaskName::new(task),
            shots,
            draw,
            seed: Seed(seed),
            size: definition.size,
            held_out: if ruled { rule } else { HeldOut::None },
            manifest_hash: setting.manifest.header.canonical_hash.clone(),
            episode_seed: Seed(definition.episode_seed),
            episodes_hash: setting.episodes.cell_hash(task, draw, shots, &training)?,
            code_hash: crate::CODE_HASH.to_owned(),
            weights_hash: weights_hash.clone(),
            device_class: setting.device_class.clone(),
            epoch_by_sources: by_sources,
            observed_every,
        })
    };
    let all = shots.iter().flat_map(|&shots| (0..definition.draws).map(move |draw| (shots, draw)));
    let cells = all.map(|(shots, draw)| identity(shots, draw)).collect::<Result<_>>()?;
    Ok(Job {
        method: method.to_owned(),
        built,
        task: TaskName::new(task),
        training,
        calibration,
        seed,
        cells,
    })
}

impl Job {
    /// Its cells that are still to be computed, and of those that ended with an error the ones that `retry` says.
    pub fn wanted(&self, run: &Path, retry: Retry) -> Vec<&Identity> {
        let is_wanted = |identity: &&Identity| match state(run, identity) {
            State::ToDo => true,
            State::Lacked => retry != Retry::None,
            State::Failed => retry == Retry::All,
            State::Done => false,
        };
        self.cells.iter().filter(is_wanted).collect()
    }

    /// Names the work of computing its cells, which is one process's: 16 hexadecimal digits.
    pub fn name(&self) -> String {
        let ids: Vec<CellId> = self.cells.iter().map(Identity::id).collect();
        files::fingerprint(ids.join(" ").as_bytes())[..16].to_owned()
    }
}

/// What has become of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not computed yet.
    ToDo,
    /// Its results are there.
    Done,
    /// It ended with an error, which its row tells.
    Failed,
    /// As failed, for want of something that the machine may have by now.
    Lacked,
}

/// Which cells that ended with an error are computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// None, such as in the process that has just computed them.
    None,
    /// Those for which the machine lacked something.
    Lacked,
    /// All of them.
    All,
}

impl Retry {
    /// As a user asks with `--retry-failed`, or does not.
    pub fn asked(retry_failed: bool) -> Retry {
        if retry_failed { Retry::All } else { Retry::Lacked }
    }
}

/// Looks at what lies in a run's folder. A cell that is not what was written has failed.
pub fn state(run: &Path, identity: &Identity) -> State {
    match results::read_cell(&run.join("cells").join(identity.id())) {
        Err(_) => State::ToDo,
        Ok(Cell { lacked: Some(_), .. }) => State::Lacked,
        Ok(cell) if cell.error.is_some() => State::Failed,
        Ok(_) => State::Done,
    }
}
