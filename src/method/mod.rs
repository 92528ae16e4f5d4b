//! Methods in three steps that make leakage unsayable: fit on training tasks, adapt to supports, score.
//!
//! Queries are pictures without labels, and a score may depend on the model, the supports and that one
//! picture alone; a test scores every method in several batchings to hold that.

use anyhow::{Result, bail};
use tch::Device;

use crate::episode::batch::Pictures;
use crate::maps::MapStack;
use crate::network::Backbone;
use crate::network::teacher::Origin;

/// Trivial scores that expose shortcuts.
pub mod control;
/// Dual distillation for few-shot anomaly detection.
pub mod d24fad;

/// One training task: its normals and, for each, its supports.
pub struct TrainTask {
    pub name: String,
    pub pictures: Pictures,
    /// Query and its `max_shots` supports, as indices into `pictures`.
    pub pairs: Vec<(usize, Vec<usize>)>,
}

/// What every step may know beside pictures.
pub struct Context {
    pub device: Device,
    pub seed: u64,
    /// Size of the support set that will be given.
    pub shots: usize,
    /// Where the teacher's weights come from.
    pub teacher: Origin,
    /// What the work is for, shown beside the progress bar.
    pub label: String,
}

/// An epoch's figures, by name: `loss` and its parts.
pub type EpochFigures = Vec<(&'static str, f64)>;

/// Called after each epoch with the model as it stands; for logging and the `published` protocols.
pub type Observer<'a> = dyn FnMut(u64, &EpochFigures, &dyn Fitted) -> Result<()> + 'a;

/// An untrained method with its settings.
///
/// Several cells may be fitted at once, each on a thread of its own.
pub trait Method: Send + Sync {
    /// Trains on the training tasks' normals. Methods that do not train return at once.
    fn fit(&self, tasks: &[TrainTask], context: &Context, observer: &mut Observer)
    -> Result<Box<dyn Fitted>>;
}

/// A trained method.
pub trait Fitted {
    /// Takes in the supports of one episode.
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>>;
}

/// A method ready to score.
pub trait Detector {
    /// Scores each query by itself; higher is more anomalous.
    fn score(&self, queries: &Pictures) -> Result<Prediction>;
}

/// What a detector says about a batch of queries.
pub enum Prediction {
    /// One raw map per query, of the queries' size.
    Maps(MapStack),
    /// One score per query, for methods without maps.
    Scores(Vec<f64>),
}

/// One method on the list.
pub struct Entry {
    pub name: &'static str,
    /// One line for `medfsad methods`.
    pub about: &'static str,
    pub paper: &'static str,
    /// What it may see, R0 to R6.
    pub regime: &'static str,
    /// Whether it learns from other tasks' normals; the others are given none.
    pub trains: bool,
    /// Builds it from settings; a missing key takes its default, an unknown one is an error.
    pub build: fn(toml::Table) -> Result<Built>,
}

/// A method, its settings as resolved, and the network it needs.
pub struct Built {
    pub method: Box<dyn Method>,
    pub settings: String,
    /// `None` for methods that need no teacher.
    pub backbone: Option<Backbone>,
}

/// Every method.
pub const METHODS: &[Entry] = &[
    d24fad::ENTRY,
    control::RANDOM,
    control::MEAN_INTENSITY,
    control::CONTRAST,
    control::SIZE,
    control::ASPECT,
    control::BORDER,
    control::FILE_SIZE,
];

/// The method of that name; the error lists the known ones.
pub fn find(name: &str) -> Result<&'static Entry> {
    let Some(entry) = METHODS.iter().find(|entry| entry.name == name) else {
        let known: Vec<&str> = METHODS.iter().map(|entry| entry.name).collect();
        bail!("unknown method `{name}` (known: {}; `all` stands for every one)", known.join(", "));
    };
    Ok(entry)
}
