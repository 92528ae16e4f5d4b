//! Auto-encoder guided by a one-class support vector machine, "OgAE" (Pinon and Lartizien, arXiv 2507.21164).
//!
//! Half of each batch supports a machine that is solved exactly; codes of the other half that fall outside it are
//! pushed, or it is stretched, until they lie inside. The authors differentiate through the solver; here its weights
//! are constants, as their pseudo-code has it. Whole pictures are resized to `input`, as in their experiment on
//! digits; their experiment on brains cuts patches.

use std::borrow::Borrow;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::contract::{Built, Context, Detector, Encoded, Entry, Fitted, Observer, Output, Prediction};
use super::part::learner::{self, Fixed, Learner};
use super::part::ocsvm::{self, Dual, OneClass, Points};
use super::part::trainer::{self, Plan, Recipe, Step, StepFigures, Subject, Training};
use super::part::{grid, picture};
use super::train_on::TrainOn;
use super::work::{CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::initial;
use crate::network::layer::Norm;
use crate::network::optimiser::{Adam, Optimiser, Rule};
use crate::network::small_autoencoder::{self, SmallAutoEncoder};

/// Epochs after which training is observed.
const EPOCHS: u64 = 5;

/// Keeps a dimension that has collapsed from being divided by zero.
const LEAST_DEVIATION: f64 = 1e-6;

/// Auto-encoder whose codes a one-class SVM guides; the distance outside the SVM is anomalous.
pub const ENTRY: Entry = Entry {
    name: "ogae",
    about: "auto-encoder whose codes a one-class SVM pulls together; distance outside the SVM",
    paper: "arXiv 2507.21164",
    regime: "R5 (or R1)",
    needs: "nothing",
    cost: "one training per task: 100 epochs of a few MFLOP a picture; negligible per query",
    trial: "input = 16\nlatent = 8\nepochs = 3\nbatch = 8",
    build,
    work: Some(work),
};

/// Which half of a batch learns from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guidance {
    /// Codes move into the machine.
    Compactor,
    /// The machine's own codes move until it takes the others in.
    Expander,
    /// Both.
    Both,
}

/// Width of the machine's kernel `exp(-gamma |a - b|^2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gamma {
    /// One over dimensions times the mean variance of a dimension.
    Scale,
    /// A quarter over dimensions.
    Quarter,
}

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which normals of the target it learns from.
    pub train_on: TrainOn,
    /// Under `train_on = "supports"`: learn from 22 views of each support. The authors have no augmentation.
    pub views: bool,
    /// Side that pictures are resized to, a multiple of 4; maps are upsampled back.
    pub input: i64,
    /// Colours that it sees: `auto`, `grey` or `rgb`.
    pub colour: picture::Colour,
    /// Length of the code.
    pub latent: i64,
    /// Share of points that the machine may leave outside, at most.
    pub nu: f64,
    /// Width of the kernel of the machine: `scale` or `quarter`.
    pub gamma: Gamma,
    /// Weight of the guidance beside the squared error.
    pub lambda: f64,
    /// Which half of a batch learns from the machine: `compactor`, `expander` or `both`.
    pub guidance: Guidance,
    /// Step size of the optimiser.
    pub learning_rate: f64,
    /// Passes over the training pictures.
    pub epochs: u64,
    /// Pictures a step; half of them support the machine.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            train_on: TrainOn::Normals,
            views: true,
            input: 28,
            colour: picture::Colour::Auto,
            latent: 32,
            nu: 0.03,
            gamma: Gamma::Scale,
            lambda: 0.1,
            guidance: Guidance::Expander,
            learning_rate: 1e-3,
            epochs: 100,
            batch: 128,
        }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of ogae")?;
    let Settings { input, latent, nu, lambda, learning_rate, epochs, batch, .. } = settings;
    ensure!(input >= 4 && input % 4 == 0, "ogae: input must be a multiple of 4, it is {input}");
    ensure!(latent >= 1, "ogae: latent must be at least 1");
    ensure!(nu > 0.0 && nu <= 1.0, "ogae: nu must be above 0 and at most 1");
    ensure!(lambda >= 0.0, "ogae: lambda must not be negative");
    ensure!(learning_rate > 0.0, "ogae: learning_rate must be positive");
    ensure!(epochs >= 1, "ogae: epochs must be at least 1");
    ensure!(
        (4..=512).contains(&batch),
        "ogae: batch must be 4 to 512, because each half is solved as one SVM"
    );
    let built = learner::build(Guided { settings: settings.clone() }, settings.train_on, &settings, None)?;
    Ok(built.giving(Output::Both))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let settings: Settings = serde_json::from_str(settings)?;
    let n = cell.learnt_from(settings.train_on, settings.views && settings.train_on == TrainOn::Supports);
    let plan = Plan::of_passes(n, settings.batch, settings.epochs, EPOCHS);
    let query = small_autoencoder::operations(settings.colour.at_most(), settings.input, settings.latent);
    Ok(plan.work(0.0, query).on(settings.train_on))
}

