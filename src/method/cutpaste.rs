//! CutPaste: self-supervised learning for anomaly detection (arXiv 2104.04015, CVPR 2021).
//!
//! A network learns to tell normals from normals with a piece of themselves pasted elsewhere; a Gaussian over what
//! it then makes of normals gives the score. Made for many normals (`train_on = "normals"`): a handful of supports
//! is little to learn from, and the results are weak.

use std::borrow::Borrow;
use std::cell::OnceCell;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::{Linear, Module, VarStore};
use tch::{Device, Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::part::cut_paste::{Cut, jitter_colours, paste};
use super::part::gaussian::{Gaussian, Moments, Regular};
use super::part::grid;
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Plan, Recipe, Schedule, Step, StepFigures, Subject, Training};
use super::train_on::TrainOn;
use super::views;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::encoder::Encoder;
use crate::network::layer::{BatchNorm, Norm, linear};
use crate::network::optimiser::{Optimiser, Rule, Sgd};
use crate::network::{Backbone, Input, Network, initial};
use crate::random::Stream;

/// `CutPaste`: a network learns to tell pasted pictures apart; a Gaussian over its features scores.
pub const ENTRY: Entry = Entry {
    name: "cutpaste",
    about: "a network that tells pasted pictures apart, and a Gaussian over its features",
    paper: "arXiv 2104.04015 (CVPR 2021)",
    regime: "R1 (or R5)",
    needs: "ImageNet resnet18",
    cost: "one training per support set or task: 256 steps of 3 x 64 pictures; 1 GFLOP a query at 128 px",
    trial: "steps = 3\nfrozen_steps = 1\nbatch = 4",
    build,
    work: Some(work),
};

/// What the network tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pretext {
    /// Pictures and pictures with a pasted patch.
    Patch,
    /// Pictures and pictures with a pasted scar.
    Scar,
    /// All three.
    ThreeWay,
}

impl Pretext {
    /// What is done for each class, the picture as it is first.
    fn classes(self) -> &'static [Option<Cut>] {
        match self {
            Pretext::Patch => &[None, Some(Cut::Patch)],
            Pretext::Scar => &[None, Some(Cut::Scar)],
            Pretext::ThreeWay => &[None, Some(Cut::Patch), Some(Cut::Scar)],
        }
    }
}

/// Defaults are those of the port that BMAD uses; supports enter in 22 views.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode (weak), or all train normals of the target (as published).
    pub train_on: TrainOn,
    /// The network that learns; resnet18 as published.
    pub backbone: Backbone,
    /// Begins with the teacher's weights rather than with random ones.
    pub pretrained: bool,
    /// What it learns to tell apart: `patch`, `scar` or `three-way`.
    pub pretext: Pretext,
    /// First step size, which falls to zero along half a cosine.
    pub learning_rate: f64,
    /// Momentum of the gradient descent.
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Training steps.
    pub steps: u64,
    /// First steps in which the head trains alone.
    pub frozen_steps: u64,
    /// Pictures per step, fewer if there are fewer; each enters once per class.
    pub batch: usize,
    /// Largest change of brightness, contrast and saturation, as a share.
    pub jitter: f64,
    /// Learns from the 22 views of `views` of each picture rather than from the pictures: true for supports,
    /// false for normals.
    pub views: bool,
}

impl Settings {
    fn defaults(train_on: TrainOn) -> Settings {
        Settings {
            train_on,
            backbone: Backbone::Resnet18,
            pretrained: true,
            pretext: Pretext::ThreeWay,
            learning_rate: 0.03,
            momentum: 0.9,
            weight_decay: 3e-5,
            steps: 256,
            frozen_steps: 20,
            batch: 64,
            jitter: 0.1,
            views: train_on == TrainOn::Supports,
        }
    }
}

