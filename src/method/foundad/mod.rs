//! FoundAD: tokens of a frozen transformer brought back to those of normals (arXiv 2510.01934, ICLR 2026).
//!
//! The authors train one model on all classes of a data set together; here each task has its own, as every method here.
//! Their pieces are pasted onto the object, which thresholds of their own find in photographs; here they go anywhere.

use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Reduction, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Observer, Output, Prediction};
use super::geometry::{FromFiles, Geometry};
use super::part::direction::unit;
use super::part::grid;
use super::part::learner::{self, Learner};
use super::part::trainer::{self, Order, Plan, Recipe, Subject};
use super::train_on::TrainOn;
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::network::optimiser::{Adam, Decay, Rule};
use crate::network::remembering::Remembering;
use crate::network::vit::{Deep, Filter, Reading, Shallow, Transformer};
use crate::network::{Features, Network, Sight, initial};
use corruption::CutPaste;
use projector::{Projector, Shape};
use training::FoundAdTraining;

/// What is done to normals in training.
pub mod corruption;
/// What is trained.
pub mod projector;
/// Its steps.
mod training;

/// `FoundAD`: tokens brought back to those of normals.
pub const ENTRY: Entry = Entry {
    name: "foundad",
    about: "how far a small transformer, trained on normals with pasted pieces, moves each token",
    paper: "arXiv 2510.01934 (ICLR 2026)",
    regime: "R1 (or R5)",
    needs: "DINOv2 dinov2_vitb14",
    cost: "one training per support set (or task): 2,000 steps of 8 pictures; 301 GFLOP a query",
    trial: "backbone = 'dinov2_tiny14'\nside = 42\nwidth = 48\nblocks = 2\nsteps = 3\nbatch = 4",
    build,
    work: Some(work),
};

/// What is minimised, between projected tokens and those of the clean picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The mean squared difference.
    Squared,
    /// Half the squared difference where it is below 1, else the difference less a half; its mean.
    SmoothL1,
}

impl Measure {
    /// A scalar, of tokens of one shape.
    pub fn of(self, projected: &Tensor, clean: &Tensor) -> Tensor {
        match self {
            Measure::Squared => projected.mse_loss(clean, Reduction::Mean),
            Measure::SmoothL1 => projected.smooth_l1_loss(clean, Reduction::Mean, 1.0),
        }
    }
}

/// Defaults are the published ones for DINOv2.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Supports of the episode, or all train normals of the target.
    pub train_on: TrainOn,
    /// Its third but last block's tokens are projected, after the final norm. The authors' first choice is `DINOv3`, whose
    /// weights go only to those who sign for them.
    pub backbone: Transformer,
    /// Side in pixels that pictures are resized to, a multiple of the patch's.
    pub side: i64,
    /// `published` stretches whole files to `side` at once, bilinearly, as the authors do; normals change lightly afterwards, the
    /// authors' before. Only `score` has files; a board takes `square`.
    pub geometry: Geometry,
    /// Values of a token inside the projector, a multiple of its heads.
    pub width: i64,
    /// Heads of the projector.
    pub heads: i64,
    /// Blocks of the projector.
    pub blocks: usize,
    /// Whether each place adds a vector of its own, which does not train.
    pub places: bool,
    /// Whether tokens are brought to length 1 before they are projected and before they are compared.
    pub unit_tokens: bool,
    /// What is minimised: `squared` or `smooth-l1`.
    pub measure: Measure,
    /// Share of the projector's input that is set to 0 in training.
    pub dropout: f64,
    /// Chance that a step's pictures are corrupted before they are projected.
    pub corrupted: f64,
    /// How pieces are pasted: `published` or `corrected`.
    pub cut_paste: CutPaste,
    /// Whether normals change lightly: mirrored or turned, other colours, grey or blurred.
    pub augmented: bool,
    /// Tokens whose largest errors are averaged to the image score. The authors have 10 and 6 for different data sets.
    pub top: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Weight decay, taken from the parameters themselves, times the learning rate.
    pub weight_decay: f64,
    /// Training steps. The authors save one model in 100 and choose among them by hand; here the last one counts.
    pub steps: u64,
    /// Pictures a step, fewer if there are fewer.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Supports,
            backbone: Transformer::Dinov2Base,
            side: 518,
            geometry: Geometry::Square,
            width: 384,
            heads: 12,
            blocks: 6,
            places: false,
            unit_tokens: false,
            measure: Measure::Squared,
            dropout: 0.2,
            corrupted: 0.5,
            cut_paste: CutPaste::Published,
            augmented: true,
            top: 10,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            steps: 2000,
            batch: 8,
        }
    }
}

