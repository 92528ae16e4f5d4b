//! A teacher fine-tuned on source tasks by metric learning: after arXiv 2207.06975, whose loss is not published.
//!
//! What the abstract says is kept: two stages, metric learning added to the first, classes balanced in the second. Losses,
//! weights and schedules are ours, so no number here is the paper's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};
use tch::Tensor;
use tch::nn::VarStore;

pub use loss::Metric;

use training::{INPUT, Learning, Shown};

use crate::episode::HeldOut;
use crate::episode::batch::Pictures;
use crate::files;
use crate::ids::TaskName;
use crate::manifest::{Label, Manifest, Row, Split};
use crate::method::part::trainer::{self, Plan, Recipe, Subject};
use crate::method::{Context, Observer};
use crate::network::optimiser::{Rule, Sgd};
use crate::network::tuned::{Classes, Tuned};
use crate::network::{Backbone, Network, weights};
use crate::words::word;

pub mod loss;
mod training;

/// How the second stage balances classes.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Balance {
    /// Classes are drawn evenly.
    #[default]
    Sampling,
    /// Classes are drawn by their numbers, and logits adjusted by these.
    Logits,
}

word!(Balance, "balance");

/// How a teacher is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What it learns to tell apart.
    pub classes: Classes,
    /// What is added to the cross-entropy.
    pub metric: Metric,
    /// What it counts.
    pub weight: f64,
    /// Of triplets of unit vectors.
    pub margin: f64,
    /// Steps of the first stage.
    pub steps: u64,
    /// Steps of the second stage, in which the encoder stays as it is.
    pub balanced_steps: u64,
    /// How that balances classes.
    pub balance: Balance,
    /// Classes in a step, at most.
    pub classes_a_step: usize,
    /// Pictures of each of them.
    pub pictures_a_class: usize,
    /// Of stochastic gradient descent with momentum 0.9 and weight decay 1e-4.
    pub learning_rate: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            classes: Classes::Label,
            metric: Metric::BatchHard,
            weight: 0.5,
            margin: 0.3,
            steps: 500,
            balanced_steps: 100,
            balance: Balance::Sampling,
            classes_a_step: 8,
            pictures_a_class: 4,
            learning_rate: 0.01,
        }
    }
}

impl Settings {
    /// # Errors
    /// A setting out of its range.
    pub fn check(&self) -> Result<()> {
        ensure!(self.steps >= 1, "steps must be at least 1");
        ensure!(self.classes_a_step >= 2, "classes in a step must be at least 2");
        ensure!(
            self.pictures_a_class >= 2,
            "pictures of a class must be at least 2: one alone has none to be near to"
        );
        ensure!(self.weight >= 0.0 && self.margin >= 0.0, "weight and margin must not be negative");
        ensure!(self.learning_rate > 0.0, "the learning rate must be positive");
        Ok(())
    }

    fn recipe(&self, n: usize) -> Recipe {
        let Settings { steps, balanced_steps, learning_rate, .. } = *self;
        let plan = |steps| Plan::of_steps(n, self.classes_a_step * self.pictures_a_class, steps);
        let plans = [steps, balanced_steps].into_iter().filter(|&steps| steps > 0).map(plan).collect();
        let rule = Rule::Sgd(Sgd { learning_rate, momentum: 0.9, weight_decay: 1e-4, ..Sgd::default() });
        Recipe { plans, ..Recipe::new(plan(steps), rule) }
    }
}

/// What a teacher is trained on.
pub struct Material<'a> {
    /// The curated benchmark.
    pub manifest: &'a Manifest,
    /// The task that it is left out of.
    pub target: TaskName,
    /// Which others are left out with it.
    pub held_out: HeldOut,
    /// Side of the pictures.
    pub size: usize,
}

/// A teacher to be trained.
pub struct Order<'a> {
    /// The network.
    pub backbone: Backbone,
    /// How it is trained.
    pub settings: &'a Settings,
    /// The weights that it begins with, in words, and their SHA-256.
    pub from: [&'a str; 2],
}

