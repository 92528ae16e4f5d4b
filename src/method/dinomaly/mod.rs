//! Dinomaly: a picture's tokens rebuilt through dropout, by attention that cannot focus (Guo et al., arXiv 2405.14325, CVPR
//! 2025), by the authors' script for one class.
//!
//! The authors train on all normals of a class and know no supports. Here supports enter in the 22 views of INP-Former, which
//! is built on Dinomaly's code.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::geometry::Geometry;
use super::part::dropout::Dropout;
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
use loss::{Loss, discounted};
use network::{Dinomaly, Shape, last};

/// The loss.
pub mod loss;
/// What is trained.
pub mod network;

/// Dinomaly: tokens rebuilt through dropout.
pub const ENTRY: Entry = Entry {
    name: "dinomaly",
    about: "tokens rebuilt through dropout, by attention that cannot focus",
    paper: "arXiv 2405.14325 (CVPR 2025)",
    regime: "R1 (or R5)",
    needs: "DINOv2 dinov2_vitb14_reg",
    cost: "one training per support set (or task): 5,000 steps of 16 pictures; 230 GFLOP a query",
    trial: "backbone = 'dinov2_tiny14'\nside = 42\nmargin = 7\nsteps = 30\nwarm_up = 1\ndiscount_rise = 10\nbatch = 8",
    build,
    work: Some(work),
};

/// Defaults are the published ones for one class; supports enter in 22 views, all normals as they are.
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
    /// Share of values that the bottleneck drops: of its input, between its layers, and of its output.
    pub dropout: f64,
    /// Share of positions, those that are rebuilt best, whose gradient counts a tenth.
    pub discounted: f64,
    /// Steps in which that share rises from 0.
    pub discount_rise: u64,
    /// Largest step size.
    pub learning_rate: f64,
    /// Weight decay, taken from the parameters themselves, times the learning rate.
    pub weight_decay: f64,
    /// Steps in which the learning rate rises from 0; then it falls to a tenth along half a cosine.
    pub warm_up: u64,
    /// Steps of training; the authors take 5,000 for one class and 10,000 for many together.
    pub steps: u64,
    /// Pictures a step, fewer if there are fewer; what is left of a pass over all of them is dropped.
    pub batch: usize,
    /// Learns from the 22 views of `views` of each picture rather than from the pictures: true for supports, false for
    /// normals.
    pub views: bool,
}

/// Added to the root of the second moment by the authors' script for one class.
const EPSILON: f64 = 1e-8;
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
            dropout: 0.2,
            discounted: 0.9,
            discount_rise: 1000,
            learning_rate: 2e-3,
            weight_decay: 1e-4,
            warm_up: 100,
            steps: 5000,
            batch: 16,
            views: train_on == TrainOn::Supports,
        }
    }

    fn check(&self) -> Result<()> {
        self.seen().middle.check("dinomaly")?;
        ensure!((0.0..1.0).contains(&self.dropout), "dinomaly: dropout must be at least 0 and below 1");
        ensure!((0.0..1.0).contains(&self.discounted), "dinomaly: discounted must be at least 0 and below 1");
        ensure!(self.learning_rate > 0.0, "dinomaly: learning_rate must be positive");
        ensure!(self.weight_decay >= 0.0, "dinomaly: weight_decay must not be negative");
        ensure!(
            self.warm_up < self.steps,
            "dinomaly: warm_up is {} and there are {} steps in all; lower it, or raise steps",
            self.warm_up,
            self.steps
        );
        ensure!(self.batch >= 1, "dinomaly: batch must be at least 1");
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
        Shape { width: sizes.width, heads: sizes.heads, blocks: 2 * groups(sizes).each }
    }

    fn plan(&self, pictures: usize) -> Plan {
        let order = Order::Whole { items: pictures, batch: self.batch.min(pictures) };
        Plan { order, steps: self.steps, epochs: LOOKS.min(self.steps) }
    }

    fn recipe(&self, pictures: usize) -> Recipe {
        let schedule = Schedule::WarmUp { rise: self.warm_up, steps: self.steps, least: LEAST_RATE };
        let rule = rule(self.learning_rate, self.weight_decay, EPSILON);
        Recipe { schedule, clip: Some(CLIP), ..Recipe::new(self.plan(pictures), rule) }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings = learner::settings(settings, Settings::defaults).context("settings of dinomaly")?;
    settings.check()?;
    let on_references = settings.train_on == TrainOn::Supports;
    settings.geometry.check_learns_from_references(on_references, "dinomaly", "train_on = \"supports\"")?;
    let network = Some(Network::Transformer(settings.backbone));
    let learner = DinomalyLearner { settings: settings.clone() };
    let built = learner::build(learner, settings.train_on, &settings, network)?;
    let from_files = settings.geometry.from_files(|| settings.seen().middle.published());
    Ok(built.giving(Output::Both).reading_files(from_files))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views);
    let sizes = settings.backbone.plan();
    let tokens = ((settings.side / sizes.patch).pow(2) + 1 + sizes.registers) as f64;
    let teacher = sizes.operations(settings.side, groups(sizes).last());
    let (plan, shape) = (settings.plan(n), settings.shape());
    let work = plan.work(teacher, shape.operations(tokens));
    let features = n as f64 * tokens * 2.0 * sizes.width as f64;
    let bytes = 4.0 * (features + plan.per_step() * shape.kept(tokens));
    Ok(Work { bytes, ..work }.on(settings.train_on))
}

