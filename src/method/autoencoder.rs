//! The plain auto-encoder and the variational one in MedIAnomaly's configuration (arXiv 2404.04518): the floor
//! under every method that reconstructs.
//!
//! Grey pictures are learnt in one channel, coloured ones in three. The last epoch counts. At scoring the
//! variational one takes the mean of its code; the authors sample there too, which makes scores noisy.

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::part::learner::{self, Fixed, Learner};
use super::part::trainer::{self, Plan, Recipe, Step, StepFigures, Subject, Training};
use super::part::{grid, picture};
use super::train_on::TrainOn;
use super::work::{CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::autoencoder::{AutoEncoder, Shape};
use crate::network::initial;
use crate::network::layer::Norm;
use crate::network::optimiser::{Adam, Optimiser, Rule};
use crate::random::Stream;

/// Epochs after which training is observed.
const EPOCHS: u64 = 20;

/// Auto-encoder; the squared error of the reconstruction is anomalous.
pub const AE: Entry = Entry {
    name: "ae",
    about: "auto-encoder of 64-pixel pictures; squared error of the reconstruction",
    paper: "MedIAnomaly, arXiv 2404.04518",
    regime: "R5 (or R1)",
    needs: "nothing",
    cost: "one training per task: 250 epochs of 0.08 GFLOP a picture; 0.03 GFLOP a query",
    trial: "hidden = 64\nepochs = 4\nbatch = 4",
    build: |settings| build("ae", settings, false),
    work: Some(work),
};

/// Variational auto-encoder; the squared error of the reconstruction is anomalous.
pub const VAE: Entry = Entry {
    name: "vae",
    about: "variational auto-encoder of 64-pixel pictures; squared error of the reconstruction",
    build: |settings| build("vae", settings, true),
    ..AE
};

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target it learns from.
    pub train_on: TrainOn,
    /// Under `train_on = "supports"`: learn from 22 views of each support. The authors have no augmentation.
    pub views: bool,
    /// Side that pictures are resized to, a multiple of 16; maps are upsampled back.
    pub input: i64,
    /// Colours that it sees: `auto`, `grey` or `rgb`.
    pub colour: picture::Colour,
    /// Filters of the outermost layer; 2, 4 and 4 times as many follow.
    pub width: i64,
    /// Width of the fully connected layers.
    pub hidden: i64,
    /// Length of the code.
    pub latent: i64,
    /// Weight of the divergence beside the squared error; `vae` alone has one.
    pub kl_weight: f64,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Passes over the training pictures: 250, but 600 for brain MRI.
    pub epochs: u64,
    /// Pictures a step.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Normals,
            views: true,
            input: 64,
            colour: picture::Colour::Auto,
            width: 16,
            hidden: 1024,
            latent: 16,
            kl_weight: 0.005,
            learning_rate: 1e-3,
            epochs: 250,
            batch: 64,
        }
    }
}

impl Settings {
    fn shape(&self, channels: i64, variational: bool) -> Shape {
        let Settings { input, width, hidden, latent, .. } = *self;
        Shape { channels, side: input, width, hidden, latent, variational }
    }
}

fn build(name: &'static str, settings: toml::Table, variational: bool) -> Result<Built> {
    ensure!(
        variational || !settings.contains_key("kl_weight"),
        "ae: it has no divergence to weigh; kl_weight belongs to vae"
    );
    let settings: Settings = settings.try_into().with_context(|| format!("settings of {name}"))?;
    let Settings { input, width, hidden, latent, kl_weight, learning_rate, epochs, batch, .. } = settings;
    ensure!(input >= 16 && input % 16 == 0, "{name}: input must be a multiple of 16, it is {input}");
    ensure!(width >= 1 && hidden >= 1 && latent >= 1, "{name}: width, hidden and latent must be at least 1");
    ensure!(kl_weight >= 0.0, "{name}: kl_weight must not be negative");
    ensure!(learning_rate > 0.0, "{name}: learning_rate must be positive");
    ensure!(epochs >= 1, "{name}: epochs must be at least 1");
    ensure!(batch >= 2, "{name}: batch must be at least 2, batch norm needs it");
    let reconstruction = Reconstruction { name, settings: settings.clone(), variational };
    let built = learner::build(reconstruction, settings.train_on, &settings, None)?;
    Ok(built.giving(Output::Both))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views && settings.train_on == TrainOn::Supports);
    let plan = Plan::of_passes(n, settings.batch, settings.epochs, EPOCHS);
    let query = settings.shape(settings.colour.at_most(), false).operations();
    Ok(plan.work(0.0, query).on(settings.train_on))
}

