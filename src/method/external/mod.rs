//! A method that is somebody's program in any language: it is given lists of pictures and writes scores.
//!
//! `exchange` says what lies in the folder that a program is handed. Programs are run once per support draw,
//! for all queries at once, and see neither labels nor the order of the test set.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::contract::{
    Built, Context, Detector, Encoded, Entry, Fitted, Method, Observer, Output, Prediction, TrainTask,
};
use crate::episode::batch::Pictures;
use crate::files;
use crate::ids::TaskName;
use crate::regime::Regime;
use exchange::Listed;
use scratch::Scratch;
use sources::Hashes;

/// What crosses between us and the program.
mod exchange;
/// How it is run.
mod process;
/// Where it is run.
mod scratch;
/// The files that the program is made of.
mod sources;

/// Any program as a method, by a command in its settings.
pub const ENTRY: Entry = Entry {
    name: "external",
    about: "any program as a method: `external:NAME` with a command in its settings (benchmarks/external)",
    paper: "yours",
    regime: "R1 (or R2, R5)",
    needs: "a program",
    cost: "the program's",
    trial: "command = ['python3', 'benchmarks/external/mean_colour.py']",
    build,
    work: None,
};

/// What a program may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Given {
    /// Supports (R1).
    #[default]
    Supports,
    /// Supports and the train normals of other tasks (R2).
    OtherNormals,
    /// All train normals of the target (R5).
    TargetNormals,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Program and arguments; the folder with the pictures is added as the last one. Run in the current
    /// folder.
    command: Vec<String>,
    /// Pictures that the program is given beside the queries.
    sees: Given,
    /// Seconds after which the program is stopped and the cell fails; an hour when not given.
    timeout_s: Option<u64>,
    /// Files and folders that the program uses. Without them every file below its folder that has its ending counts.
    depends: Vec<PathBuf>,
    /// SHA-256 of every file that the program is made of, so that a changed program is another method. Filled in by us.
    #[serde(skip_deserializing)]
    files: Hashes,
}

/// The settings that a user gives.
pub const KEYS: [&str; 4] = ["command", "sees", "timeout_s", "depends"];

impl Settings {
    /// What ran otherwise would not be what the results are called by.
    fn ensure_unchanged(&self) -> Result<()> {
        let found = sources::hashes(&self.command, &self.depends)?;
        let names = self.files.keys().chain(found.keys());
        let changed = names.into_iter().find(|name| self.files.get(*name) != found.get(*name));
        ensure!(
            changed.is_none(),
            "external: {} changed while the bench ran; start it again, and the new program has cells of its own",
            changed.map_or("", String::as_str)
        );
        Ok(())
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of external")?;
    ensure!(
        !settings.command.is_empty(),
        "external needs `command`: --set command='[\"python3\", \"my_method.py\"]', or the same in the bench definition"
    );
    settings.files = sources::hashes(&settings.command, &settings.depends)?;
    let sees = match settings.sees {
        Given::Supports => Regime::Supports,
        Given::OtherNormals => Regime::OtherNormals,
        Given::TargetNormals => Regime::TargetNormals,
    };
    let built = Built::new(External { settings: settings.clone() }, &settings, sees, None)?;
    Ok(built.giving(Output::Unknown))
}

struct External {
    settings: Settings,
}

impl Method for External {
    fn fit(&self, tasks: &[TrainTask], context: &Context, _: &mut dyn Observer) -> Result<Box<dyn Fitted>> {
        let shared = Scratch::new()?;
        let mut train = Vec::new();
        for task in tasks {
            let listed = exchange::write_pictures(shared.path(), &task.pictures)?;
            train.extend(listed.into_iter().map(|picture| (task.name.clone(), picture)));
        }
        Ok(Box::new(Prepared { settings: self.settings.clone(), context: context.clone(), shared, train }))
    }
}

/// Train pictures written, waiting for supports.
struct Prepared {
    settings: Settings,
    context: Context,
    /// Train pictures, and a place where the program may keep what it learned from them.
    shared: Scratch,
    train: Vec<(TaskName, Listed)>,
}

impl Fitted for Prepared {
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        let folder = Scratch::new()?;
        exchange::write_train(folder.path(), &self.train)?;
        let listed = exchange::write_pictures(folder.path(), supports)?;
        exchange::write_list(&folder.path().join("supports.csv"), &listed)?;
        Ok(Box::new(ExternalDetector { prepared: self, folder, n_supports: supports.len() }))
    }

    fn trains_on_supports(&self) -> bool {
        true
    }
}

/// Supports written, waiting for queries.
struct ExternalDetector<'a> {
    prepared: &'a Prepared,
    folder: Scratch,
    n_supports: usize,
}

impl Detector for ExternalDetector<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let Prepared { settings, context, shared, .. } = self.prepared;
        let folder = self.folder.path();
        let listed = exchange::write_queries(folder, queries)?;
        let episode = exchange::Episode {
            protocol: exchange::PROTOCOL,
            task: context.task.clone(),
            shots: self.n_supports,
            seed: context.seed,
            size: queries.size(),
            device: match context.device {
                Device::Cuda(index) => format!("cuda:{index}"),
                _ => "cpu".to_owned(),
            },
            state: shared.path().join("state"),
        };
        std::fs::create_dir_all(&episode.state).context("making the program's state folder")?;
        files::write_whole(&folder.join("episode.json"), serde_json::to_string_pretty(&episode)?.as_bytes())?;
        settings.ensure_unchanged()?;
        // Of an earlier call in this folder: a program that writes nothing has not answered.
        ["scores.csv", "maps.safetensors"]
            .iter()
            .try_for_each(|name| files::remove_if_there(&folder.join(name)))?;
        process::run(
            &settings.command,
            &self.folder,
            Duration::from_secs(settings.timeout_s.unwrap_or(3600)),
        )?;
        let scores = exchange::read_scores(&folder.join("scores.csv"), &listed)?;
        let maps = folder.join("maps.safetensors");
        if !maps.exists() {
            return Ok(Prediction::Scores(scores));
        }
        Ok(Prediction::Both(exchange::read_maps(&maps, &listed, queries.size() as usize)?, scores))
    }

    /// A program is started once for all queries; they are given in the order of their content.
    fn batch(&self) -> usize {
        usize::MAX
    }
}
