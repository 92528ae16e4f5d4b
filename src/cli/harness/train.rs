//! `train`: D2-4FAD trained on folders of normal pictures, saved as a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tch::Tensor;

use super::compute::{Compute, FeatureArgs};
use super::settings::{self, MethodArgs};
use super::teacher::{self, TeacherArgs};
use crate::evaluate::folder::{self, Shape};
use crate::evaluate::training_log::TrainingLog;
use crate::ids::TaskName;
use crate::method::d24fad::{self, Settings};
use crate::method::{Context, OpenTeachers, StateFile, TrainTask};
use crate::network::Network;
use crate::network::feature_folder::FeatureFolder;
use crate::network::origin::{Origin, Teachers};
use crate::network::teacher::Teacher;
use crate::random::Stream;

/// Side of pictures where the user says no other.
const SIZE: u16 = 128;

/// Train D2-4FAD on folders of normal pictures and save a checkpoint
///
/// Trains D2-4FAD on folders of normal pictures, one for each kind (organ, modality), none of them of the kind
/// that will be scored. Writes the trained student as a safetensors file for `score`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of normal pictures; repeat for each kind
    #[arg(long, value_name = "DIR", required = true)]
    normal: Vec<PathBuf>,
    #[command(flatten)]
    teacher: TeacherArgs,
    /// Checkpoint to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    method: MethodArgs,
    /// Overwrite a checkpoint that is there already; the same training, stopped before its end, goes on
    #[arg(long)]
    force: bool,
    /// Size of the support set that scoring will use
    #[arg(long, default_value_t = 2)]
    shots: usize,
    /// Epochs [default: 70, as published]
    #[arg(long)]
    epochs: Option<u64>,
    /// Queries per step [default: 16, as published]
    #[arg(long)]
    batch: Option<usize>,
    /// Seed; the same seed gives the same weights on the same device
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Save resumable state every MINUTES (0: every step); run the command again to resume
    #[arg(long, default_value_t = 5.0, value_name = "MINUTES")]
    keep_every: f64,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    compute: Compute,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(self.shots >= 1, "--shots must be at least 1");
        ensure!(!self.out.is_dir(), "--out {} is a folder; name a file", self.out.display());
        let every = Duration::try_from_secs_f64(60.0 * self.keep_every).context("--keep-every")?;
        let state_file = StateFile { path: folder::beside(&self.out, "unfinished.safetensors")?, every };
        // With a state beside it, a training was stopped that may overwrite it, or was done but for its last steps.
        ensure!(
            self.force || !self.out.exists() || state_file.path.exists(),
            "--out {} is there already; --force trains again and overwrites it",
            self.out.display()
        );
        let settings = self.settings()?;
        let network = Network::Backbone(settings.backbone);
        let chosen = self.teacher.choose(&Origin::Random { seed: self.seed, cache: None })?;
        chosen.check_used_by(&[network])?;
        let teachers = chosen.complete(&[network])?;
        let origin = teachers.of(network)?;
        let device = self.compute.start()?;
        let tasks: Vec<TrainTask> =
            self.normal.iter().map(|folder| self.task(folder)).collect::<Result<_>>()?;
        let origin = match origin {
            Origin::Random { .. } => self.random_teacher(&settings, origin, &tasks)?,
            Origin::File { .. } | Origin::Targets { .. } => origin.clone(),
        };
        println!("teacher: {}", origin.label(network));
        let mut features = self.out.clone().into_os_string();
        features.push(".features");
        let features = PathBuf::from(features);
        let context = Context {
            device,
            precision: self.compute.precision,
            seed: self.seed,
            shots: self.shots,
            teachers: Teachers { named: BTreeMap::new(), other: Some(origin) },
            calibration: None,
            task: TaskName::new("target"),
            label: "training".to_owned(),
            state_file: Some(state_file.clone()),
            opened: OpenTeachers::keeping(self.features.limits().keeping_in(features.clone())),
        };
        let mut log = TrainingLog::default();
        let unsaved = d24fad::train(&settings, &tasks, &context, &mut log)?;
        // The checkpoint last: where it is, all is.
        let table = folder::beside(&self.out, "training.csv")?;
        log.write(&table)?;
        unsaved.save(&self.out)?;
        state_file.remove()?;
        FeatureFolder::clear(&features)?;
        println!("written to {}; losses of {} epochs in {}", self.out.display(), log.len(), table.display());
        Ok(())
    }

    /// Writes a random network beside the checkpoint, since scoring needs the same one.
    fn random_teacher(&self, settings: &Settings, origin: &Origin, tasks: &[TrainTask]) -> Result<Origin> {
        let few = |task: &TrainTask| task.pictures.pixels.narrow(0, 0, task.pictures.len().min(16) as i64);
        let calibration = Tensor::cat(&tasks.iter().map(few).collect::<Vec<_>>(), 0);
        let (backbone, input) = (settings.backbone, settings.input());
        let teacher = Teacher::new(backbone, input, origin, Some(&calibration), tch::Device::Cpu)?;
        let path = folder::beside(&self.out, teacher::RANDOM_FILE)?;
        teacher.save(&path)?;
        println!("random teacher written to {}; its scores only show that training runs", path.display());
        Origin::file(path)
    }

    fn settings(&self) -> Result<Settings> {
        let mut table = self.method.table()?;
        if self.teacher.is_empty() && !table.contains_key("backbone") {
            table.insert("backbone".to_owned(), teacher::DEFAULT.name().into());
        }
        if let Some(epochs) = self.epochs {
            table.insert("epochs".to_owned(), (epochs as i64).into());
        }
        if let Some(batch) = self.batch {
            table.insert("batch".to_owned(), (batch as i64).into());
        }
        settings::build(&d24fad::ENTRY, &table)?;
        table.try_into().context("settings of d24fad")
    }

    /// One folder, with supports drawn for each of its pictures as in a bench.
    fn task(&self, path: &Path) -> Result<TrainTask> {
        let size = usize::from(self.method.size.unwrap_or(SIZE));
        let read = folder::references(path, &Shape::squares(size), self.seed).context("--normal")?;
        let (n, name) = (read.names.len(), path.display().to_string());
        ensure!(
            n >= 2,
            "--normal {name}: at least 2 pictures are needed, {n} found; supports come from the same folder"
        );
        println!("{n} normal pictures in {name}");
        let pair = |query: usize| {
            let mut stream = Stream::new(self.seed, &format!("pair {}", read.names[query]), 0);
            (query, (0..self.shots).map(|_| stream.other_than(query, n)).collect())
        };
        Ok(TrainTask {
            name: TaskName::new(name),
            pictures: read.pictures(),
            pairs: (0..n).map(pair).collect(),
            anomalies: None,
            pool: None,
        })
    }
}
