//! INP-Former: a picture's tokens rebuilt from prototypes of its own (Luo et al., arXiv 2503.02424, CVPR 2025), by the
//! authors' script for few shots.
//!
//! The authors train one model on all classes of a data set together; here each task has its own, as every method here.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Device;
use tch::nn::VarStore;

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::geometry::Geometry;
use super::part::feature_store::{FeatureStore, Sharing};
use super::part::learner::{self, Fixed, Learner};
use super::part::middle::Middle;
use super::part::rebuilding::{Positions, Seen, grouped, groups, rule};
use super::part::trainer::{self, Order, Plan, Recipe, Schedule, Step, StepFigures, Subject, Training};
use super::train_on::TrainOn;
use super::work::{CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::optimiser::Optimiser;
use crate::network::remembering::Remembering;
use crate::network::vit::Transformer;
use crate::network::{Features, Network, Sight, initial};
use loss::Loss;
use network::{InpFormer, Shape};

/// The loss.
pub mod loss;
/// What is trained.
pub mod network;

/// INP-Former: tokens rebuilt from prototypes that each picture brings along.
pub const ENTRY: Entry = Entry {
    name: "inp-former",
    about: "tokens rebuilt from six prototypes that each picture brings along",
    paper: "arXiv 2503.02424 (CVPR 2025)",
    regime: "R1 (or R5)",
    needs: "DINOv2 dinov2_vitb14_reg",
    cost: "one training per support set (or task): 200 passes over 22 views a support; 215 GFLOP a query",
    trial: "backbone = 'dinov2_tiny14'\nside = 42\nmargin = 7\nepochs = 3\nwarm_up = 1\nbatch = 8",
    build,
    work: Some(work),
};

/// Defaults are the published ones; supports enter in 22 views, all normals as they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode, or all train normals of the target.
    pub train_on: TrainOn,
    /// Its tokens are rebuilt: after blocks 3 to 10 of 12, after each second one from 5 to 19 of 24.
    pub backbone: Transformer,
    /// How the position table meets the grid: `published`, or `owners`; only networks with registers tell them apart.
    pub positions: Positions,
    /// Side in pixels of what is seen, a multiple of the patch's.
    pub side: i64,
    /// Pixels cut off at each edge once pictures are resized to `side` and two margins. 28 as published, which hides 23 % of
    /// a picture; 0 shows all of it.
    pub margin: i64,
    /// `published` stretches whole files to `side` and two margins at once, bilinearly, as the authors do. Only `score` has files;
    /// a board takes `square`.
    pub geometry: Geometry,
    /// Prototypes of a picture.
    pub prototypes: i64,
    /// Largest step size.
    pub learning_rate: f64,
    /// Weight decay, taken from the parameters themselves, times the learning rate.
    pub weight_decay: f64,
    /// Steps in which the learning rate rises from 0; then it falls to a tenth along half a cosine.
    pub warm_up: u64,
    /// Passes over all pictures or their views, in whole batches.
    pub epochs: u64,
    /// Pictures a step, fewer if there are fewer.
    pub batch: usize,
    /// Learns from the 22 views of `views` of each picture rather than from the pictures: true for supports, false for
    /// normals.
    pub views: bool,
}

/// Added to the root of the second moment.
const EPSILON: f64 = 1e-10;
/// Largest norm of the gradient.
const CLIP: f64 = 0.1;
/// What the learning rate falls to, as a share.
const LEAST_RATE: f64 = 0.1;
/// Looks at a training.
const LOOKS: u64 = 10;

impl Settings {
    fn defaults(train_on: TrainOn) -> Settings {
        Settings {
            train_on,
            backbone: Transformer::Dinov2BaseRegisters,
            positions: Positions::Published,
            side: 392,
            margin: 28,
            geometry: Geometry::Square,
            prototypes: 6,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            warm_up: 100,
            epochs: 200,
            batch: 16,
            views: train_on == TrainOn::Supports,
        }
    }

    fn check(&self) -> Result<()> {
        self.seen().middle.check("inp-former")?;
        ensure!(self.prototypes >= 1, "inp-former: prototypes must be at least 1");
        ensure!(self.learning_rate > 0.0, "inp-former: learning_rate must be positive");
        ensure!(self.weight_decay >= 0.0, "inp-former: weight_decay must not be negative");
        ensure!(self.epochs >= 1, "inp-former: epochs must be at least 1");
        ensure!(self.batch >= 1, "inp-former: batch must be at least 1");
        Ok(())
    }

    fn seen(&self) -> Seen {
        let Settings { backbone, side, margin, positions, geometry, .. } = *self;
        Seen { middle: Middle { backbone, side, margin }, positions, geometry }
    }

