//! RD4AD: anomaly detection by reverse distillation from a one-class embedding (arXiv 2201.10703, CVPR 2022).
//!
//! A frozen teacher sees the picture; a bottleneck fuses and squeezes its features; a mirrored decoder rebuilds
//! them. What it cannot rebuild is anomalous. The teacher runs once per picture.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Prediction};
use super::part::feature_store::{FeatureStore, Sharing};
use super::part::grid;
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Plan, Recipe, Step, StepFigures, Subject, Training};
use super::train_on::TrainOn;
use super::views;
use super::work::{self, CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::bottleneck::Bottleneck;
use crate::network::decoder::Decoder;
use crate::network::layer::Norm;
use crate::network::layout;
use crate::network::optimiser::{Adam, Optimiser, Rule};
use crate::network::remembering::Remembering;
use crate::network::{Backbone, Features, Input, Network, Scales, Sight, initial};

/// RD4AD: reverse distillation through a one-class bottleneck.
pub const ENTRY: Entry = Entry {
    name: "rd4ad",
    about: "reverse distillation through a one-class bottleneck",
    paper: "arXiv 2201.10703 (CVPR 2022)",
    regime: "R1 (or R5)",
    needs: "ImageNet wide_resnet50_2 (as an extension, efficientnet_lite0)",
    cost: "one training per support set (or task): 300 (3000) steps of 16; 17 GFLOP a query at 128 px",
    trial: "backbone = 'resnet18'\nsteps = 3\nviews = true",
    build,
    work: Some(work),
};

/// Pictures that a batch norm needs at least.
const FEWEST: usize = 4;

/// Defaults are the published ones for normals; for supports, fewer and smaller steps on 22 views of each, since
/// the published rate diverges there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode, or all train normals of the target.
    pub train_on: TrainOn,
    /// Teacher, bottleneck and mirrored student. For efficientnet_lite0, the latter two have blocks of the published form
    /// with that network's channels, which is an extension of ours.
    pub backbone: Backbone,
    /// Step size: 0.005 for normals, 0.001 for supports.
    pub learning_rate: f64,
    /// Training steps: 3000 for normals (published: 200 epochs of a few hundred pictures), 300 for supports.
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
            backbone: Backbone::WideResnet50x2,
            learning_rate: if few { 1e-3 } else { 5e-3 },
            steps: if few { 300 } else { 3000 },
            batch: 16,
            views: few,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings = learner::settings(settings, Settings::defaults).context("settings of rd4ad")?;
    ensure!(settings.steps >= 1, "rd4ad: steps must be at least 1");
    ensure!(settings.batch >= FEWEST, "rd4ad: batch must be at least {FEWEST}, batch norm needs it");
    ensure!(settings.learning_rate > 0.0, "rd4ad: learning_rate must be positive");
    let network = Some(Network::Backbone(settings.backbone));
    let built = learner::build(Rd4ad { settings: settings.clone() }, settings.train_on, &settings, network)?;
    Ok(built.following(settings.backbone))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { train_on, backbone, steps, batch, views, .. } = serde_json::from_str(settings)?;
    let n = cell.learnt_from(train_on, views);
    let student = work::bottleneck(backbone, cell.size) + work::decoder(backbone, cell.size);
    let work = Plan::of_steps(n, batch, steps).work(work::encoder(backbone, cell.size), student);
    Ok(Work { bytes: n as f64 * work::kept(backbone, cell.size), ..work }.on(train_on))
}

struct Rd4ad {
    settings: Settings,
}