struct DinomalyLearner {
    settings: Settings,
}

impl Learner for DinomalyLearner {
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
        let model = DinomalyModel::new(settings, teacher, context);
        let pixels =
            if settings.views { model.seen.views_of(&normals.pixels) } else { normals.pixels.copy() };
        let recipe = settings.recipe(pixels.size()[0] as usize);
        let sharing = Sharing::of(settings.train_on, settings.views);
        let features = FeatureStore::new(&model.teacher, &[&pixels], context.device, sharing)?;
        let network = Some(Network::Transformer(settings.backbone));
        let subject = Subject::of_pictures("dinomaly", settings, network, &normals.pixels)?;
        let mut training =
            DinomalyTraining { model: &model, features: &features, settings, seed: context.seed };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        drop(features);
        Ok(Box::new(model))
    }
}

/// The network learns to rebuild what the teacher said of the pictures.
struct DinomalyTraining<'a> {
    model: &'a DinomalyModel,
    features: &'a FeatureStore<'a>,
    settings: &'a Settings,
    seed: u64,
}

impl Training for DinomalyTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let Settings { dropout, discounted: share, discount_rise: rise, .. } = *self.settings;
        let (groups, patches) = with_prefix(&self.features.at(&step.indices(Device::Cpu)));
        let device = self.model.store.device();
        let mut dropout = Dropout::new(self.seed, "dinomaly dropout", step.number, dropout, device);
        let pass = self.model.network.forward(&groups, |x| dropout.drop(x));
        let loss = Loss::new(&groups, &pass, patches, discounted(share, rise, step.number));
        optimiser.step(&loss.followed);
        Ok(vec![("loss", loss.cosine)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::seeing(&self.model.teacher, self.model)))
    }
}

/// Two groups of tokens, each `[n, 1 + registers + h w, width]`, and the number of patches, which come last.
pub fn with_prefix(features: &Features) -> ([Tensor; 2], i64) {
    let [prefix, patches] = [&features.scales[0], &features.deep].map(grouped);
    let n_patches = patches[0].size()[1];
    ([0, 1].map(|group| Tensor::cat(&[&prefix[group], &patches[group]], 1)), n_patches)
}

struct DinomalyModel {
    teacher: Rc<Remembering>,
    store: VarStore,
    network: Dinomaly,
    seen: Seen,
}

impl DinomalyModel {
    fn new(settings: &Settings, teacher: Rc<Remembering>, context: &Context) -> DinomalyModel {
        let store = VarStore::new(context.device);
        let network = Dinomaly::new(&store.root(), settings.shape());
        initial::initialise_truncated(&store, context.seed, 0.01, 0.03);
        DinomalyModel { teacher, store, network, seen: settings.seen() }
    }
}

impl Detector for DinomalyModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let (groups, patches) = with_prefix(queries.made()?);
        let pass = tch::no_grad(|| self.network.forward(&groups, Tensor::shallow_clone));
        let seen = groups.map(|tokens| last(&tokens, patches));
        self.seen.judge(&seen, &pass.rebuilt(patches), queries.pictures().size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_authors_script_for_one_class() {
        let settings = Settings::defaults(TrainOn::Normals);
        let recipe = settings.recipe(100);
        assert_eq!(recipe.schedule, Schedule::WarmUp { rise: 100, steps: 5000, least: 0.1 });
        assert_eq!(recipe.clip, Some(0.1));
        assert_eq!(recipe.rule, rule(2e-3, 1e-4, 1e-8));
        let [plan] = &recipe.plans[..] else { panic!("one stage") };
        assert_eq!((plan.steps, plan.order.n_batches()), (5000, 6), "16 a batch, what is left over dropped");
        assert_eq!((settings.dropout, settings.discounted, settings.discount_rise), (0.2, 0.9, 1000));
        assert_eq!((settings.side, settings.margin), (392, 28));
        let Shape { width, heads, blocks } = settings.shape();
        assert_eq!((width, heads, blocks), (768, 12, 8));
    }
}
