//! RegAD: registration-based few-shot anomaly detection (arXiv 2207.10361, ECCV 2022).
//!
//! A backbone with spatial transformers learns, on normals of other tasks, to make two pictures of one kind agree.
//! On the target nothing trains: its supports, in 22 views, give one Gaussian per position. What D2-4FAD is most
//! directly compared with: it sees exactly the same.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::contract::{
    Built, Context, Detector, Encoded, Entry, Fitted, Method, Observer, Prediction, TrainTask,
};
use super::part::gaussian::Regular;
use super::part::positionwise::{self, Fitting, Positionwise};
use super::part::trainer::{self, Plan, Recipe, Schedule, Subject};
use super::work::{self, CellSize, Operations, Work};
use crate::episode::batch::Pictures;
use crate::method::part::grid;
use crate::method::views;
use crate::network::optimiser::{Rule, Sgd};
use crate::network::spatial_transformer::operations as transformer;
use crate::network::{Backbone, Input, Network};
use crate::regime::Regime;
use model::RegadModel;
use training::RegadTraining;

/// Backbone, transformers, Siamese head.
pub mod model;
/// Batches and steps.
mod training;

/// RegAD: features registered on other tasks, one Gaussian per position of the supports.
pub const ENTRY: Entry = Entry {
    name: "regad",
    about: "features registered by training on other tasks, one Gaussian per position of the supports",
    paper: "arXiv 2207.10361 (ECCV 2022)",
    regime: "R2",
    needs: "ImageNet resnet18 (as an extension, efficientnet_lite0)",
    cost: "one training per task and shots: 50 epochs of 1 + K pictures a query; 1 GFLOP a query at 128 px; \
           at 224 px Gaussians take 0.5 (K = 2) to 2.8 GB (K = 8) while they are fitted, 0.3 to 1.8 GB then",
    trial: "epochs = 1\nbatch = 4",
    build,
    work: Some(work),
};

/// Added to the diagonal of covariances.
const RIDGE: f64 = 0.01;

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Trained further from the teacher's weights; resnet18 or resnet34, or as an extension efficientnet_lite0.
    pub backbone: Backbone,
    /// First step size, which falls to zero along half a cosine.
    pub learning_rate: f64,
    /// Momentum of the gradient descent.
    pub momentum: f64,
    /// Passes over the training queries.
    pub epochs: u64,
    /// Queries per step, all of one task; an incomplete last batch is dropped unless it is its task's only one.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { backbone: Backbone::Resnet18, learning_rate: 1e-4, momentum: 0.9, epochs: 50, batch: 32 }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of regad")?;
    ensure!(
        !settings.backbone.has_bottlenecks(),
        "regad: backbone must be resnet18 or resnet34, the covariances of {} take too much memory",
        settings.backbone.name()
    );
    ensure!(settings.epochs >= 1, "regad: epochs must be at least 1");
    ensure!(settings.batch >= 2, "regad: batch must be at least 2, batch norm needs it");
    ensure!(settings.learning_rate > 0.0, "regad: learning_rate must be positive");
    let network = Some(Network::Backbone(settings.backbone));
    let built = Built::new(Regad { settings: settings.clone() }, &settings, Regime::OtherNormals, network)?;
    Ok(built.following(settings.backbone))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { backbone, epochs, .. } = serde_json::from_str(settings)?;
    let shots = cell.shots as f64;
    let channels = backbone.channels();
    let transformers = (0..3).map(|stage| transformer(channels[stage], cell.size / (4 << stage)));
    let network = work::to_stage_three(backbone, cell.size) + transformers.sum::<f64>();
    let passes = epochs as f64 * cell.n_train as f64 * (1.0 + shots);
    let views = cell.shots * views::COUNT;
    let gaussians = positionwise::work(cell.positions(4), views, channels[..3].iter().sum());
    let adapting = views as f64 * (network + gaussians.each) + gaussians.factoring;
    Ok(Work {
        fit: Operations { forward: 0.0, training: passes * work::TRAINING * network },
        adapt: Operations { forward: adapting, training: 0.0 },
        query: network + gaussians.distance,
        encode: network,
        teacher: 0.0,
        evaluations: epochs,
        maps: true,
        bytes: gaussians.bytes,
    })
}

struct Regad {
    settings: Settings,
}

impl Method for Regad {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        let side = tasks.first().context("regad needs train normals of other tasks")?.pictures.size();
        let teacher = context.teacher(self.settings.backbone, Input::Unit)?;
        let model = RegadModel::new(&teacher, self.settings.backbone, side, context);
        let Settings { learning_rate, momentum, epochs, batch, .. } = self.settings;
        let order = training::order(tasks, batch);
        let n_batches = order.n_batches() as u64;
        ensure!(n_batches > 0, "regad: no task has two train normals to learn from; curate more");
        let rule = Rule::Sgd(Sgd { learning_rate, momentum, ..Sgd::default() });
        let schedule = Schedule::Cosine { half_period: epochs, every: n_batches };
        let recipe = Recipe { schedule, ..Recipe::new(Plan::of_observed_passes(order, epochs), rule) };
        let network = Some(Network::Backbone(self.settings.backbone));
        let subject = Subject::of_tasks("regad", &self.settings, network, tasks)?;
        let mut training = RegadTraining { model: &model, tasks, shots: context.shots };
        trainer::train(&mut training, &recipe, &subject, context, observer)?;
        Ok(Box::new(model))
    }
}

impl Fitted for RegadModel {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(Encoded::new(queries, Box::new(self.joined(&queries.pixels))))
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "regad needs at least one support");
        let views = views::augmented(&supports.pixels);
        let mut fitting = Fitting::default();
        for part in views.split(32, 0) {
            fitting.add(&self.joined(&part));
        }
        let normal = fitting.finish(Regular { shrink: false, ridge: RIDGE }).context("regad")?;
        Ok(Box::new(RegadDetector { normal }))
    }
}

/// A model that has seen the supports.
struct RegadDetector {
    normal: Positionwise,
}

impl Detector for RegadDetector {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let distance = self.normal.distance(queries.made()?);
        let side = queries.pictures().size();
        Ok(Prediction::Maps(grid::to_maps(&grid::upsample(&distance, side, false))?))
    }

    fn bytes(&self) -> usize {
        self.normal.bytes()
    }
}

impl RegadModel {
    /// Registered features of pictures of 0 to 255, all stages on the first one's grid, `[n, h/4, w/4, c]`.
    fn joined(&self, pictures: &Tensor) -> Tensor {
        let [first, second, third] = self.registered(pictures);
        grid::channels_last(&grid::joined(&[&first, &second, &third], false))
    }
}
