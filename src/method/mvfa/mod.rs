//! MVFA: adapters inside CLIP that learn from anomalies to agree with texts (Huang et al., arXiv 2403.12570, CVPR 2024).
//!
//! The published code scales each of its two parts by the least and largest score of the test set; here the pictures that were
//! learnt from give the scale, so that every picture has a score of its own. It trains adapters for pixels where a data set
//! has masks. No method is given masks here, so those adapters stay as they were drawn, as they do there for data sets
//! without masks: they only pass tokens on, and maps come from the adapters for whole pictures.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::contract::{Built, Context, Entry, Fitted, Method, Observer, Output, TrainTask};
use super::geometry::{FromFiles, Geometry};
use super::part::prompts::{BuiltIn, Prompts};
use super::part::trainer::{self, Order, Plan, Recipe, Subject};
use super::part::{clip, others};
use super::work::{self, CellSize, Operations, Work};
use crate::ids::TaskName;
use crate::network::Network;
use crate::network::frozen_clip::FrozenClip;
use crate::network::optimiser::{Adam, Rule};
use crate::network::vit::Filter;
use crate::network::vit::block::Activation;
use crate::network::vit::clip::Clip;
use crate::network::vit::tokenizer::Tokenizer;
use crate::regime::Regime;
use few_normal::FewNormal;
use few_shot::FewShot;
use reader::{Reader, VIEWS};
use zero_shot::{Shown, ZeroShot, ZeroShotTraining};

mod few_normal;
mod few_shot;
/// What is minimised.
pub mod loss;
/// What trains.
pub mod model;
/// How pictures enter, and in which views.
pub mod reader;
/// Chances and distances.
pub mod scoring;
mod zero_shot;

/// `MVFA`: adapters inside CLIP that learn from anomalies.
pub const ENTRY: Entry = Entry {
    name: "mvfa",
    about: "adapters inside CLIP that learn from normals and anomalies to agree with texts, and distances of patches to the \
            supports' in the adapters",
    paper: "arXiv 2403.12570 (CVPR 2024)",
    regime: "R4 (or R1, R3)",
    needs: "OpenAI's CLIP ViT-L/14 at 336 pixels, CLIP's vocabulary",
    cost: "one training per support set: 50 epochs of 22 views a support, 0.3 TFLOP each; 191 GFLOP a query, and 6 for each \
           support",
    trial: "clip = 'clip_tiny16'\nside = 64\nepochs = 2\n\
            class_names = { first = 'disc', second = 'disc', target = 'disc' }",
    build,
    work: Some(work),
};

/// What is known of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Its supports, and as many of its anomalies (regime R4).
    FewShot,
    /// Its supports alone: distances without texts, by adapters that nothing has trained (regime R1). An ablation of ours.
    FewNormal,
    /// Nothing: chances without distances, by adapters that learn from other tasks' normals and anomalies (regime R3).
    ZeroShot,
}

/// Defaults are the published ones. The published epoch is the best one on the test set, here it is the last. The published
/// zero-shot adapters learn from the test sets of five data sets, here from train normals and anomalies of other tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is known of the target.
    pub setting: Setting,
    /// The network.
    pub clip: Clip,
    /// What its blocks compute with. As published the exact function, though OpenAI's weights were trained with
    /// `quick-gelu`: the published code forgets it at 240 pixels.
    pub activation: Activation,
    /// Pictures are stretched to squares of this side; what is left of the last patch is cut off.
    pub side: i64,
    /// `published` stretches whole files to `side` at once, with the bicubic filter, as the authors do. Only `score` has files, and
    /// takes `setting = "few-normal"`; a board takes `square`.
    pub geometry: Geometry,
    /// A file of words in the form of `benchmarks/prompts`; the published ones unless set.
    pub prompts: Option<String>,
    /// What tasks show, beside and before those that the words name.
    pub class_names: BTreeMap<String, String>,
    /// Passes over all views of supports and anomalies; in zero-shot, over other tasks' pictures.
    pub epochs: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Step size of Adam; 1e-3 unless set, in zero-shot 1e-4.
    pub learning_rate: Option<f64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            setting: Setting::FewShot,
            clip: Clip::Large14At336,
            activation: Activation::Gelu,
            side: 240,
            geometry: Geometry::Square,
            prompts: None,
            class_names: BTreeMap::new(),
            epochs: 50,
            batch: 1,
            learning_rate: None,
        }
    }
}

