//! InCTRL: residuals of a query against a few normals, judged by heads that learnt from other tasks (Zhu and Pang, arXiv
//! 2403.06495, CVPR 2024).

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::contract::{
    Built, Context, Detector, Encoded, Entry, Fitted, Method, Observer, Output, Prediction, TrainTask,
};
use super::part::prompts::{BuiltIn, Prompts as Words};
use super::part::trainer::{self, Order, Plan, Recipe, Subject};
use super::part::{clip, grid, others};
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::ids::TaskName;
use crate::network::Network;
use crate::network::frozen_clip::FrozenClip;
use crate::network::layer::Norm;
use crate::network::optimiser::{Adam, Decay, Rule};
use crate::network::precision::Precision;
use crate::network::vit::clip::Clip;
use crate::network::vit::tokenizer::Tokenizer;
use crate::regime::Regime;
use model::{Heads, Prompts, Seen, layers};
use training::{InctrlTraining, Source};

/// What is seen, and the heads.
pub mod model;
/// Batches and steps.
mod training;

/// `InCTRL`: residuals against normals, judged by heads that learnt from other tasks' anomalies.
pub const ENTRY: Entry = Entry {
    name: "inctrl",
    about: "residuals of patches and of the whole picture against the supports, and texts, judged by heads that learnt from \
            other tasks' normals and anomalies",
    paper: "arXiv 2403.06495 (CVPR 2024)",
    regime: "R3",
    needs: "open_clip ViT-B/16-plus-240 of LAION-400M, CLIP's vocabulary",
    cost: "one training per task and shots: 1,000 steps of 16 pictures with K normals each; 55 GFLOP a query",
    trial: "clip = 'clip_tiny16'\nepochs = 2\nsteps = 2\nbatch = 4\n\
            class_names = { first = 'disc', second = 'disc', target = 'disc' }",
    build,
    work: Some(work),
};

/// Defaults are the published ones, but for what is learnt from, which was MVTec AD there and is the benchmark's other tasks
/// here, and for the mixing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The network, whose own picture size is used; published with the weights after 32 epochs.
    pub clip: Clip,
    /// A file of words in the form of `benchmarks/prompts`; the published ones unless set.
    pub prompts: Option<String>,
    /// What tasks show, beside and before those that the words name.
    pub class_names: BTreeMap<String, String>,
    /// Mixes patches of a training batch up among pictures and blocks, as the published code does by a missing permutation.
    /// Scores are never mixed.
    pub mixes: bool,
    /// Times that the training is looked at.
    pub epochs: u64,
    /// Steps of an epoch.
    pub steps: u64,
    /// Pictures a step, half of them anomalies.
    pub batch: usize,
    /// Step size of AdamW.
    pub learning_rate: f64,
    /// Decay of AdamW.
    pub weight_decay: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            clip: Clip::Base16PlusAt240,
            prompts: None,
            class_names: BTreeMap::new(),
            mixes: false,
            epochs: 10,
            steps: 100,
            batch: 16,
            learning_rate: 1e-3,
            weight_decay: 0.01,
        }
    }
}

impl Settings {
    fn plan(&self) -> Plan {
        // Pictures are drawn by each step itself.
        let order = Order::Whole { items: self.batch, batch: self.batch };
        Plan { order, steps: self.epochs * self.steps, epochs: self.epochs }
    }

    fn recipe(&self) -> Recipe {
        let decay = Decay::Decoupled(self.weight_decay);
        let adam = Adam { learning_rate: self.learning_rate, decay, ..Adam::default() };
        Recipe::new(self.plan(), Rule::Adam(adam))
    }
}

const WORDS: BuiltIn =
    BuiltIn { file: "inctrl.toml", text: include_str!("../../../benchmarks/prompts/inctrl.toml") };

