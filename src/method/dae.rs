//! Denoising auto-encoder with coarse noise (Kascenas et al., MIDL 2022; arXiv 2301.08330, Medical Image Analysis
//! 2023): it learns to remove blobs of noise, and at the test takes an anomaly for one.
//!
//! Pictures keep their size and are 0 to 1; the authors divide each MRI sequence by a percentile of its volume.
//! Grey pictures have one channel: three alike with noise of their own would give the noise away. The authors keep
//! the step with the least loss on held-out slices; here the last one counts.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Prediction};
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Order, Plan, Recipe, Schedule, Step, StepFigures, Subject, Training};
use super::part::{grid, picture};
use super::train_on::TrainOn;
use super::work::{CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::initial;
use crate::network::optimiser::{Adam, Decay, Optimiser, Rounding, Rule};
use crate::network::unet::{Shape, UNet};
use crate::random::Stream;

/// Epochs after which training is observed.
const EPOCHS: u64 = 5;

/// Steps between changes of the learning rate.
const RATE_STEPS: u64 = 32;

/// Largest norm of the gradient.
const CLIP: f64 = 0.5;

/// Denoising auto-encoder: what it would change is anomalous.
pub const ENTRY: Entry = Entry {
    name: "dae",
    about: "denoising U-Net trained on coarse noise; what it would change is anomalous",
    paper: "Kascenas et al., arXiv 2301.08330",
    regime: "R5 (or R1)",
    needs: "nothing",
    cost: "one training per task: 67,200 steps of 16 pictures, 55 GFLOP each at 128 px; 18 GFLOP a query",
    trial: "width = 4\ndepth = 3\nsteps = 4\nbatch = 4\nresolution = 4",
    build,
    work: Some(work),
};

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target it learns from.
    pub train_on: TrainOn,
    /// Under `train_on = "supports"`: learn from 22 views of each support. The authors have no augmentation.
    pub views: bool,
    /// Colours that it sees: `auto`, `grey` or `rgb`.
    pub colour: picture::Colour,
    /// Side of the grid that noise is drawn on before it is upsampled to the picture; at most the picture's side,
    /// where it is noise by the pixel.
    pub resolution: i64,
    /// Deviation of the noise on its grid, pictures being 0 to 1.
    pub sigma: f64,
    /// Foreground is where the sum over channels is above this; noise, loss and map stay inside.
    pub foreground: f64,
    /// Levels of the U-Net.
    pub depth: i64,
    /// Filters of its first level.
    pub width: i64,
    /// Largest step size.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Half a period of the cosine that the learning rate follows down and up again, in epochs of 32 steps.
    pub cosine_epochs: u64,
    /// Training steps.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Normals,
            views: true,
            colour: picture::Colour::Auto,
            resolution: 16,
            sigma: 0.2,
            foreground: 0.01,
            depth: 4,
            width: 64,
            learning_rate: 1e-4,
            weight_decay: 1e-5,
            cosine_epochs: 100,
            steps: 67_200,
            batch: 16,
        }
    }
}

impl Settings {
    fn shape(&self, channels: i64) -> Shape {
        Shape { channels, width: self.width, depth: self.depth }
    }

    fn plan(&self, pictures: usize) -> Plan {
        let order = Order::All { items: pictures, batch: self.batch };
        Plan { order, steps: self.steps, epochs: EPOCHS.min(self.steps) }
    }

    /// As the authors: the learning rate follows a cosine down and, past its half period, up again.
    fn recipe(&self, plan: Plan) -> Recipe {
        let adam = Adam {
            learning_rate: self.learning_rate,
            decay: Decay::Coupled(self.weight_decay),
            amsgrad: true,
            rounding: Rounding::Cpp,
            ..Adam::default()
        };
        let schedule = Schedule::Cosine { half_period: self.cosine_epochs, every: RATE_STEPS };
        Recipe { plans: vec![plan], rule: Rule::Adam(adam), schedule, clip: Some(CLIP) }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of dae")?;
    ensure!(
        settings.resolution >= 2,
        "dae: resolution must be at least 2, or there is nothing to interpolate"
    );
    ensure!(settings.sigma > 0.0, "dae: sigma must be positive");
    ensure!((1..=8).contains(&settings.depth), "dae: depth must be 1 to 8");
    ensure!(settings.width >= 1, "dae: width must be at least 1");
    ensure!(settings.learning_rate > 0.0, "dae: learning_rate must be positive");
    ensure!(settings.weight_decay >= 0.0, "dae: weight_decay must not be negative");
    ensure!(settings.cosine_epochs >= 1, "dae: cosine_epochs must be at least 1");
    ensure!(settings.steps >= 1, "dae: steps must be at least 1");
    ensure!(settings.batch >= 1, "dae: batch must be at least 1");
    learner::build(Denoising { settings: settings.clone() }, settings.train_on, &settings, None)
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views && settings.train_on == TrainOn::Supports);
    let query = settings.shape(settings.colour.at_most()).operations(cell.size);
    Ok(settings.plan(n).work(0.0, query).on(settings.train_on))
}

