//! Methods in three steps that make leakage unsayable: fit on training tasks, adapt to supports, score.
//!
//! Queries are pictures without labels, and a score may depend on the model, the supports and that one
//! picture alone; a test scores every method in several batchings to hold that.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tch::{Device, Tensor};

use crate::episode::batch::Pictures;
use crate::maps::MapStack;
use crate::network::precision::Precision;
use crate::network::teacher::{Teacher, Teachers};
use crate::network::{Backbone, Input, Network};
use crate::regime::Regime;
use part::work::{Load, Work};

/// The plain and the variational auto-encoder.
pub mod autoencoder;
/// Queries in batches that fit.
pub mod batches;
/// Trivial scores that expose shortcuts.
pub mod control;
/// Classifying cut and pasted pictures.
pub mod cutpaste;
/// Dual distillation for few-shot anomaly detection.
pub mod d24fad;
/// Denoising auto-encoder with coarse noise.
pub mod dae;
/// Deep nearest neighbours of whole pictures.
pub mod dn2;
/// Deep perceptual auto-encoder.
pub mod dpa;
/// Somebody's program as a method.
pub mod external;
/// One Gaussian of whole pictures.
pub mod gde;
/// Auto-encoder guided by a one-class support vector machine.
pub mod ogae;
/// A Gaussian at each position.
pub mod padim;
/// Parts that several methods share.
pub mod part;
/// Nearest neighbours of patches.
pub mod patchcore;
/// Reverse distillation.
pub mod rd4ad;
/// Registration on other tasks, one Gaussian per position on the target.
pub mod regad;
/// Nearest neighbours of pictures, then of positions.
pub mod spade;
/// Student-teacher feature pyramid matching.
pub mod stfpm;
/// Residuals of a principal subspace.
pub mod subspacead;

/// One training task: its normals and, for each, its supports.
pub struct TrainTask {
    pub name: String,
    pub pictures: Pictures,
    /// Query and its `max_shots` supports, as indices into `pictures`.
    pub pairs: Vec<(usize, Vec<usize>)>,
}

/// What every step may know beside pictures.
#[derive(Clone)]
pub struct Context {
    pub device: Device,
    pub precision: Precision,
    pub seed: u64,
    /// Size of the support set that will be given; methods that see [`Regime::OtherNormals`] alone may use it
    /// while fitting, the others are fitted once for all sizes.
    pub shots: usize,
    /// Where the weights of pretrained networks come from.
    pub teachers: Teachers,
    /// A few normals of other tasks, `[n, 3, h, w]` of 0 to 255, on which a random teacher's batch norms are
    /// calibrated; `None` where weights are given.
    pub calibration: Option<Rc<Tensor>>,
    /// The task held out.
    pub task: String,
    /// What the work is for, shown beside the progress bar.
    pub label: String,
    /// Where a long training keeps its state; methods that cannot be taken up start anew.
    pub keep: Option<Keep>,
}

/// Where and how often a training keeps its state, so that it goes on there after a stop, to the same bits.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Written whole; taken up if it exists. Whoever asked for it removes it when the training's result is safe.
    pub path: PathBuf,
    /// The least time between two states; zero keeps one after every step.
    pub every: Duration,
}

impl Context {
    /// The frozen teacher: weights from the file that was given, else the labelled random stand-in.
    pub fn teacher(&self, backbone: Backbone, input: Input) -> Result<Teacher> {
        let origin = self.teachers.of(Network::Backbone(backbone));
        let teacher = Teacher::new(backbone, input, origin, self.calibration.as_deref(), self.device);
        teacher.map(|teacher| teacher.computing_in(self.precision)).with_context(|| {
            let name = backbone.name();
            format!("the teacher is {name}; each network can have its own file: --teacher {name}=FILE")
        })
    }
}