impl Settings {
    fn recipe(&self, plan: Plan) -> Recipe {
        let Settings { learning_rate, momentum, weight_decay, steps, .. } = *self;
        let schedule = Schedule::Cosine { half_period: steps, every: 1 };
        Recipe {
            schedule,
            ..Recipe::new(plan, Rule::Sgd(Sgd { learning_rate, momentum, weight_decay, ..Sgd::default() }))
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings = learner::settings(settings, Settings::defaults).context("settings of cutpaste")?;
    ensure!(settings.steps >= 1, "cutpaste: steps must be at least 1");
    ensure!(settings.batch >= 1, "cutpaste: batch must be at least 1");
    ensure!(settings.learning_rate > 0.0, "cutpaste: learning_rate must be positive");
    ensure!((0.0..1.0).contains(&settings.jitter), "cutpaste: jitter must be at least 0 and below 1");
    let network = settings.pretrained.then_some(Network::Backbone(settings.backbone));
    let built =
        learner::build(CutPaste { settings: settings.clone() }, settings.train_on, &settings, network)?;
    Ok(built.giving(Output::Scores))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views);
    let plan = Plan::of_steps(n, settings.batch, settings.steps);
    let encoder = work::encoder(settings.backbone, cell.size);
    let passes = plan.n_entering() * settings.pretext.classes().len() as f64;
    let frozen = settings.frozen_steps.min(settings.steps) as f64 / settings.steps as f64;
    Ok(Work {
        fit: Operations {
            forward: (n as f64 + passes * frozen) * encoder,
            training: passes * (1.0 - frozen) * work::TRAINING * encoder,
        },
        query: encoder,
        evaluations: plan.epochs,
        ..Work::default()
    }
    .on(settings.train_on))
}

struct CutPaste {
    settings: Settings,
}

impl Learner for CutPaste {
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
        let pixels = normals;
        let normals = if settings.views { views::augmented(&normals.pixels) } else { normals.pixels.copy() };
        ensure!(
            normals.size()[0] >= 3,
            "cutpaste: {} pictures have no covariance; set `views = true`",
            normals.size()[0]
        );
        let model = CutPasteModel::new(settings, normals, context)?;
        let plan = Plan::of_steps(model.normals.size()[0] as usize, settings.batch, settings.steps);
        let network = settings.pretrained.then_some(Network::Backbone(settings.backbone));
        let subject = Subject::of_pictures("cutpaste", settings, network, &pixels.pixels)?;
        let mut training = CutPasteTraining { model: &model, settings, seed: context.seed };
        trainer::train(&mut training, &settings.recipe(plan), &subject, context, observer)?;
        let ready = CutPasteDetector { model, gaussian: OnceCell::new() };
        ready.gaussian()?;
        Ok(Box::new(ready))
    }
}

/// Network and head, and the normals that both the pretext and the density use.
struct CutPasteModel {
    encoder_store: VarStore,
    head_store: VarStore,
    encoder: Encoder,
    backbone: Backbone,
    head: Head,
    /// `[n, 3, side, side]` of 0 to 255, on the CPU.
    normals: Tensor,
    device: Device,
}

impl CutPasteModel {
    fn new(settings: &Settings, normals: Tensor, context: &Context) -> Result<CutPasteModel> {
        let (encoder_store, head_store) = (VarStore::new(context.device), VarStore::new(context.device));
        let (root, backbone) = (encoder_store.root() / "encoder", settings.backbone);
        let encoder = Encoder::new(&root, backbone);
        if settings.pretrained {
            context.teacher(backbone, INPUT)?.copy_to(&encoder_store, "encoder");
        } else {
            initial::initialise(&encoder_store, context.seed);
        }
        let head = Head::new(&head_store, backbone.channels()[3], settings.pretext.classes().len() as i64);
        initial::initialise_plain(&head_store, context.seed);
        Ok(CutPasteModel {
            encoder_store,
            head_store,
            encoder,
            backbone,
            head,
            normals,
            device: context.device,
        })
    }

    /// The normals at `indices`, once per class, with their classes: `[classes * b, 3, side, side]` and
    /// `[classes * b]`.
    fn pretext(&self, settings: &Settings, indices: &Tensor, stream: &mut Stream) -> (Tensor, Tensor) {
        let cuts = settings.pretext.classes();
        let side = self.normals.size()[3];
        let (mut values, mut classes) = (Vec::new(), Vec::new());
        let chosen = self.normals.index_select(0, indices);
        for index in 0..chosen.size()[0] {
            let picture = chosen.get(index).to_kind(Kind::Float).flatten(0, -1);
            let mut picture: Vec<f32> = Vec::try_from(picture).expect("pictures are floats now");
            jitter_colours(&mut picture, settings.jitter, stream);
            for (class, cut) in cuts.iter().enumerate() {
                let pasted =
                    cut.map(|cut| paste(&picture, side as usize, cut, settings.jitter, stream).pixels);
                values.extend_from_slice(pasted.as_ref().unwrap_or(&picture));
                classes.push(class as i64);
            }
        }
        let pictures = Tensor::from_slice(&values).view([-1, 3, side, side]);
        (pictures, Tensor::from_slice(&classes).to_device(self.device))
    }