impl Settings {
    fn plan(&self, pictures: usize) -> Plan {
        Plan::of_observed_passes(Order::All { items: pictures, batch: self.batch }, self.epochs)
    }

    fn rate(&self) -> f64 {
        let published = if self.setting == Setting::ZeroShot { 1e-4 } else { 1e-3 };
        self.learning_rate.unwrap_or(published)
    }

    fn recipe(&self, pictures: usize) -> Recipe {
        let adam = Adam { learning_rate: self.rate(), beta1: 0.5, ..Adam::default() };
        Recipe::new(self.plan(pictures), Rule::Adam(adam))
    }

    fn regime(&self) -> Regime {
        match self.setting {
            Setting::FewShot => Regime::TargetAnomalies,
            Setting::FewNormal => Regime::Supports,
            Setting::ZeroShot => Regime::OtherAnomalies,
        }
    }
}

const WORDS: BuiltIn =
    BuiltIn { file: "mvfa.toml", text: include_str!("../../../benchmarks/prompts/mvfa.toml") };

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of mvfa")?;
    let (words, identity) = Prompts::read(settings.prompts.as_deref(), WORDS).context("settings of mvfa")?;
    ensure!(!words.templates.is_empty(), "mvfa: prompts must have templates");
    settings.prompts = identity;
    settings.learning_rate = Some(settings.rate());
    let on_references = settings.setting == Setting::FewNormal;
    settings.geometry.check_learns_from_references(on_references, "mvfa", "setting = \"few-normal\"")?;
    let patch = settings.clip.plan().patch;
    ensure!(
        settings.side >= patch,
        "mvfa: side must be at least {patch}, a patch of {}",
        settings.clip.name()
    );
    ensure!(settings.epochs >= 1, "mvfa: epochs must be at least 1");
    ensure!(settings.batch >= 1, "mvfa: batch must be at least 1");
    ensure!(settings.rate() > 0.0, "mvfa: learning_rate must be positive");
    let network = Some(Network::Clip(settings.clip));
    let method = Mvfa { settings: settings.clone(), words };
    let from_files = settings.geometry.from_files(|| FromFiles::stretched(settings.side, Filter::Bicubic));
    let built = Built::new(method, &settings, settings.regime(), network)?.giving(Output::Both);
    let built = built.reading_files(from_files);
    let extension = (settings.setting == Setting::FewNormal)
        .then_some("with a memory of normals alone, in adapters that nothing has trained");
    Ok(Built { takes_steps: settings.setting != Setting::FewNormal, extension, fits_shots: false, ..built })
}

