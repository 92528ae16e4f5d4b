//! `weights train`: a teacher fine-tuned on the tasks of a benchmark, for a task that it has not seen.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use super::compute::Compute;
use super::teacher;
use crate::cli::common::home;
use crate::episode::HeldOut;
use crate::evaluate::folder;
use crate::evaluate::training_log::TrainingLog;
use crate::ids::TaskName;
use crate::manifest::Manifest;
use crate::method::{Context, OpenTeachers, StateFile};
use crate::metric_teacher::{Balance, Material, Metric, Order, Settings, file_in};
use crate::network::origin::{Origin, Teachers};
use crate::network::published;
use crate::network::tuned::Classes;
use crate::network::{Backbone, Network};

/// What is trained for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Objective {
    /// Cross-entropy with a metric loss, then a classifier on balanced classes: after arXiv 2207.06975, whose loss is not
    /// published
    Metric,
}

/// Fine-tune pretrained weights on the tasks of a benchmark but one, and write a teacher for that one
///
/// Writes OUT/TASK.safetensors for each target, with a record of what it was trained on, and OUT/TASK.training.csv. `bench
/// --teacher OUT` then takes for each task the file that has not seen it; a target of which a file has seen pictures is
/// refused. Rows say R3 (other tasks' anomalies), or R2 with `--classes task`. A training that was stopped resumes, and
/// targets that are there already are passed over.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What is trained for
    #[arg(long, value_enum)]
    objective: Objective,
    /// Weights to begin with: a name from `weights list`, or a file
    #[arg(long, value_name = "NAME|FILE")]
    from: String,
    /// The network, where --from is a file: resnet18, resnet34, resnet50, wide_resnet50_2 or efficientnet_lite0
    #[arg(long)]
    network: Option<String>,
    /// Curated benchmark
    #[arg(long, default_value_os_t = home("manifests").join("phantom"))]
    manifest: PathBuf,
    /// Tasks to write a teacher for, each trained without it [default: all]
    #[arg(long, value_name = "TASK,...", value_delimiter = ',')]
    targets: Vec<String>,
    /// Which tasks are left out with a target: dataset (itself) or organ (all of its organ)
    #[arg(long, default_value = "dataset", value_parser = HeldOut::parse)]
    held_out: HeldOut,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What it learns to tell apart: task (normals alone), label (task, and normal or anomalous) or finding (task, and
    /// normal or the finding)
    #[arg(long, default_value = "label", value_parser = Classes::parse)]
    classes: Classes,
    /// Metric loss: batch-hard, class-centre (triplets) or contrastive (supervised, temperature 0.1)
    #[arg(long, default_value = "batch-hard", value_parser = Metric::parse)]
    metric: Metric,
    /// What the metric loss counts beside the cross-entropy
    #[arg(long, default_value_t = Settings::default().weight)]
    weight: f64,
    /// Margin of the triplets, of unit vectors
    #[arg(long, default_value_t = Settings::default().margin)]
    margin: f64,
    /// Steps of the first stage
    #[arg(long, default_value_t = Settings::default().steps)]
    steps: u64,
    /// Steps of the second stage: the classifier alone, on balanced classes
    #[arg(long, default_value_t = Settings::default().balanced_steps)]
    balanced_steps: u64,
    /// How the second stage balances classes: sampling (drawn evenly) or logits (adjusted by the numbers)
    #[arg(long, default_value = "sampling", value_parser = Balance::parse)]
    balance: Balance,
    /// Classes in a step
    #[arg(long, default_value_t = Settings::default().classes_a_step)]
    classes_a_step: usize,
    /// Pictures of each class in a step
    #[arg(long, default_value_t = Settings::default().pictures_a_class)]
    pictures_a_class: usize,
    /// Learning rate of stochastic gradient descent with momentum 0.9
    #[arg(long, default_value_t = Settings::default().learning_rate)]
    learning_rate: f64,
    /// Side of pictures in pixels [default: the benchmark's smallest]
    #[arg(long)]
    size: Option<usize>,
    /// Seed; the same seed gives the same weights on the same device
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Overwrite teachers that were trained otherwise
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    compute: Compute,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        let Objective::Metric = self.objective;
        let settings = self.settings();
        settings.check()?;
        let manifest = Manifest::read(&self.manifest)?;
        for target in &self.targets {
            manifest.task(target).context("--targets")?;
        }
        let targets: Vec<TaskName> = match self.targets.is_empty() {
            true => manifest.tasks(),
            false => self.targets.iter().map(TaskName::new).collect(),
        };
        let size = self.size.map_or_else(|| manifest.smallest_size(), Ok)?;
        let backbone = self.backbone()?;
        let network = Network::Backbone(backbone);
        let origin = self.origin()?;
        let device = self.compute.start()?;
        std::fs::create_dir_all(&self.out).with_context(|| format!("creating {}", self.out.display()))?;
        let (label, sha256) = (origin.label(network), origin.hash(network));
        let order = Order { backbone, settings: &settings, from: [&label, &sha256] };
        for (index, target) in targets.iter().enumerate() {
            let context = Context {
                device,
                precision: self.compute.precision,
                seed: self.seed,
                shots: 0,
                teachers: Teachers { named: BTreeMap::new(), other: Some(origin.clone()) },
                calibration: None,
                task: target.clone(),
                label: format!("teacher for {target} ({} of {})", index + 1, targets.len()),
                state_file: None,
                opened: OpenTeachers::default(),
            };
            let material =
                Material { manifest: &manifest, target: target.clone(), held_out: self.held_out, size };
            self.one(&order, &material, context).with_context(|| target.to_string())?;
        }
        println!("use them with: bench --teacher {}={}", backbone.name(), self.out.display());
        Ok(())
    }

    /// Trains and writes the teacher for one target, unless it is there already.
    fn one(&self, order: &Order, material: &Material, mut context: Context) -> Result<()> {
        let (target, path) = (&material.target, file_in(&self.out, &material.target));
        let state_file =
            StateFile { path: folder::beside(&path, "unfinished.safetensors")?, every: StateFile::EVERY };
        // With a state beside it, a training was stopped that may overwrite it, or was done but for its last steps.
        let is_stopped = state_file.path.exists();
        if !self.force && !is_stopped && order.is_done(material, &context, &path)? {
            println!("{target}: {} is there already", path.display());
            return Ok(());
        }
        ensure!(
            self.force || is_stopped || !path.exists(),
            "{} was trained otherwise; --force trains anew and overwrites it",
            path.display()
        );
        context.state_file = Some(state_file.clone());
        let mut log = TrainingLog::default();
        let unsaved = order.train(material, &context, &mut log)?;
        // The teacher last: where it is, all is.
        log.write(&folder::beside(&path, "training.csv")?)?;
        unsaved.save(&path)?;
        state_file.remove()?;
        let tuned = &unsaved.tuned;
        let n: usize = tuned.pictures.iter().map(|(_, n)| n).sum();
        println!(
            "{target}: {} (trained on {n} pictures in {} classes of {}{})",
            path.display(),
            tuned.pictures.len(),
            tuned.tasks.join(", "),
            recalls(&log)
        );
        Ok(())
    }

    /// The weights to begin with.
    fn origin(&self) -> Result<Origin> {
        let origin = teacher::find(&self.from).context("--from")?;
        ensure!(
            matches!(origin, Origin::File { .. }),
            "--from {}: name one file, or weights of `weights list`",
            self.from
        );
        ensure!(
            origin.tuned()?.is_none(),
            "--from {}: it was trained on tasks of a benchmark already, and what it has seen would be forgotten; begin with \
             published weights",
            self.from
        );
        Ok(origin)
    }

    fn settings(&self) -> Settings {
        Settings {
            classes: self.classes,
            metric: self.metric,
            weight: self.weight,
            margin: self.margin,
            steps: self.steps,
            balanced_steps: self.balanced_steps,
            balance: self.balance,
            classes_a_step: self.classes_a_step,
            pictures_a_class: self.pictures_a_class,
            learning_rate: self.learning_rate,
        }
    }

    /// The network that is trained.
    fn backbone(&self) -> Result<Backbone> {
        let published = published::published(&self.from).map(|published| published.network);
        let name = self.network.as_deref().or(published);
        let name = name.with_context(|| {
            format!("--from {}: say with --network which network it is, such as resnet18", self.from)
        })?;
        match Network::named(name).context("--network")? {
            Network::Backbone(backbone) => Ok(backbone),
            other => anyhow::bail!(
                "{} has no batch norms that a few pictures could tune; take a residual network or efficientnet_lite0",
                other.name()
            ),
        }
    }
}

/// How well the pictures of the training are classified after each stage, in words.
fn recalls(log: &TrainingLog) -> String {
    let recalls: Vec<String> = log.values("macro_recall").map(|value| format!("{value:.3}")).collect();
    match recalls.is_empty() {
        true => String::new(),
        false => format!("; mean recall on them after each stage {}", recalls.join(", ")),
    }
}