/// Looks at a training.
const LOOKS: u64 = 10;

impl Settings {
    fn check(&self) -> Result<()> {
        let (name, patch) = (self.backbone.name(), self.backbone.plan().patch);
        ensure!(
            self.side > 0 && self.side % patch == 0,
            "foundad: side must be a multiple of {patch}, the patch of {name}"
        );
        ensure!(self.heads >= 1, "foundad: heads must be at least 1");
        ensure!(
            self.width >= 1 && self.width % self.heads == 0,
            "foundad: width must be a multiple of heads, {}",
            self.heads
        );
        ensure!((0.0..1.0).contains(&self.dropout), "foundad: dropout must be at least 0 and below 1");
        ensure!((0.0..=1.0).contains(&self.corrupted), "foundad: corrupted must be 0 to 1");
        ensure!(self.top >= 1, "foundad: top must be at least 1");
        ensure!(self.learning_rate > 0.0, "foundad: learning_rate must be positive");
        ensure!(self.weight_decay >= 0.0, "foundad: weight_decay must not be negative");
        ensure!(self.steps >= 1, "foundad: steps must be at least 1");
        ensure!(self.batch >= 1, "foundad: batch must be at least 1");
        Ok(())
    }

    fn reading(&self) -> Reading {
        Reading {
            deep: Deep::Normed(self.block()),
            side: Some(self.side),
            filter: Filter::Bilinear,
            scales: Shallow::Empty,
            ..Reading::of(self.backbone)
        }
    }

    /// The block whose tokens are projected, counted from 1.
    fn block(&self) -> usize {
        self.backbone.plan().depth - 2
    }

    fn sight(&self) -> Sight {
        Sight::Tokens(self.backbone, self.reading())
    }

    /// Tokens of a picture.
    fn n_tokens(&self) -> i64 {
        (self.side / self.backbone.plan().patch).pow(2)
    }

    fn shape(&self) -> Shape {
        let Settings { width, heads, blocks, .. } = *self;
        let table = self.places.then(|| self.n_tokens());
        Shape { tokens: self.backbone.plan().width, width, heads, blocks, table, unit: self.unit_tokens }
    }

    fn plan(&self, pictures: usize) -> Plan {
        let order = Order::Whole { items: pictures, batch: self.batch.min(pictures) };
        Plan { order, steps: self.steps, epochs: LOOKS.min(self.steps) }
    }

    /// The published kernel goes by the side.
    fn kernel(&self) -> i64 {
        if self.side >= 384 { 23 } else { 11 }
    }
}

