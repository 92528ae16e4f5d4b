//! Deep perceptual auto-encoder (Shvetsova et al., arXiv 2006.13265, IEEE Access 2021): an auto-encoder that
//! reconstructs what a pretrained network, VGG19 as published, sees in a picture rather than its pixels.
//!
//! The relative perceptual loss is both what is minimised and the score. Whole pictures are resized to `input`; the
//! authors cut 64-pixel crops of slides and resize X-rays. They tune sizes with a few anomalies; nothing is tuned here.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Order, Plan, Recipe, Schedule, Step, StepFigures, Subject, Training};
use super::part::{grid, picture};
use super::train_on::TrainOn;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::growing_autoencoder::{CODE_SIDE, GrowingAutoEncoder, Shape, doubled, halved};
use crate::network::initial;
use crate::network::optimiser::{Adam, Optimiser, Rule};
use crate::random::Stream;

/// What is minimised, and the score.
mod measure;
/// Whose features are compared.
mod perceptual_network;

pub use measure::{Measure, Statistics, relative};
pub use perceptual_network::{Perception, PerceptualNetwork};

/// Epochs after which training is observed, at least.
const EPOCHS: u64 = 5;

/// Coarsest level that growing begins with: twice the code's side.
const FIRST_LEVEL: usize = 1;

/// Deep perceptual auto-encoder: the relative perceptual loss of the reconstruction is anomalous.
pub const ENTRY: Entry = Entry {
    name: "dpa",
    about: "auto-encoder that reconstructs VGG19 features; relative perceptual loss",
    paper: "arXiv 2006.13265 (IEEE Access 2021)",
    regime: "R5 (or R1)",
    needs: "ImageNet vgg19 (as an extension, efficientnet_lite0)",
    cost: "one training per task: 34,666 steps of 128 pictures, 7 GFLOP each; 5 GFLOP a query",
    trial: "input = 16\nsteps = 2\nbatch = 4",
    build,
    work: Some(work),
};

/// Defaults are the published ones for histopathology.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target it learns from.
    pub train_on: TrainOn,
    /// Under `train_on = "supports"`: learn from 22 views of each support.
    pub views: bool,
    /// Whose features are compared: `vgg19` as published, or as an extension `efficientnet_lite0`.
    pub network: PerceptualNetwork,
    /// Side that pictures are resized to: 16, 32, 64 or 128; maps are upsampled back. From 64 on, the loss looks at
    /// block 4 of VGG19 (stage 2 of EfficientNet-Lite0), below it at block 3 (stage 1).
    pub input: i64,
    /// Filters of every level; 4 for histopathology, 32 and more for others.
    pub width: i64,
    /// Channels of the code of 8 x 8.
    pub latent: i64,
    /// Where mean and variance of each feature channel come from: `normals` or `none`. Neither is what the authors
    /// do, who take them from ImageNet; `none` leaves features as they are.
    pub statistics: Statistics,
    /// Begin with pictures of 16 pixels and double them up to `input`.
    pub progressive: bool,
    /// Mirror half of the pictures, drawn each step.
    pub flip: bool,
    /// Step size of the optimiser.
    pub learning_rate: f64,
    /// Steps at the size of `input`; the authors take 8,666 after growing.
    pub steps: u64,
    /// If it grows: steps of every stage before, at each smaller size and for fading in each larger one.
    pub stage_steps: u64,
    /// Pictures a step.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Normals,
            views: true,
            network: PerceptualNetwork::Vgg19,
            input: 64,
            width: 4,
            latent: 4,
            statistics: Statistics::None,
            progressive: false,
            flip: true,
            learning_rate: 1e-3,
            steps: 34_666,
            stage_steps: 20_000,
            batch: 128,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of dpa")?;
    let sizes = [16, 32, 64, 128];
    ensure!(sizes.contains(&settings.input), "dpa: input must be one of {sizes:?}, it is {}", settings.input);
    ensure!(settings.width >= 1 && settings.latent >= 1, "dpa: width and latent must be at least 1");
    ensure!(settings.learning_rate > 0.0, "dpa: learning_rate must be positive");
    ensure!(
        settings.steps >= 1 && settings.stage_steps >= 1,
        "dpa: steps and stage_steps must be at least 1"
    );
    ensure!(settings.batch >= 1, "dpa: batch must be at least 1");
    let perceptual = Perceptual { settings: settings.clone() };
    let built = learner::build(perceptual, settings.train_on, &settings, Some(settings.network.network()))?;
    Ok(Built { extension: settings.network.extension(), output: Output::Both, ..built })
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views && settings.train_on == TrainOn::Supports);
    let stages = settings.stages();
    let plans = settings.plans(n);
    let forward = |level: usize| {
        let side = CODE_SIDE << level;
        (settings.shape().operations(level), settings.network.operations(Measure::layer(side), side))
    };
    // The network sees the picture, forward, and what is made of it, forward and back to the pixels.
    let training = |(stage, plan): (&Stage, &Plan)| {
        let (coder, perception) = forward(stage.level);
        plan.n_entering() * work::TRAINING * (coder + perception)
    };
    let (coder, perception) = forward(settings.levels());
    Ok(Work {
        fit: Operations { forward: 0.0, training: stages.iter().zip(&plans).map(training).sum() },
        query: coder + 2.0 * perception,
        evaluations: plans.iter().map(|plan| plan.epochs).sum(),
        maps: true,
        ..Work::default()
    }
    .on(settings.train_on))
}