/// A frozen block in training, forward and back: gradients by its tokens, none by its weights.
const THROUGH: f64 = 2.0;

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let plan = settings.clip.plan();
    let (tower, patches) = (plan.image, (settings.side / plan.patch).pow(2));
    let (tokens, layers) = (1 + patches, model::layers(tower.depth));
    let n_layers = layers.len() as f64;
    let stem = plan.embedding_operations(patches) + tower.operations(tokens, layers[0]);
    let blocks = tower.operations(tokens, tower.depth - layers[0]);
    let adapters = n_layers * 8.0 * (tokens * tower.width * plan.joint) as f64;
    let (whole, step) = (stem + blocks + adapters, THROUGH * blocks + work::TRAINING * adapters);
    let texts: usize = Prompts::read(None, WORDS)?.0.sentences("").iter().map(Vec::len).sum();
    let texts = texts as f64 * plan.text.operations(plan.context, plan.text.depth);
    let shots = cell.shots.max(1) as f64;
    let views = VIEWS as f64 * shots;
    let rows = views * tokens as f64 * plan.joint as f64 * n_layers;
    let against = 2.0 * patches as f64 * rows;
    let common = Work { query: whole, encode: whole, maps: true, ..Work::default() };
    Ok(match settings.setting {
        Setting::FewShot => Work {
            fit: Operations { forward: texts, training: 0.0 },
            adapt: Operations {
                forward: 2.0 * views * stem + (views + 2.0 * shots) * (blocks + adapters),
                training: settings.plan(2 * VIEWS * cell.shots.max(1)).n_entering() * step,
            },
            query: whole + against,
            encode: stem,
            bytes: 4.0 * (rows + 2.0 * views * (tokens * tower.width) as f64),
            ..common
        },
        Setting::FewNormal => Work {
            adapt: Operations { forward: views * whole, training: 0.0 },
            query: whole + against,
            bytes: 4.0 * rows,
            ..common
        },
        // How many anomalies other tasks have is not known here.
        Setting::ZeroShot => {
            let entering = settings.plan(cell.n_train.max(1)).n_entering();
            let fit = Operations { forward: texts + entering * stem, training: entering * step };
            Work { fit, evaluations: settings.epochs, ..common }
        }
    })
}

struct Mvfa {
    settings: Settings,
    words: Prompts,
}

impl Mvfa {
    /// A normal and an anomalous text of what a task shows, of length 1, `[2, joint]`.
    fn texts(&self, network: &FrozenClip, tokenizer: &Tokenizer, task: &TaskName) -> Result<Tensor> {
        clip::texts_of(network, tokenizer, &self.words, &self.settings.class_names, task)
    }

    /// A model whose adapters are fresh, and what they are to learn from.
    fn untrained<'a>(
        &self,
        reader: Reader,
        tasks: &'a [TrainTask],
        context: &Context,
    ) -> Result<(ZeroShot, Shown<'a>)> {
        let anomalies = others::anomalies(tasks, "mvfa with setting = \"zero-shot\"")?;
        let tokenizer = self.settings.clip.tokenizer().context("mvfa")?;
        let texts = |task: &TaskName| self.texts(&reader.network, &tokenizer, task);
        let of_tasks = tasks.iter().map(|task| texts(&task.name)).collect::<Result<_>>()?;
        let shown = Shown::new(tasks, anomalies, of_tasks);
        let texts = texts(&context.task)?.unsqueeze(0);
        let adapters = reader.fresh_adapters(context.seed);
        Ok((ZeroShot { reader, adapters, texts }, shown))
    }

    fn zero_shot(
        &self,
        reader: Reader,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<ZeroShot> {
        let settings = &self.settings;
        let (model, shown) = self.untrained(reader, tasks, context)?;
        let subject = Subject::of_tasks("mvfa", settings, Some(Network::Clip(settings.clip)), tasks)?;
        let recipe = settings.recipe(shown.len());
        let mut training = ZeroShotTraining { model: &model, shown };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        Ok(model)
    }
}

impl Method for Mvfa {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        let settings = &self.settings;
        let reader = Reader::new(settings, context)?;
        Ok(match settings.setting {
            Setting::FewShot => {
                let tokenizer = settings.clip.tokenizer().context("mvfa")?;
                let texts = self.texts(&reader.network, &tokenizer, &context.task).context("mvfa")?;
                let (texts, settings, context) = (texts.unsqueeze(0), settings.clone(), context.clone());
                Box::new(FewShot { reader, texts, settings, context })
            }
            Setting::FewNormal => {
                let adapters = reader.fresh_adapters(context.seed);
                Box::new(FewNormal { reader, adapters })
            }
            Setting::ZeroShot => Box::new(self.zero_shot(reader, tasks, context, observer)?),
        })
    }
}