/// The published optimiser.
pub fn rule(learning_rate: f64, weight_decay: f64) -> Rule {
    Rule::Adam(Adam { learning_rate, decay: Decay::Decoupled(weight_decay), ..Adam::default() })
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of foundad")?;
    settings.check()?;
    let on_references = settings.train_on == TrainOn::Supports;
    settings.geometry.check_learns_from_references(on_references, "foundad", "train_on = \"supports\"")?;
    let network = Some(Network::Transformer(settings.backbone));
    let learner = FoundAd { settings: settings.clone() };
    let built = learner::build(learner, settings.train_on, &settings, network)?.giving(Output::Both);
    let from_files = settings.geometry.from_files(|| {
        let stretched = FromFiles::stretched(settings.side, Filter::Bilinear);
        let about = format!("{}; references change lightly after that, the authors' before", stretched.about);
        if settings.augmented { FromFiles { about, ..stretched } } else { stretched }
    });
    Ok(built.reading_files(from_files))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let plan = settings.plan(cell.learnt_from(settings.train_on, false));
    let teacher = settings.backbone.plan().operations(settings.side, settings.block());
    let (shape, tokens) = (settings.shape(), settings.n_tokens() as f64);
    let projector = shape.operations(tokens);
    let entering = plan.n_entering();
    let fit = Operations {
        forward: entering * (1.0 + settings.corrupted) * teacher,
        training: entering * work::TRAINING * projector,
    };
    let (query, evaluations) = (teacher + projector, plan.epochs);
    let bytes = 4.0 * plan.per_step() * shape.kept(tokens);
    let work =
        Work { fit, query, encode: teacher, teacher, evaluations, maps: true, bytes, ..Work::default() };
    Ok(work.on(settings.train_on))
}

struct FoundAd {
    settings: Settings,
}

impl Learner for FoundAd {
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
        let model = FoundAdModel::new(settings, context)?;
        let recipe =
            Recipe::new(settings.plan(normals.len()), rule(settings.learning_rate, settings.weight_decay));
        let network = Some(Network::Transformer(settings.backbone));
        let subject = Subject::of_pictures("foundad", settings, network, &normals.pixels)?;
        let pixels = normals.pixels.to_device(Device::Cpu);
        let mut training = FoundAdTraining { model: &model, pixels, seed: context.seed };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        Ok(Box::new(model))
    }
}

/// Tokens `[n, t, d]`, of length 1 if asked for, of a grid `[n, d, h, w]`.
pub fn tokens(deep: &Tensor, are_unit: bool) -> Tensor {
    let tokens = deep.flatten(2, 3).transpose(1, 2).contiguous();
    if are_unit { unit(&tokens, -1) } else { tokens }
}

/// Mean squared difference over the values of each token, `[n, t]`.
pub fn errors(projected: &Tensor, tokens: &Tensor) -> Tensor {
    (projected - tokens).square().mean_dim(-1, false, None::<Kind>)
}

/// Mean of the largest of errors `[n, t]`, or of all if there are fewer: `[n]`.
pub fn image_scores(errors: &Tensor, top: usize) -> Tensor {
    let count = (top as i64).min(errors.size()[1]);
    errors.topk(count, 1, true, false).0.mean_dim(1, false, None::<Kind>)
}

struct FoundAdModel {
    settings: Settings,
    teacher: Rc<Remembering>,
    store: VarStore,
    projector: Projector,
    device: Device,
}

impl FoundAdModel {
    fn new(settings: &Settings, context: &Context) -> Result<FoundAdModel> {
        let teacher = context.seeing(settings.sight())?;
        let store = VarStore::new(context.device);
        let projector = Projector::new(&store.root(), settings.shape());
        initial::initialise_truncated(&store, context.seed, 0.02, 2.0);
        projector.fix_table();
        Ok(FoundAdModel { settings: settings.clone(), teacher, store, projector, device: context.device })
    }

    fn tokens(&self, features: &Features) -> Tensor {
        tokens(&features.deep, self.settings.unit_tokens)
    }
}

impl Detector for FoundAdModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let features: &Features = queries.made()?;
        let (n, _, h, w) = features.deep.size4()?;
        let errors = tch::no_grad(|| {
            let tokens = self.tokens(features);
            errors(&self.projector.forward(&tokens), &tokens)
        });
        let maps = grid::upsample(&errors.view([n, h, w]), queries.pictures().size(), false);
        let scores = image_scores(&errors, self.settings.top);
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }
}
