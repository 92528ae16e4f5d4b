//! STFPM: student-teacher feature pyramid matching (arXiv 2103.04257, BMVC 2021).
//!
//! A student of the teacher's architecture learns to imitate it on normals; where it fails, on all three scales
//! at once, is anomalous.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Prediction};
use super::part::direction::unit;
use super::part::feature_store::{FeatureStore, Sharing};
use super::part::grid;
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Plan, Recipe, Step, StepFigures, Subject, Training};
use super::train_on::TrainOn;
use super::views;
use super::work::{self, CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::encoder::Encoder;
use crate::network::layer::Norm;
use crate::network::optimiser::{Optimiser, Rule, Sgd};
use crate::network::remembering::Remembering;
use crate::network::{Backbone, Features, Input, Network, Scales, Sight, initial};

/// STFPM: a student imitates the teacher's feature pyramid.
pub const ENTRY: Entry = Entry {
    name: "stfpm",
    about: "a student that imitates the teacher's feature pyramid",
    paper: "arXiv 2103.04257 (BMVC 2021)",
    regime: "R1 (or R5)",
    needs: "ImageNet resnet18",
    cost: "one training per support set (or task): 300 (3000) steps of 32; 2 GFLOP a query at 128 px",
    trial: "steps = 3\nbatch = 8",
    build,
    work: Some(work),
};

/// Defaults are the published ones for normals; for supports, fewer and smaller steps on 22 views of each, since
/// the published rate is too large for so few pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode, or all train normals of the target.
    pub train_on: TrainOn,
    /// Teacher and student.
    pub backbone: Backbone,
    /// Step size: 0.4 for normals, 0.1 for supports.
    pub learning_rate: f64,
    /// Momentum of the gradient descent.
    pub momentum: f64,
    /// Weight decay: 1e-4 in the paper; anomalib has 1e-3.
    pub weight_decay: f64,
    /// Training steps: 3000 for normals (published: 100 epochs), 300 for supports.
    pub steps: u64,
    /// Pictures per step, fewer if there are fewer.
    pub batch: usize,
    /// Learns from the 22 views of `views` of each picture rather than from the pictures: true for
    /// supports, false for normals.
    pub views: bool,
}

impl Settings {
    fn defaults(train_on: TrainOn) -> Settings {
        let few = train_on == TrainOn::Supports;
        Settings {
            train_on,
            backbone: Backbone::Resnet18,
            learning_rate: if few { 0.1 } else { 0.4 },
            momentum: 0.9,
            weight_decay: 1e-4,
            steps: if few { 300 } else { 3000 },
            batch: 32,
            views: few,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings = learner::settings(settings, Settings::defaults).context("settings of stfpm")?;
    ensure!(settings.steps >= 1, "stfpm: steps must be at least 1");
    ensure!(settings.batch >= 2, "stfpm: batch must be at least 2, batch norm needs it");
    ensure!(settings.learning_rate > 0.0, "stfpm: learning_rate must be positive");
    let network = Some(Network::Backbone(settings.backbone));
    learner::build(Stfpm { settings: settings.clone() }, settings.train_on, &settings, network)
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { train_on, backbone, steps, batch, views, .. } = serde_json::from_str(settings)?;
    let n = cell.learnt_from(train_on, views);
    let student = work::to_stage_three(backbone, cell.size);
    let work = Plan::of_steps(n, batch, steps).work(work::encoder(backbone, cell.size), student);
    Ok(Work { bytes: n as f64 * work::kept(backbone, cell.size), ..work }.on(train_on))
}

struct Stfpm {
    settings: Settings,
}

impl Learner for Stfpm {
    fn sees(&self) -> Option<Sight> {
        Some(Sight::Pyramid(self.settings.backbone, INPUT))
    }

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
        let teacher = context.teacher(settings.backbone, INPUT)?;
        let store = VarStore::new(context.device);
        let student = Encoder::new(&store.root(), settings.backbone);
        initial::initialise(&store, context.seed);
        let model =
            StfpmModel { teacher, store, student, backbone: settings.backbone, device: context.device };
        let pixels = if settings.views { views::augmented(&normals.pixels) } else { normals.pixels.copy() };
        let sharing = Sharing::of(settings.train_on, settings.views);
        let features = FeatureStore::new(&model.teacher, &[&pixels], context.device, sharing)?;
        let pixels = pixels.to_device(context.device);
        ensure!(features.len() >= 2, "stfpm: one picture is too few for batch norm; set `views = true`");
        let Settings { learning_rate, momentum, weight_decay, .. } = *settings;
        let plan = Plan::of_steps(features.len(), settings.batch, settings.steps);
        let recipe =
            Recipe::new(plan, Rule::Sgd(Sgd { learning_rate, momentum, weight_decay, ..Sgd::default() }));
        let network = Some(Network::Backbone(settings.backbone));
        let subject = Subject::of_pictures("stfpm", settings, network, &normals.pixels)?;
        let mut training = StfpmTraining { model: &model, pixels: &pixels, features: &features };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        drop(features);
        Ok(Box::new(model))
    }
}

/// The student learns to imitate the teacher on pictures `[n, 3, h, w]`.
struct StfpmTraining<'a> {
    model: &'a StfpmModel,
    pixels: &'a Tensor,
    features: &'a FeatureStore<'a>,
}

impl Training for StfpmTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let batch = step.indices(self.model.device);
        let pictures = self.model.prepared(&self.pixels.index_select(0, &batch));
        let student = self.model.student.scales(&pictures, Norm::Batch);
        let loss = loss(&self.features.at(&batch).scales, &student);
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::seeing(&self.model.teacher, self.model)))
    }
}

/// How pictures enter both networks.
const INPUT: Input = Input::ImageNet;

/// Half the squared distance of features scaled to length one, per position, `[b, h, w]` for each scale. It is one
/// minus cosine without its cancellation: products of three small values keep their rank.
pub fn distances(teacher: &Scales, student: &Scales) -> [Tensor; 3] {
    [0, 1, 2].map(|scale| {
        let difference = unit(&teacher[scale], 1) - unit(&student[scale], 1);
        difference.square().sum_dim_intlist(1, false, None::<Kind>) * 0.5
    })
}

/// Mean over positions and pictures, summed over scales.
fn loss(teacher: &Scales, student: &Scales) -> Tensor {
    let [first, second, third] = distances(teacher, student).map(|distance| distance.mean(None::<Kind>));
    first + second + third
}

/// Distances upsampled and multiplied over scales, `[b, side, side]`.
pub fn maps(teacher: &Scales, student: &Scales, side: i64) -> Tensor {
    let [first, second, third] =
        distances(teacher, student).map(|distance| grid::upsample(&distance, side, false));
    first * second * third
}

struct StfpmModel {
    teacher: Rc<Remembering>,
    store: VarStore,
    student: Encoder,
    backbone: Backbone,
    device: Device,
}

impl StfpmModel {
    /// Pictures of 0 to 255 as both networks want them.
    fn prepared(&self, pictures: &Tensor) -> Tensor {
        INPUT.prepare(Network::Backbone(self.backbone), pictures)
    }
}

impl Detector for StfpmModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let features: &Features = queries.made()?;
        let queries = queries.pictures();
        let maps = tch::no_grad(|| {
            let student = self.student.scales(&self.prepared(&queries.on(self.device)), Norm::Stored);
            maps(&features.scales, &student, queries.size())
        });
        Ok(Prediction::Maps(grid::to_maps(&maps)?))
    }
}