impl Learner for Rd4ad {
    fn sees(&self) -> Option<Sight> {
        Some(Sight::Pyramid(self.settings.backbone, Input::ImageNet))
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
        let teacher = context.teacher(settings.backbone, Input::ImageNet)?;
        let student = Student::new(settings.backbone, context.device);
        initial::initialise(&student.store, context.seed);
        let model = Rd4adModel { teacher, student, device: context.device };
        let pixels = if settings.views { views::augmented(&normals.pixels) } else { normals.pixels.copy() };
        let sharing = Sharing::of(settings.train_on, settings.views);
        let features = FeatureStore::new(&model.teacher, &[&pixels], context.device, sharing)?;
        ensure!(
            features.len() >= FEWEST,
            "rd4ad: {} pictures are too few for batch norm; set `views = true`",
            features.len()
        );
        let adam = Adam { learning_rate: settings.learning_rate, beta1: 0.5, ..Adam::default() };
        let plan = Plan::of_steps(features.len(), settings.batch, settings.steps);
        let subject = Subject::of_pictures(
            "rd4ad",
            settings,
            Some(Network::Backbone(settings.backbone)),
            &normals.pixels,
        )?;
        let mut training = Rd4adTraining { model: &model, features: &features };
        trainer::train(&mut training, &Recipe::new(plan, Rule::Adam(adam)), &subject, context, observer)?;
        drop(features);
        Ok(Box::new(model))
    }
}

/// The student learns what the teacher said of the pictures.
struct Rd4adTraining<'a> {
    model: &'a Rd4adModel,
    features: &'a FeatureStore<'a>,
}

impl Training for Rd4adTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.student.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let features = self.features.at(&step.indices(self.model.device));
        let loss = self.model.student.loss(&features.scales);
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::seeing(&self.model.teacher, self.model)))
    }
}

/// Bottleneck and decoder.
struct Student {
    store: VarStore,
    bottleneck: Bottleneck,
    decoder: Decoder,
}

impl Student {
    fn new(backbone: Backbone, device: Device) -> Student {
        let store = VarStore::new(device);
        let bottleneck = Bottleneck::new(&(store.root() / "bn"), backbone);
        let decoder = Decoder::new(&(store.root() / "decoder"), backbone);
        Student { store, bottleneck, decoder }
    }

    fn rebuild(&self, teacher: &Scales, norm: Norm) -> Scales {
        // Scores would depend on how many pictures are scored at once by more than 1e-5.
        let trains = norm == Norm::Batch;
        let enter = if trains { layout::for_convolutions } else { Tensor::shallow_clone };
        let rebuilt =
            self.decoder.forward(&self.bottleneck.forward(&teacher.each_ref().map(enter), norm), norm);
        if trains { rebuilt.each_ref().map(layout::plain) } else { rebuilt }
    }

    /// Per picture one minus cosine over whole scales, summed over scales, mean over the batch.
    fn loss(&self, teacher: &Scales) -> Tensor {
        let rebuilt = self.rebuild(teacher, Norm::Batch);
        let distance = |scale: usize| -> Tensor {
            let (a, b) = (teacher[scale].flatten(1, -1), rebuilt[scale].flatten(1, -1));
            1.0 - Tensor::cosine_similarity(&a, &b, 1, 1e-8).mean(None::<Kind>)
        };
        distance(0) + distance(1) + distance(2)
    }

    /// Per position one minus cosine over channels, upsampled and summed over scales, `[b, side, side]`.
    fn maps(&self, teacher: &Scales, side: i64) -> Tensor {
        let rebuilt = self.rebuild(teacher, Norm::Stored);
        let map = |scale: usize| {
            let distance: Tensor = 1.0 - Tensor::cosine_similarity(&teacher[scale], &rebuilt[scale], 1, 1e-8);
            grid::upsample(&distance, side, true)
        };
        map(0) + map(1) + map(2)
    }
}

struct Rd4adModel {
    teacher: Rc<Remembering>,
    student: Student,
    device: Device,
}

impl Detector for Rd4adModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let features: &Features = queries.made()?;
        let maps = tch::no_grad(|| self.student.maps(&features.scales, queries.pictures().size()));
        Ok(Prediction::Maps(grid::to_maps(&maps)?))
    }
}