struct Reconstruction {
    name: &'static str,
    settings: Settings,
    variational: bool,
}

impl Learner for Reconstruction {
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
        let n = pictures.size()[0] as usize;
        ensure!(n >= 2, "{}: one picture is too few, batch norm needs two; set views = true", self.name);
        let channels = settings.colour.channels(&pictures);
        let model = AutoEncoderModel::new(settings, channels, self.variational, context);
        let inputs = model.inputs(&pictures.to_device(context.device));
        let adam = Adam { learning_rate: settings.learning_rate, ..Adam::default() };
        let plan = Plan::of_passes(n, settings.batch, settings.epochs, EPOCHS);
        let subject = Subject::of_pictures(self.name, settings, None, &normals.pixels)?;
        let (kl_weight, seed) = (settings.kl_weight, context.seed);
        let mut training =
            AutoEncoderTraining { model: &model, inputs, kl_weight, variational: self.variational, seed };
        trainer::train(&mut training, &Recipe::new(plan, Rule::Adam(adam)), &subject, context, observer)?;
        Ok(Box::new(model))
    }
}

/// Encoder and decoder learn to give back `inputs`, `[n, c, side, side]`.
struct AutoEncoderTraining<'a> {
    model: &'a AutoEncoderModel,
    inputs: Tensor,
    kl_weight: f64,
    variational: bool,
    seed: u64,
}

impl Training for AutoEncoderTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let network = &self.model.network;
        let x = self.inputs.index_select(0, &step.indices(self.inputs.device()));
        let code = network.encode(&x, Norm::Batch);
        let sampled = code.sample(&noise(&code.mean, self.seed, step.number));
        let error = (network.decode(&sampled, Norm::Batch) - &x).square().mean(None::<Kind>);
        let divergence = code.divergence();
        let loss = &error + self.kl_weight * &divergence;
        optimiser.step(&loss);
        let mut figures = vec![("loss", loss)];
        if self.variational {
            figures.extend([("squared-error", error), ("divergence", divergence)]);
        }
        Ok(figures)
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(Fixed::new(self.model)))
    }
}

/// Standard normal values of the shape of `like`, drawn for one step.
fn noise(like: &Tensor, seed: u64, step: u64) -> Tensor {
    let mut stream = Stream::new(seed, "noise on codes", step);
    let values: Vec<f32> = (0..like.numel()).map(|_| stream.normal() as f32).collect();
    Tensor::from_slice(&values).view(like.size().as_slice()).to_device(like.device())
}

/// A trained auto-encoder.
struct AutoEncoderModel {
    store: VarStore,
    network: AutoEncoder,
    channels: i64,
    input: i64,
}

impl AutoEncoderModel {
    fn new(settings: &Settings, channels: i64, variational: bool, context: &Context) -> AutoEncoderModel {
        let store = VarStore::new(context.device);
        let network = AutoEncoder::new(&store.root(), settings.shape(channels, variational));
        initial::initialise_plain(&store, context.seed);
        AutoEncoderModel { store, network, channels, input: settings.input }
    }

    /// -1 to 1.
    fn inputs(&self, pictures: &Tensor) -> Tensor {
        picture::resized(pictures, self.channels, self.input) * 2.0 - 1.0
    }
}

impl Detector for AutoEncoderModel {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        tch::no_grad(|| {
            let x = self.inputs(&queries.on(self.store.device()));
            let decoded = self.network.decode(&self.network.encode(&x, Norm::Stored).mean, Norm::Stored);
            let errors = (decoded - x).square().mean_dim(1i64, false, None::<Kind>);
            let scores = grid::to_scores(&errors.mean_dim([1i64, 2].as_slice(), false, None::<Kind>))?;
            Ok(Prediction::Both(grid::to_maps(&grid::upsample(&errors, queries.size(), false))?, scores))
        })
    }
}