struct Guided {
    settings: Settings,
}

impl Learner for Guided {
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
        ensure!(n >= 4, "ogae: {n} pictures are too few, each half of a batch needs two; set views = true");
        let channels = settings.colour.channels(&pictures);
        let coder = OgaeNetwork::new(settings, channels, context);
        let inputs = picture::resized(&pictures.to_device(context.device), channels, settings.input);
        let adam = Adam { learning_rate: settings.learning_rate, ..Adam::default() };
        let plan = Plan::of_passes(n, settings.batch, settings.epochs, EPOCHS);
        let subject = Subject::of_pictures("ogae", settings, None, &normals.pixels)?;
        let mut training = OgaeTraining { coder: &coder, inputs: &inputs, settings };
        trainer::train(&mut training, &Recipe::new(plan, Rule::Adam(adam)), &subject, context, observer)?;
        let boundary = Boundary::new(&coder, &inputs, settings)?;
        Ok(Box::new(OgaeModel { coder, boundary }))
    }
}

/// The auto-encoder learns to give back `inputs`, `[n, c, side, side]`, under guidance.
struct OgaeTraining<'a> {
    coder: &'a OgaeNetwork,
    inputs: &'a Tensor,
    settings: &'a Settings,
}

impl Training for OgaeTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.coder.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let network = &self.coder.network;
        let x = self.inputs.index_select(0, &step.indices(self.inputs.device()));
        let codes = network.encode(&x, Norm::Batch);
        let error = (network.decode(&codes, Norm::Batch) - x).square().mean(None::<Kind>);
        let guided = guidance(&codes, self.settings);
        let loss = &error + self.settings.lambda * &guided;
        optimiser.step(&loss);
        Ok(vec![("loss", loss), ("squared-error", error), ("guidance", guided)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        let boundary = Boundary::new(self.coder, self.inputs, self.settings)?;
        Ok(Box::new(Fixed::new(OgaeModel { coder: self.coder, boundary })))
    }
}

/// How far codes of one half of `codes`, `[n, latent]`, fall outside the machine that the other half supports: mean
/// of what is below zero. Each half is standardised by itself.
pub fn guidance(codes: &Tensor, settings: &Settings) -> Tensor {
    let half = codes.size()[0] / 2;
    let [supporting, judged] = [0, half].map(|start| standardised(&codes.narrow(0, start, half)));
    let gamma = gamma(settings.gamma, &supporting);
    let dual = dual_of(&supporting, gamma, settings.nu);
    let (supporting, judged) = match settings.guidance {
        Guidance::Compactor => (supporting.detach(), judged),
        Guidance::Expander => (supporting, judged.detach()),
        Guidance::Both => (supporting, judged),
    };
    let alpha: Vec<f32> = dual.alpha.iter().map(|&alpha| alpha as f32).collect();
    let alpha = Tensor::from_slice(&alpha).to_device(codes.device());
    let margin: Vec<f32> = (0..half as usize).map(|index| f32::from(u8::from(dual.is_free(index)))).collect();
    let margin = Tensor::from_slice(&margin).to_device(codes.device());
    let own = radial(&supporting, &supporting, gamma).matmul(&alpha);
    let n_margin = margin.sum(None::<Kind>).double_value(&[]);
    let rho = match n_margin > 0.0 {
        true => (own * margin).sum(None::<Kind>) / n_margin,
        false => Tensor::from(dual.rho as f32).to_device(codes.device()),
    };
    let inside = radial(&judged, &supporting, gamma).matmul(&alpha) - rho;
    (-inside).relu().mean(None::<Kind>)
}