    fn sight(&self) -> Sight {
        self.seen().sight()
    }

    fn shape(&self) -> Shape {
        let sizes = self.backbone.plan();
        let blocks = 2 * groups(sizes).each;
        Shape { width: sizes.width, heads: sizes.heads, prototypes: self.prototypes, blocks }
    }

    fn plan(&self, pictures: usize) -> Plan {
        let order = Order::Whole { items: pictures, batch: self.batch.min(pictures) };
        let steps = self.epochs * order.n_batches() as u64;
        Plan { order, steps, epochs: LOOKS.min(self.epochs) }
    }

    fn recipe(&self, plan: Plan) -> Result<Recipe> {
        let (rise, steps) = (self.warm_up, plan.steps);
        ensure!(
            rise < steps,
            "inp-former: warm_up is {rise} and there are {steps} steps in all; lower it, or raise epochs"
        );
        let rule = rule(self.learning_rate, self.weight_decay, EPSILON);
        let schedule = Schedule::WarmUp { rise, steps, least: LEAST_RATE };
        Ok(Recipe { schedule, clip: Some(CLIP), ..Recipe::new(plan, rule) })
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings = learner::settings(settings, Settings::defaults).context("settings of inp-former")?;
    settings.check()?;
    let on_references = settings.train_on == TrainOn::Supports;
    settings.geometry.check_learns_from_references(on_references, "inp-former", "train_on = \"supports\"")?;
    let network = Some(Network::Transformer(settings.backbone));
    let built = learner::build(
        InpFormerLearner { settings: settings.clone() },
        settings.train_on,
        &settings,
        network,
    )?;
    let from_files = settings.geometry.from_files(|| settings.seen().middle.published());
    Ok(built.giving(Output::Both).reading_files(from_files))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views);
    let sizes = settings.backbone.plan();
    let tokens = ((settings.side / sizes.patch) as f64).powi(2);
    let teacher = sizes.operations(settings.side, groups(sizes).last());
    let (plan, shape) = (settings.plan(n), settings.shape());
    let work = plan.work(teacher, shape.operations(tokens));
    let features = n as f64 * (tokens + (1 + sizes.registers) as f64) * 2.0 * sizes.width as f64;
    let bytes = 4.0 * (features + plan.per_step() * shape.kept(tokens));
    Ok(Work { bytes, ..work }.on(settings.train_on))
}

struct InpFormerLearner {
    settings: Settings,
}

impl Learner for InpFormerLearner {
    fn sees(&self) -> Option<Sight> {
        Some(self.settings.sight())
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
        let teacher = context.seeing(settings.sight())?;
        let model = InpFormerModel::new(settings, teacher, context);
        let pixels =
            if settings.views { model.seen.views_of(&normals.pixels) } else { normals.pixels.copy() };
        let recipe = settings.recipe(settings.plan(pixels.size()[0] as usize))?;
        let sharing = Sharing::of(settings.train_on, settings.views);
        let features = FeatureStore::new(&model.teacher, &[&pixels], context.device, sharing)?;
        let network = Some(Network::Transformer(settings.backbone));
        let subject = Subject::of_pictures("inp-former", settings, network, &normals.pixels)?;
        let mut training = InpFormerTraining { model: &model, features: &features };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        drop(features);
        Ok(Box::new(model))
    }
}

/// The network learns to rebuild what the teacher said of the pictures.
struct InpFormerTraining<'a> {
    model: &'a InpFormerModel,
    features: &'a FeatureStore<'a>,
}

impl Training for InpFormerTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let groups = grouped(&self.features.deep_at(&step.indices(Device::Cpu)));
        let loss = Loss::new(&groups, &self.model.network.forward(&groups));
        optimiser.step(&loss.followed);
        Ok(vec![("loss", loss.total()), ("cosine", loss.cosine), ("coherence", loss.coherence)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::seeing(&self.model.teacher, self.model)))
    }
}

struct InpFormerModel {
    teacher: Rc<Remembering>,
    store: VarStore,
    network: InpFormer,
    seen: Seen,
}

impl InpFormerModel {
    fn new(settings: &Settings, teacher: Rc<Remembering>, context: &Context) -> InpFormerModel {
        let store = VarStore::new(context.device);
        let network = InpFormer::new(&store.root(), settings.shape());
        initial::initialise_truncated(&store, context.seed, 0.01, 0.03);
        InpFormerModel { teacher, store, network, seen: settings.seen() }
    }
}

impl Detector for InpFormerModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let features: &Features = queries.made()?;
        let groups = grouped(&features.deep);
        let rebuilt = tch::no_grad(|| self.network.forward(&groups).rebuilt());
        self.seen.judge(&groups, &rebuilt, queries.pictures().size())
    }
}
