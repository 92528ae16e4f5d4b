//! INP-Former: a picture's tokens rebuilt from prototypes of its own (Luo et al., arXiv 2503.02424, CVPR 2025), by the
//! authors' script for few shots.
//!
//! The authors train one model on all classes of a data set together; here each task has its own, as every method here.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::geometry::{FromFiles, Geometry};
use super::part::feature_store::{FeatureStore, Sharing};
use super::part::grid;
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Order, Plan, Recipe, Schedule, Step, StepFigures, Subject, Training};
use super::train_on::TrainOn;
use super::views;
use super::work::{CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::optimiser::{Adam, Decay, Optimiser, Rule};
use crate::network::remembering::Remembering;
use crate::network::vit::{Deep, Filter, Groups, Interpolation, Plan as Sizes, Reading, Transformer};
use crate::network::{Features, Network, Sight, initial};
use loss::{Loss, image_scores, maps};
use network::{InpFormer, Shape};

/// Loss, maps and scores.
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

/// How the transformer's position table meets the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// As the authors' code: without a filter and with an offset of 0.1, for networks with registers too.
    Published,
    /// As the network's owners run it.
    Owners,
}

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
        let (name, patch) = (self.backbone.name(), self.backbone.plan().patch);
        ensure!(
            self.side > 0 && self.side % patch == 0,
            "inp-former: side must be a multiple of {patch}, the patch of {name}"
        );
        ensure!(self.margin >= 0, "inp-former: margin must not be negative");
        ensure!(self.prototypes >= 1, "inp-former: prototypes must be at least 1");
        ensure!(self.learning_rate > 0.0, "inp-former: learning_rate must be positive");
        ensure!(self.weight_decay >= 0.0, "inp-former: weight_decay must not be negative");
        ensure!(self.epochs >= 1, "inp-former: epochs must be at least 1");
        ensure!(self.batch >= 1, "inp-former: batch must be at least 1");
        Ok(())
    }

    /// The 22 views of pictures. The authors make them of what is seen of a stretched file, so that what a turn or shift brings in
    /// is reflected at its edge; the margin around is cut off again.
    fn views_of(&self, pixels: &Tensor) -> Tensor {
        match self.geometry {
            Geometry::Square => views::augmented(pixels),
            Geometry::Published => {
                let seen = pixels.narrow(2, self.margin, self.side).narrow(3, self.margin, self.side);
                views::augmented(&seen).constant_pad_nd([self.margin; 4])
            }
        }
    }

    /// The side that is resized to.
    fn stretched(&self) -> i64 {
        self.side + 2 * self.margin
    }

    fn published(&self) -> FromFiles {
        let stretched = FromFiles::stretched(self.stretched(), Filter::Bilinear);
        let about = format!("{}, of which the middle {} x {} is seen", stretched.about, self.side, self.side);
        FromFiles { about, ..stretched }
    }

    fn sight(&self) -> Sight {
        let owners = Reading::of(self.backbone);
        let interpolation = match self.positions {
            Positions::Published => Interpolation::Offset,
            Positions::Owners => owners.interpolation,
        };
        let reading = Reading {
            deep: Deep::Groups(groups(self.backbone.plan())),
            interpolation,
            side: Some(self.stretched()),
            filter: Filter::Bilinear,
            margin: self.margin,
            scales: false,
        };
        Sight::Tokens(self.backbone, reading)
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
        let rule = rule(self.learning_rate, self.weight_decay);
        let schedule = Schedule::WarmUp { rise, steps, least: LEAST_RATE };
        Ok(Recipe { schedule, clip: Some(CLIP), ..Recipe::new(plan, rule) })
    }
}

/// The published optimiser, `StableAdamW` that keeps the largest second moment.
pub fn rule(learning_rate: f64, weight_decay: f64) -> Rule {
    Rule::Adam(Adam {
        learning_rate,
        epsilon: 1e-10,
        decay: Decay::Decoupled(weight_decay),
        amsgrad: true,
        bounded: true,
        ..Adam::default()
    })
}

/// The published blocks; of other depths, the middle two thirds.
fn groups(sizes: Sizes) -> Groups {
    match sizes.depth {
        24 => Groups { first: 5, step: 2, each: 4 },
        depth => Groups { first: depth / 6 + 1, step: 1, each: depth / 3 },
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
    let from_files = settings.geometry.from_files(|| settings.published());
    Ok(built.giving(Output::Both).reading_files(from_files))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views);
    let sizes = settings.backbone.plan();
    let tokens = ((settings.side / sizes.patch) as f64).powi(2);
    let teacher = sizes.operations(settings.side, groups(sizes).last());
    let work = settings.plan(n).work(teacher, settings.shape().operations(tokens));
    let bytes = n as f64 * 4.0 * tokens * 2.0 * sizes.width as f64;
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
        let pixels = if settings.views { settings.views_of(&normals.pixels) } else { normals.pixels.copy() };
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

/// Two groups of tokens, each `[n, h w, width]`, of the joined `[n, 2 width, h, w]`.
pub fn grouped(deep: &Tensor) -> [Tensor; 2] {
    let tokens = deep.flatten(2, 3).transpose(1, 2);
    let width = tokens.size()[2] / 2;
    [0, 1].map(|group| tokens.narrow(2, group * width, width).contiguous())
}

struct InpFormerModel {
    teacher: Rc<Remembering>,
    store: VarStore,
    network: InpFormer,
    side: i64,
    margin: i64,
}

impl InpFormerModel {
    fn new(settings: &Settings, teacher: Rc<Remembering>, context: &Context) -> InpFormerModel {
        let store = VarStore::new(context.device);
        let network = InpFormer::new(&store.root(), settings.shape());
        initial::initialise_truncated(&store, context.seed, 0.01, 0.03);
        InpFormerModel { teacher, store, network, side: settings.side, margin: settings.margin }
    }
}

impl Detector for InpFormerModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let features: &Features = queries.made()?;
        let size = queries.pictures().size();
        let (maps, scores) = tch::no_grad(|| {
            let groups = grouped(&features.deep);
            let seen = maps(&groups, &self.network.forward(&groups).rebuilt(), self.side);
            (whole(&seen, self.margin, size), image_scores(&seen))
        });
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }
}

/// Maps of whole pictures of `size` pixels from those of what is seen of them, `[n, side, side]`: what was cut off is as
/// anomalous as the nearest pixel that was not.
fn whole(seen: &Tensor, margin: i64, size: i64) -> Tensor {
    let whole = seen.unsqueeze(1).replication_pad2d([margin; 4]).squeeze_dim(1);
    if whole.size()[1] == size { whole } else { grid::upsample(&whole, size, false) }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn published_views_are_of_what_is_seen_of_a_file() {
        let settings =
            |geometry| Settings { side: 42, margin: 7, geometry, ..Settings::defaults(TrainOn::Supports) };
        let bytes: Vec<u8> = (0..3 * 56 * 56).map(|at: usize| (at * at % 251) as u8).collect();
        let pixels = Tensor::from_data_size(&bytes, &[1, 3, 56, 56], Kind::Uint8);
        let middle = |pixels: &Tensor| pixels.narrow(2, 7, 42).narrow(3, 7, 42);
        let published = settings(Geometry::Published).views_of(&pixels);
        assert_eq!(published.size(), [views::COUNT as i64, 3, 56, 56]);
        assert!(middle(&published).equal(&views::augmented(&middle(&pixels))));
        assert!(settings(Geometry::Square).views_of(&pixels).equal(&views::augmented(&pixels)));
    }
}