fn dual_of(supporting: &Tensor, gamma: f64, nu: f64) -> Dual {
    let points = points(supporting);
    let column = |index: usize| {
        (0..points.len()).map(|other| ocsvm::radial(points.row(other), points.row(index), gamma)).collect()
    };
    ocsvm::solve(points.len(), nu, column).expect("settings were checked, and batches are not empty")
}

/// Rows of `codes`, out of libtorch.
fn points(codes: &Tensor) -> Points {
    let flat = codes.detach().to_device(Device::Cpu).to_kind(Kind::Double).contiguous().flatten(0, -1);
    let values = Vec::try_from(flat).expect("a flat tensor of doubles");
    Points::new(values, codes.size()[1] as usize).expect("whole rows")
}

/// Each dimension with mean 0 and deviation 1 over the rows.
fn standardised(codes: &Tensor) -> Tensor {
    let (deviation, mean) = statistics(codes);
    (codes - mean) / deviation
}

/// Deviation and mean of each dimension, `[1, latent]`.
fn statistics(codes: &Tensor) -> (Tensor, Tensor) {
    let deviation = codes.std_dim([0i64].as_slice(), false, true) + LEAST_DEVIATION;
    (deviation, codes.mean_dim([0i64].as_slice(), true, None::<Kind>))
}

fn gamma(rule: Gamma, codes: &Tensor) -> f64 {
    let dimensions = codes.size()[1] as f64;
    match rule {
        Gamma::Quarter => 0.25 / dimensions,
        Gamma::Scale => {
            let variance = codes.detach().var_dim([0i64].as_slice(), false, false).mean(None::<Kind>);
            1.0 / (dimensions * variance.double_value(&[]).max(1e-12))
        }
    }
}

/// Kernel of rows of `a`, `[n, d]`, and rows of `b`, `[m, d]`: `[n, m]`.
fn radial(a: &Tensor, b: &Tensor, gamma: f64) -> Tensor {
    let distance = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum_dim_intlist(2i64, false, None::<Kind>);
    (distance * -gamma).exp()
}

/// A trained auto-encoder.
struct OgaeNetwork {
    store: VarStore,
    network: SmallAutoEncoder,
    channels: i64,
    input: i64,
}

impl OgaeNetwork {
    fn new(settings: &Settings, channels: i64, context: &Context) -> OgaeNetwork {
        let store = VarStore::new(context.device);
        let network = SmallAutoEncoder::new(&store.root(), channels, settings.input, settings.latent);
        initial::initialise_plain(&store, context.seed);
        OgaeNetwork { store, network, channels, input: settings.input }
    }

    fn codes(&self, inputs: &Tensor) -> Tensor {
        let parts = inputs.split(64, 0);
        let codes: Vec<Tensor> = parts.iter().map(|part| self.network.encode(part, Norm::Stored)).collect();
        Tensor::cat(&codes, 0)
    }
}

/// A machine round the codes of all that was learnt from.
struct Boundary {
    machine: OneClass,
    deviation: Tensor,
    mean: Tensor,
}

impl Boundary {
    fn new(coder: &OgaeNetwork, inputs: &Tensor, settings: &Settings) -> Result<Boundary> {
        tch::no_grad(|| {
            let codes = coder.codes(inputs);
            let (deviation, mean) = statistics(&codes);
            let codes = (codes - &mean) / &deviation;
            let gamma = gamma(settings.gamma, &codes);
            let machine = OneClass::fit(points(&codes), gamma, settings.nu)?;
            Ok(Boundary { machine, deviation, mean })
        })
    }
}

/// A coder, owned or as it stands in training, and its machine.
struct OgaeModel<C> {
    coder: C,
    boundary: Boundary,
}

impl<C: Borrow<OgaeNetwork>> Detector for OgaeModel<C> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        tch::no_grad(|| {
            let coder = self.coder.borrow();
            let OgaeNetwork { store, network, channels, input } = coder;
            let x = picture::resized(&queries.on(store.device()), *channels, *input);
            let codes = coder.codes(&x);
            let points = points(&((&codes - &self.boundary.mean) / &self.boundary.deviation));
            let score = |index: usize| -self.boundary.machine.decide(points.row(index));
            let errors =
                (network.decode(&codes, Norm::Stored) - x).square().mean_dim(1i64, false, None::<Kind>);
            let maps = grid::to_maps(&grid::upsample(&errors, queries.size(), false))?;
            Ok(Prediction::Both(maps, (0..points.len()).map(score).collect()))
        })
    }
}
