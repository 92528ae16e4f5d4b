//! D2-4FAD: dual distillation for few-shot anomaly detection (arXiv 2603.01713, ICLR 2026).
//!
//! A frozen teacher and a trained decoder. The student distils the teacher on the query and itself on the
//! supports; a learned weighting says how much each support counts. Faithful to the published procedure,
//! without its waste: the teacher runs once per picture, supports are encoded once per episode.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::contract::{Built, Context, Entry, Fitted, Method, Observer, TrainTask};
use super::work::{self, CellSize, Operations, Work};
use crate::network::Network;
use crate::regime::Regime;

pub use model::Model;
pub use settings::Settings;

/// Trained students on disk.
pub mod checkpoint;
/// Signs of collapse and of saturation.
mod diagnosis;
/// Queries and their supports in training.
pub(crate) mod episodes;
/// Why a map is as it is.
pub mod explanation;
/// Training on other tasks.
mod learning;
/// Teacher and student together.
pub(crate) mod model;
/// Settings.
mod settings;
/// Decoder, weighting, losses, maps.
pub mod student;
/// What can be switched.
pub mod switches;
/// Steps, recorded on a card.
pub(crate) mod training;

/// D24FAD: dual distillation with learned weights of the supports.
pub const ENTRY: Entry = Entry {
    name: "d24fad",
    about: "dual distillation with learned support weighting",
    paper: "arXiv 2603.01713 (ICLR 2026)",
    regime: "R2",
    needs: "ImageNet wide_resnet50_2 (as an extension, efficientnet_lite0)",
    cost: "one training per task and shots: 70 epochs of 1 + K decoder passes a picture; 13 GFLOP a query at 128 px",
    trial: "backbone = 'resnet18'\nepochs = 1\nbatch = 4\nlearning_rate = 1e-3",
    build,
    work: Some(work),
};

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of d24fad")?;
    settings.check()?;
    let network = Some(Network::Backbone(settings.backbone));
    let built = Built::new(D24fad { settings: settings.clone() }, &settings, Regime::OtherNormals, network)?;
    Ok(built.following(settings.backbone))
}

fn work(settings: &str, cell: &CellSize) -> Result<Work> {
    let Settings { backbone, epochs, .. } = serde_json::from_str(settings)?;
    let (n, shots) = (cell.n_train as f64, cell.shots as f64);
    let (teacher, decoder) = (work::encoder(backbone, cell.size), work::decoder(backbone, cell.size));
    let passes = epochs as f64 * n * (1.0 + shots);
    Ok(Work {
        fit: Operations { forward: n * teacher, training: passes * work::TRAINING * decoder },
        adapt: Operations { forward: shots * (teacher + decoder), training: 0.0 },
        query: teacher + decoder,
        encode: teacher + decoder,
        teacher,
        evaluations: epochs,
        maps: true,
        bytes: n * work::kept(backbone, cell.size),
    })
}

struct D24fad {
    settings: Settings,
}

/// A trained model that no file holds yet.
pub struct Unsaved<'a> {
    model: Model,
    settings: &'a Settings,
    context: &'a Context,
    size: u16,
}

/// Trains as [`Method::fit`] does.
///
/// # Errors
/// As training.
pub fn train<'a>(
    settings: &'a Settings,
    tasks: &[TrainTask],
    context: &'a Context,
    observer: &mut dyn Observer,
) -> Result<Unsaved<'a>> {
    settings.check()?;
    let size = u16::try_from(tasks.first().map_or(0, |task| task.pictures.size()))?;
    let model = learning::train(settings, tasks, context, observer)?;
    Ok(Unsaved { model, settings, context, size })
}

impl Unsaved<'_> {
    /// Saves the model as a checkpoint.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        checkpoint::save(&self.model, self.settings, self.context, self.size, path)
    }
}

impl Method for D24fad {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(learning::train(&self.settings, tasks, context, observer)?))
    }
}