/// An epoch's figures, by name: `loss` and its parts.
pub type EpochFigures = Vec<(&'static str, f64)>;

/// Looks at a training, for logging and the `published` protocols; a closure will do.
pub trait Observer {
    /// Called after each epoch with the model as it stands.
    fn look(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()>;

    /// Everything it has gathered, to be kept with the training's state.
    fn gathered(&self) -> Result<String> {
        Ok(String::new())
    }

    /// Takes back what an earlier process had gathered.
    fn recall(&mut self, gathered: &str) -> Result<()> {
        let _ = gathered;
        Ok(())
    }
}

/// Does not look.
pub struct Unobserved;

impl Observer for Unobserved {
    fn look(&mut self, _: u64, _: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(u64, &EpochFigures, &dyn Fitted) -> Result<()>> Observer for F {
    fn look(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()> {
        self(epoch, figures, model)
    }
}

/// An untrained method with its settings.
///
/// Several cells may be fitted at once, each on a thread of its own.
pub trait Method: Send + Sync {
    /// Trains on the train normals that [`Built::regime`] names. Methods that do not train return at once.
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>>;
}

/// A trained method.
pub trait Fitted {
    /// Takes in the supports of one episode.
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>>;

    /// Whether that is a training, or of unknown cost, so that the harness does it no more often than it must.
    fn trains_on_supports(&self) -> bool {
        false
    }
}

/// A method ready to score.
pub trait Detector {
    /// Scores each query by itself; higher is more anomalous.
    fn score(&self, queries: &Pictures) -> Result<Prediction>;

    /// Queries that it is given at once, at most; scores do not depend on it.
    fn batch(&self) -> usize {
        16
    }
}

/// What a detector says about a batch of queries.
pub enum Prediction {
    /// One raw map per query, of the queries' size; the protocol makes image scores of them.
    Maps(MapStack),
    /// One score per query, for methods without maps.
    Scores(Vec<f64>),
    /// Raw maps, and image scores by the method's own published rule.
    Both(MapStack, Vec<f64>),
}

/// One method on the list.
pub struct Entry {
    pub name: &'static str,
    /// One line for `medfsad methods`.
    pub about: &'static str,
    pub paper: &'static str,
    /// Its regime under default settings, and what else it can be set to.
    pub regime: &'static str,
    /// Weights and programs it needs, in words.
    pub needs: &'static str,
    /// What a cell costs, in words.
    pub cost: &'static str,
    /// Settings (TOML) under which it fits tiny pictures in a moment; the contract test runs them.
    pub trial: &'static str,
    /// Builds it from settings; a missing key takes its default, an unknown one is an error.
    pub build: fn(toml::Table) -> Result<Built>,
    /// Counts what it does, from its settings as [`Built::settings`] has them; `None` if nobody can know.
    pub work: Option<fn(&str, &Load) -> Result<Work>>,
}

/// A method, its settings as resolved, and what it is to be given.
pub struct Built {
    pub method: Box<dyn Method>,
    pub settings: String,
    pub regime: Regime,
    /// The pretrained network it needs, if any.
    pub network: Option<Network>,
    /// True for the control that is measured against permuted labels.
    pub against_shuffled_labels: bool,
}

impl Built {
    /// A method with settings that serialise to one JSON object.
    pub fn new(
        method: impl Method + 'static,
        settings: &impl serde::Serialize,
        regime: Regime,
        network: Option<Network>,
    ) -> Result<Built> {
        let settings = serde_json::to_string(settings)?;
        Ok(Built { method: Box::new(method), settings, regime, network, against_shuffled_labels: false })
    }
}

/// Every method.
pub const METHODS: &[Entry] = &[
    d24fad::ENTRY,
    dn2::ENTRY,
    gde::ENTRY,
    spade::ENTRY,
    patchcore::ENTRY,
    padim::ENTRY,
    subspacead::ENTRY,
    rd4ad::ENTRY,
    stfpm::ENTRY,
    regad::ENTRY,
    cutpaste::ENTRY,
    autoencoder::AE,
    autoencoder::VAE,
    dae::ENTRY,
    dpa::ENTRY,
    ogae::ENTRY,
    control::RANDOM,
    control::MEAN_INTENSITY,
    control::CONTRAST,
    control::SIZE,
    control::ASPECT,
    control::BORDER,
    control::FILE_SIZE,
    control::PIXEL_MEAN,
    control::LABEL_SHUFFLE,
    external::ENTRY,
];

/// The method of that name, or of the name before a colon: `dae:coarse` is a variant of `dae`, with settings
/// and rows of its own. The error lists the known ones.
pub fn find(name: &str) -> Result<&'static Entry> {
    let base = base_name(name);
    let Some(entry) = METHODS.iter().find(|entry| entry.name == base) else {
        let known: Vec<&str> = METHODS.iter().map(|entry| entry.name).collect();
        bail!("unknown method `{base}` (known: {}; `all` stands for every one)", known.join(", "));
    };
    let variant = name.strip_prefix(base).and_then(|rest| rest.strip_prefix(':'));
    let is_plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    if !variant.is_none_or(is_plain) {
        bail!("`{name}`: what follows the colon may hold a-z, 0-9 and - only");
    }
    Ok(entry)
}

/// What stands before a colon.
pub fn base_name(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}