struct Perceptual {
    settings: Settings,
}

/// Pictures of one level, or of one that is being faded in.
#[derive(Clone, Copy)]
struct Stage {
    level: usize,
    fades: bool,
    steps: u64,
}

impl Settings {
    /// Doublings from the code to `input`.
    fn levels(&self) -> usize {
        (self.input / CODE_SIDE).ilog2() as usize
    }

    fn stages(&self) -> Vec<Stage> {
        let last = self.levels();
        let stable = Stage { level: last, fades: false, steps: self.steps };
        if !self.progressive {
            return vec![stable];
        }
        let mut stages = Vec::new();
        for level in FIRST_LEVEL..=last {
            if level > FIRST_LEVEL {
                stages.push(Stage { level, fades: true, steps: self.stage_steps });
            }
            if level < last {
                stages.push(Stage { level, fades: false, steps: self.stage_steps });
            }
        }
        stages.push(stable);
        stages
    }
}

impl Settings {
    fn shape(&self) -> Shape {
        Shape {
            channels: 3,
            levels: self.levels(),
            width: self.width,
            latent: self.latent,
            grows: self.progressive,
        }
    }

    /// Of all stages; epochs are shared out by their steps.
    fn plans(&self, items: usize) -> Vec<Plan> {
        let stages = self.stages();
        let total: u64 = stages.iter().map(|stage| stage.steps).sum();
        let plan = |Stage { steps, .. }: Stage| {
            let order = Order::All { items, batch: self.batch };
            Plan { order, steps, epochs: (EPOCHS * steps).div_ceil(total).min(steps) }
        };
        stages.into_iter().map(plan).collect()
    }
}

impl Learner for Perceptual {
    fn takes_steps(&self) -> bool {
        true
    }

    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>> {
        let settings = &self.settings;
        let pictures = picture::learnt_from(normals, settings.train_on, settings.views);
        let inputs = picture::resized(&pictures.to_device(context.device), 3, settings.input) * 2.0 - 1.0;
        let model = DpaModel::new(settings, context, &inputs)?;
        let adam = Adam { learning_rate: settings.learning_rate, ..Adam::default() };
        let plans = settings.plans(inputs.size()[0] as usize);
        let recipe = Recipe { plans, rule: Rule::Adam(adam), schedule: Schedule::Constant, clip: None };
        let network = Some(settings.network.network());
        let subject = Subject::of_pictures("dpa", settings, network, &normals.pixels)?;
        let mut training =
            DpaTraining { model: &model, settings, seed: context.seed, finest: inputs, at_size: None };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        Ok(Box::new(model))
    }
}