impl Material<'_> {
    /// Train normals of the tasks that may train for the target and, where classes are of labels, all their anomalies; no
    /// picture that is of the target, too. Classes of one picture are left out.
    fn rows(&self, classes: Classes) -> Result<BTreeMap<String, Vec<&Row>>> {
        let tasks = self.held_out.training_tasks(self.manifest, &self.target);
        ensure!(
            !tasks.is_empty(),
            "no task may train for `{}` under the rule `{}`: the benchmark needs another task",
            self.target,
            self.held_out
        );
        let is_learnt = |row: &&Row| match row.label {
            Label::Normal => row.split == Split::Train,
            Label::Anomalous => classes != Classes::Task,
            Label::Unopened => false,
        };
        let rows = self.manifest.rows.iter().filter(|row| tasks.contains(&row.task)).filter(is_learnt);
        let mut named: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in self.manifest.without_pictures_of(&self.target, rows) {
            named.entry(classes.of(row)).or_default().push(row);
        }
        named.retain(|_, rows| rows.len() > 1);
        ensure!(
            named.len() > 1,
            "there is {} to tell apart without `{}`: a teacher needs two classes; choose others with --classes",
            named.keys().next().map_or("nothing".to_owned(), |name| format!("`{name}` alone")),
            self.target
        );
        Ok(named)
    }

    fn shown(&self, named: &BTreeMap<String, Vec<&Row>>) -> Result<Shown> {
        let (mut parts, mut places, mut classes, mut n) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (class, rows) in named.values().enumerate() {
            // All pictures of a class are of one task.
            let store = self.manifest.task(&rows[0].task)?.store(self.size)?;
            parts.push(Pictures::load(&store, rows)?.pixels);
            places.push((n..n + rows.len() as i64).collect());
            classes.extend(std::iter::repeat_n(class as i64, rows.len()));
            n += rows.len() as i64;
        }
        Ok(Shown { pixels: Tensor::cat(&parts, 0), places, classes: Tensor::from_slice(&classes) })
    }
}

/// A trained encoder that no file holds yet.
pub struct Unsaved {
    /// What it has seen.
    pub tuned: Tuned,
    encoder: VarStore,
}

impl Unsaved {
    /// Writes the encoder with what it has seen.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let plain = |(name, tensor): (String, Tensor)| {
            (name.strip_prefix("encoder.").map(str::to_owned).unwrap_or(name), tensor)
        };
        let tensors = self.encoder.variables().into_iter().map(plain);
        weights::write(tensors.collect(), Some(self.tuned.metadata()?), path)
    }
}

impl Order<'_> {
    /// What names the training but for its target.
    fn recipe(&self, material: &Material, context: &Context) -> Result<String> {
        let parts = [
            crate::CODE_HASH,
            self.backbone.name(),
            &serde_json::to_string(self.settings)?,
            self.from[1],
            &material.manifest.header.canonical_hash,
            material.held_out.name(),
            &format!("{} {} {}", material.size, context.seed, context.precision.name()),
            if context.device.is_cuda() { "cuda" } else { "cpu" },
        ];
        Ok(files::fingerprint(parts.join("\n").as_bytes()))
    }

    /// Whether `path` holds what this order would give: training it again would give the same.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn is_done(&self, material: &Material, context: &Context, path: &Path) -> Result<bool> {
        if !path.exists() {
            return Ok(false);
        }
        let recipe = self.recipe(material, context)?;
        Ok(Tuned::of(path)?.is_some_and(|tuned| tuned.target == material.target && tuned.recipe == recipe))
    }

    /// Trains. A training that was stopped resumes from the context's state.
    ///
    /// # Errors
    /// A benchmark without other tasks or classes, weights that do not fit, a loss that is not finite.
    pub fn train(
        &self,
        material: &Material,
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Unsaved> {
        let named = material.rows(self.settings.classes)?;
        let shown = material.shown(&named)?;
        let mut learning = Learning::new(self.backbone, &shown, self.settings, context.seed, context.device);
        context.teacher(self.backbone, INPUT)?.copy_to(&learning.encoder_store, "encoder");
        let numbers: Vec<(&String, usize)> = named.iter().map(|(name, rows)| (name, rows.len())).collect();
        let network = Some(Network::Backbone(self.backbone));
        let subject =
            Subject::of_pictures("metric teacher", &(self.settings, numbers), network, &shown.pixels)?;
        let recipe = self.settings.recipe(shown.classes.size()[0] as usize);
        trainer::train(&mut learning, &recipe, &subject, context, observer)?;
        let tuned = self.record(material, context, &named)?;
        Ok(Unsaved { tuned, encoder: learning.encoder_store })
    }

    fn record(
        &self,
        material: &Material,
        context: &Context,
        named: &BTreeMap<String, Vec<&Row>>,
    ) -> Result<Tuned> {
        let rows = || named.values().flatten();
        let mut tasks: Vec<TaskName> = rows().map(|row| row.task.clone()).collect();
        tasks.dedup();
        Ok(Tuned {
            what: "metric-learned teacher, after arXiv 2207.06975, whose loss is not published".to_owned(),
            target: material.target.clone(),
            held_out: material.held_out,
            tasks,
            classes: self.settings.classes,
            pictures: named.iter().map(|(name, rows)| (name.clone(), rows.len())).collect(),
            from: self.from[0].to_owned(),
            from_sha256: self.from[1].to_owned(),
            settings: serde_json::to_string(self.settings)?,
            recipe: self.recipe(material, context)?,
            manifest_hash: material.manifest.header.canonical_hash.clone(),
            program: format!("medfsad {} {}", crate::VERSION, crate::GIT_REVISION),
            image_ids: rows().map(|row| row.image_id.clone()).collect(),
            pixel_hashes: rows().map(|row| row.pixel_hash.clone()).collect(),
        })
    }
}

/// The file for a target in a folder of teachers.
pub fn file_in(folder: &Path, target: &str) -> PathBuf {
    folder.join(format!("{target}.safetensors"))
}