struct Denoising {
    settings: Settings,
}

impl Learner for Denoising {
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
        let (side, pictures) =
            (normals.size(), picture::learnt_from(normals, settings.train_on, settings.views));
        ensure!(
            settings.resolution <= side,
            "dae: resolution is {} and pictures have {side} pixels a side; lower it",
            settings.resolution
        );
        let shape = settings.shape(settings.colour.channels(&pictures));
        ensure!(
            side > shape.multiple(),
            "dae: {} levels leave nothing of {side} pixels; lower depth",
            settings.depth
        );
        let pictures = pictures.to_device(context.device);
        let model = DaeModel::new(settings, shape, context);
        let plan = settings.plan(pictures.size()[0] as usize);
        let subject = Subject::of_pictures("dae", settings, None, &normals.pixels)?;
        let mut training = DaeTraining { model: &model, settings, pictures, seed: context.seed };
        trainer::train(&mut training, &settings.recipe(plan), &subject, context, observer)?;
        Ok(Box::new(model))
    }
}

/// The network learns to give back `pictures`, `[n, 3, side, side]`, from under noise.
struct DaeTraining<'a> {
    model: &'a DaeModel,
    settings: &'a Settings,
    pictures: Tensor,
    seed: u64,
}

impl Training for DaeTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let (model, Settings { resolution, sigma, .. }) = (self.model, self.settings);
        let device = self.pictures.device();
        let clean = self.pictures.index_select(0, &step.indices(device));
        let clean = picture::unit(&clean, model.channels);
        let mask = model.foreground(&clean);
        let mut stream = Stream::new(self.seed, "coarse noise", step.number);
        let noise = coarse_noise(&clean.size(), *resolution, *sigma, &mut stream, device);
        let restored = model.network.forward(&(&clean + noise * &mask));
        let loss = ((restored - clean).square() * mask).mean(None::<Kind>);
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::new(self.model)))
    }
}

/// Noise `[n, c, side, side]`: normal values of deviation `sigma` on a grid of `resolution`, upsampled bilinearly
/// (corners aligned) and rolled round by one random offset, the same for all.
pub fn coarse_noise(
    size: &[i64],
    resolution: i64,
    sigma: f64,
    stream: &mut Stream,
    device: Device,
) -> Tensor {
    let (n, channels, side) = (size[0], size[1], size[3]);
    let count = n * channels * resolution * resolution;
    let values: Vec<f32> = (0..count).map(|_| (sigma * stream.normal()) as f32).collect();
    let offsets = [stream.below(side as usize) as i64, stream.below(side as usize) as i64];
    let drawn = Tensor::from_slice(&values).view([n, channels, resolution, resolution]).to_device(device);
    drawn.upsample_bilinear2d([side, side], true, None, None).roll(offsets, [2i64, 3])
}

/// A trained U-Net.
struct DaeModel {
    store: VarStore,
    network: UNet,
    channels: i64,
    threshold: f64,
}

impl DaeModel {
    fn new(settings: &Settings, shape: Shape, context: &Context) -> DaeModel {
        let store = VarStore::new(context.device);
        let network = UNet::new(&store.root(), shape);
        initial::initialise_plain(&store, context.seed);
        DaeModel { store, network, channels: shape.channels, threshold: settings.foreground }
    }

    /// 1 where there is something, `[n, 1, h, w]`.
    fn foreground(&self, pictures: &Tensor) -> Tensor {
        pictures.sum_dim_intlist(1i64, true, None::<Kind>).gt(self.threshold).to_kind(Kind::Float)
    }
}

impl Detector for DaeModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        tch::no_grad(|| {
            let pictures = picture::unit(&queries.on(self.store.device()), self.channels);
            // Outside the picture counts as background.
            let mean = self.foreground(&pictures).avg_pool2d([5, 5], [1, 1], [2, 2], false, true, None);
            let eroded = mean.gt(0.95).to_kind(Kind::Float);
            let changed = (self.network.forward(&pictures) - pictures).abs() * eroded;
            Ok(Prediction::Maps(grid::to_maps(&median(&changed.mean_dim(1i64, true, None::<Kind>)))?))
        })
    }
}

/// Medians of 5 x 5, `[n, 1, h, w]` to `[n, h, w]`, reflected at the border.
fn median(maps: &Tensor) -> Tensor {
    let (n, height, width) = (maps.size()[0], maps.size()[2], maps.size()[3]);
    let windows = maps.reflection_pad2d([2, 2, 2, 2]).im2col([5, 5], [1, 1], [0, 0], [1, 1]);
    windows.median_dim(1, false).0.view([n, height, width])
}