/// The auto-encoder learns to give back `finest`, `[n, 3, side, side]` of -1 to 1, as the network sees it.
struct DpaTraining<'a> {
    model: &'a DpaModel,
    settings: &'a Settings,
    seed: u64,
    finest: Tensor,
    /// Of the present stage, whose place comes first.
    at_size: Option<(usize, StageInputs)>,
}

/// What a stage learns from, at its size.
struct StageInputs {
    stage: Stage,
    inputs: Tensor,
    measure: Measure,
    /// Of half the size, while fading.
    coarser: Option<Measure>,
}

impl DpaTraining<'_> {
    fn at_size(&self, stage: Stage) -> StageInputs {
        let DpaTraining { model, settings, .. } = self;
        let inputs = (stage.level..settings.levels()).fold(self.finest.shallow_clone(), |x, _| halved(&x));
        let measure = Measure::new(&*model.perception, &inputs, settings.statistics);
        let coarser =
            stage.fades.then(|| Measure::new(&*model.perception, &halved(&inputs), settings.statistics));
        StageInputs { stage, inputs, measure, coarser }
    }

    fn loss(&self, step: &Step, at_size: &StageInputs) -> Tensor {
        let StageInputs { stage, inputs, measure, coarser } = at_size;
        let perception = &*self.model.perception;
        let fade = if stage.fades { (step.in_stage + 1) as f64 / stage.steps as f64 } else { 1.0 };
        let mut x = inputs.index_select(0, &step.indices(inputs.device()));
        if self.settings.flip {
            x = self.flipped(&x, step.number);
        }
        if fade < 1.0 {
            x = &x * fade + doubled(&halved(&x)) * (1.0 - fade);
        }
        let y = self.model.network.forward(&x, stage.level, fade);
        let loss = measure.distance(perception, &x, &y).mean(None::<Kind>);
        match coarser.as_ref().filter(|_| fade < 1.0) {
            Some(coarser) => {
                let coarse = coarser.distance(perception, &halved(&x), &halved(&y)).mean(None::<Kind>);
                loss * fade + coarse * (1.0 - fade)
            }
            None => loss,
        }
    }

    /// Half of the pictures mirrored.
    fn flipped(&self, pictures: &Tensor, step: u64) -> Tensor {
        let mut stream = Stream::new(self.seed, "mirroring", step);
        let n = pictures.size()[0];
        let flips: Vec<bool> = (0..n).map(|_| stream.below(2) == 1).collect();
        let flips = Tensor::from_slice(&flips).view([n, 1, 1, 1]).to_device(pictures.device());
        pictures.flip([3]).where_self(&flips, pictures)
    }
}

impl Training for DpaTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let at_size = match self.at_size.take() {
            Some((place, at_size)) if place == step.stage => at_size,
            _ => self.at_size(self.settings.stages()[step.stage]),
        };
        let loss = self.loss(step, &at_size);
        self.at_size = Some((step.stage, at_size));
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::new(self.model)))
    }
}

/// A trained auto-encoder.
struct DpaModel {
    store: VarStore,
    network: GrowingAutoEncoder,
    perception: Box<dyn Perception>,
    measure: Measure,
    input: i64,
    level: usize,
}

impl DpaModel {
    fn new(settings: &Settings, context: &Context, inputs: &Tensor) -> Result<DpaModel> {
        let perception = settings.network.open(context)?;
        let store = VarStore::new(context.device);
        let level = settings.levels();
        let network = GrowingAutoEncoder::new(&store.root(), settings.shape());
        initial::initialise_leaky(&store, context.seed);
        let measure = Measure::new(&*perception, inputs, settings.statistics);
        Ok(DpaModel { store, network, perception, measure, input: settings.input, level })
    }
}

impl Detector for DpaModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        tch::no_grad(|| {
            let x = picture::resized(&queries.on(self.store.device()), 3, self.input) * 2.0 - 1.0;
            let map =
                self.measure.relative(&*self.perception, &x, &self.network.forward(&x, self.level, 1.0));
            let scores = grid::to_scores(&map.mean_dim([1i64, 2].as_slice(), false, None::<Kind>))?;
            Ok(Prediction::Both(grid::to_maps(&grid::upsample(&map, queries.size(), false))?, scores))
        })
    }
}