fn build(settings: toml::Table) -> Result<Built> {
    let mut settings: Settings = settings.try_into().context("settings of inctrl")?;
    let (words, identity) = Words::read(settings.prompts.as_deref(), WORDS).context("settings of inctrl")?;
    ensure!(!words.templates.is_empty(), "inctrl: prompts must have templates");
    settings.prompts = identity;
    ensure!(settings.epochs >= 1 && settings.steps >= 1, "inctrl: epochs and steps must be at least 1");
    ensure!(
        settings.batch >= 2 && settings.batch.is_multiple_of(2),
        "inctrl: batch must be even, half of it are anomalies"
    );
    ensure!(settings.learning_rate > 0.0, "inctrl: learning_rate must be positive");
    ensure!(settings.weight_decay >= 0.0, "inctrl: weight_decay must not be negative");
    let network = Some(Network::Clip(settings.clip));
    let method = Inctrl { settings: settings.clone(), words };
    Ok(Built::new(method, &settings, Regime::OtherAnomalies, network)?.giving(Output::Scores))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let plan = settings.clip.plan();
    let patches = plan.table * plan.table;
    let tower = plan.embedding_operations(patches) + plan.image.operations(1 + patches, plan.image.depth);
    let shots = cell.shots.max(1) as f64;
    let against =
        2.0 * layers(plan.image.depth).len() as f64 * shots * (patches * patches * plan.image.width) as f64;
    let heads = 4.0 * (plan.joint * plan.joint / 2 + 128 * (plan.joint + patches)) as f64;
    let entering = settings.plan().n_entering();
    let texts: usize = Words::read(None, WORDS)?.0.sentences("").iter().map(Vec::len).sum();
    Ok(Work {
        fit: Operations {
            forward: entering * ((1.0 + shots) * tower + against)
                + texts as f64 * plan.text.operations(plan.context, plan.text.depth),
            training: entering * work::TRAINING * heads,
        },
        adapt: Operations { forward: shots * tower, training: 0.0 },
        query: tower + against + heads,
        encode: tower,
        evaluations: settings.epochs,
        ..Work::default()
    })
}

struct Inctrl {
    settings: Settings,
    words: Words,
}

impl Inctrl {
    /// A normal and an anomalous text of what a task shows, of length 1, `[2, joint]`.
    fn texts(&self, network: &FrozenClip, tokenizer: &Tokenizer, task: &TaskName) -> Result<Tensor> {
        clip::texts_of(network, tokenizer, &self.words, &self.settings.class_names, task)
    }
}

impl Method for Inctrl {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        let settings = &self.settings;
        let anomalies = others::anomalies(tasks, "inctrl")?;
        let tokenizer = settings.clip.tokenizer().context("inctrl")?;
        let network = clip::open(settings.clip, context)?;
        let texts = self.texts(&network, &tokenizer, &context.task).context("inctrl")?.unsqueeze(0);
        let mut sources = Vec::new();
        for (task, anomalies) in tasks.iter().zip(anomalies) {
            let texts = self.texts(&network, &tokenizer, &task.name).context("inctrl")?;
            sources.push(Source { normals: &task.pictures, anomalies, texts });
        }
        let heads = Heads::new(network.plan(), context.seed, context.device);
        let model = InctrlModel { network, heads, texts, clip: settings.clip, precision: context.precision };
        let subject = Subject::of_tasks("inctrl", settings, Some(Network::Clip(settings.clip)), tasks)?;
        let (batch, shots, seed, mixes) = (settings.batch, context.shots, context.seed, settings.mixes);
        let mut training = InctrlTraining { model: &model, tasks: sources, batch, shots, seed, mixes };
        trainer::train(&mut training, &settings.recipe(), &subject, context, observer)?;
        Ok(Box::new(model))
    }
}

/// The network, the heads, and what texts of the target are to it.
struct InctrlModel {
    network: Rc<FrozenClip>,
    heads: Heads,
    /// `[1, 2, joint]`.
    texts: Tensor,
    clip: Clip,
    precision: Precision,
}

impl InctrlModel {
    /// Of pictures `[n, 3, h, w]` of 0 to 255.
    fn seen(&self, pictures: &Tensor) -> Seen {
        let plan = self.network.plan();
        let prepared = clip::prepared(self.clip, pictures, plan.side(), self.network.device());
        let depth = plan.image.depth;
        Seen::new(&self.network.towers.image, &prepared, &layers(depth), depth, self.precision)
    }
}

impl Fitted for InctrlModel {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(Encoded::new(queries, Box::new(self.seen(&queries.pixels))))
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "inctrl needs at least one support");
        let prompts = Prompts::shared(&self.seen(&supports.pixels));
        Ok(Box::new(InctrlDetector { model: self, prompts }))
    }
}

struct InctrlDetector<'a> {
    model: &'a InctrlModel,
    prompts: Prompts,
}

impl Detector for InctrlDetector<'_> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let InctrlModel { heads, texts, .. } = self.model;
        let seen: &Seen = queries.made()?;
        let scores = tch::no_grad(|| heads.parts(seen, &self.prompts, texts, Norm::Stored).score);
        Ok(Prediction::Scores(grid::to_scores(&scores)?))
    }
}