    /// Stage 4 averaged over positions, `[n, c4]`, of pictures of 0 to 255.
    fn vectors(&self, pictures: &Tensor, norm: Norm) -> Tensor {
        let network = Network::Backbone(self.backbone);
        let pictures = INPUT.prepare(network, &pictures.to_device(self.device));
        self.encoder.forward(&pictures, norm).deep.mean_dim(&[2, 3][..], false, None::<Kind>)
    }
}

/// Network and head learn to tell the classes apart.
struct CutPasteTraining<'a> {
    model: &'a CutPasteModel,
    settings: &'a Settings,
    seed: u64,
}

impl Training for CutPasteTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.encoder_store, &self.model.head_store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let model = self.model;
        let mut stream = Stream::new(self.seed, "cut and paste", step.number);
        let (pictures, classes) = model.pretext(self.settings, &step.indices(Device::Cpu), &mut stream);
        let features = if step.number < self.settings.frozen_steps {
            tch::no_grad(|| model.vectors(&pictures, Norm::Batch))
        } else {
            model.vectors(&pictures, Norm::Batch)
        };
        let logits = model.head.forward(&features, Norm::Batch);
        let loss = logits.cross_entropy_for_logits(&classes);
        optimiser.step(&loss);
        Ok(vec![("loss", loss), ("accuracy", logits.accuracy_for_logits(&classes))])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::new(CutPasteDetector { model: self.model, gaussian: OnceCell::new() })))
    }
}

const INPUT: Input = Input::ImageNet;

/// Projection and classifier; names are the port's.
struct Head {
    hidden: Linear,
    norm: BatchNorm,
    embedding: Linear,
    out: Linear,
}

impl Head {
    fn new(store: &VarStore, channels: i64, n_classes: i64) -> Head {
        let head = store.root() / "head";
        Head {
            hidden: linear(&(&head / 0), channels, 512),
            norm: BatchNorm::new(&(&head / 1), 512),
            embedding: linear(&(&head / 3), 512, 128),
            out: linear(&(store.root() / "out"), 128, n_classes),
        }
    }

    fn forward(&self, vectors: &Tensor, norm: Norm) -> Tensor {
        let hidden = self.norm.forward(&self.hidden.forward(vectors), norm).relu();
        self.out.forward(&self.embedding.forward(&hidden))
    }
}

/// A model as it stands. The density is fitted when it is first needed: most looks during training need none.
struct CutPasteDetector<M> {
    model: M,
    gaussian: OnceCell<Gaussian>,
}

impl<M: Borrow<CutPasteModel>> CutPasteDetector<M> {
    fn gaussian(&self) -> Result<&Gaussian> {
        if let Some(gaussian) = self.gaussian.get() {
            return Ok(gaussian);
        }
        let model: &CutPasteModel = self.model.borrow();
        let part = |pictures: &Tensor| tch::no_grad(|| model.vectors(pictures, Norm::Stored));
        let vectors = Tensor::cat(&model.normals.split(32, 0).iter().map(part).collect::<Vec<_>>(), 0);
        let regular = Regular { shrink: true, ridge: 0.0 };
        let gaussian = Moments::new(&vectors.unsqueeze(0))
            .gaussian(regular, Kind::Double)
            .context("cutpaste: the normals are all alike; give more of them")?;
        Ok(self.gaussian.get_or_init(|| gaussian))
    }
}

impl<M: Borrow<CutPasteModel>> Detector for CutPasteDetector<M> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let vectors = tch::no_grad(|| self.model.borrow().vectors(&queries.pixels, Norm::Stored));
        let distances = self.gaussian()?.distances(&vectors.unsqueeze(0)).squeeze_dim(0);
        Ok(Prediction::Scores(grid::to_scores(&distances)?))
    }
}
