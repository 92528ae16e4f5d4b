//! D2-4FAD: dual distillation for few-shot anomaly detection (arXiv 2603.01713, ICLR 2026).
//!
//! A frozen teacher and a trained decoder. The student distils the teacher on the query and itself on the
//! supports; a learned weighting says how much each support counts. Faithful to the published procedure,
//! without its waste: the teacher runs once per picture, supports are encoded once per episode.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::part::feature_store::Room;
use super::part::grid;
use super::part::work::{self, Load, Operations, Work};
use super::{Built, Context, Detector, Entry, Fitted, Method, Observer, Prediction, TrainTask};
use crate::episode::batch::{self, Pictures};
use crate::network::teacher::Teacher;
use crate::network::weighting::{EncodedSupports, Scaling};
use crate::network::{Backbone, Features, Input, Network};
use crate::regime::Regime;
use student::Student;
use switches::{Compared, Switches, Terms, Weighted};

/// Trained students on disk.
pub mod checkpoint;
/// Signs of collapse and of saturation.
mod diagnosis;
/// Why a map is as it is.
pub mod explanation;
/// Kept and taken up again.
mod resume;
/// Decoder, weighting, losses, maps.
pub mod student;
/// What can be switched.
pub mod switches;
/// Epochs and steps.
pub(crate) mod training;

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

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Teacher and mirrored student. The student of efficientnet_lite0 has blocks of the published form with that
    /// network's channels, which is an extension of ours.
    pub backbone: Backbone,
    /// Weight of the teacher-student loss beside the self-distillation.
    pub lambda: f64,
    pub learning_rate: f64,
    pub epochs: u64,
    /// Queries per step; an incomplete last batch of an epoch is dropped.
    pub batch: usize,
    /// Losses that train.
    pub terms: Terms,
    /// How supports are weighted.
    pub weighted: Weighted,
    /// What the weighting's inner products are divided by.
    pub scaling: Scaling,
    /// What a loss compares.
    pub compared: Compared,
    /// Weight of the teacher's own map, added when scoring.
    pub teacher_residual: f64,
    /// Supports of training are drawn anew in each epoch; published: drawn once.
    pub redrawn: bool,
    /// Pictures less ImageNet's mean over its deviation, as the teacher's weights were trained; published: not.
    pub imagenet: bool,
    /// Teacher features are kept in memory up to this many GiB, beyond it in a file up to `feature_disk_gib`, and
    /// beyond that computed again each epoch.
    pub feature_memory_gib: f64,
    pub feature_disk_gib: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            backbone: Backbone::WideResnet50x2,
            lambda: 0.1,
            learning_rate: 1e-4,
            epochs: 70,
            batch: 16,
            terms: Terms::default(),
            weighted: Weighted::default(),
            scaling: Scaling::default(),
            compared: Compared::default(),
            teacher_residual: 0.0,
            redrawn: false,
            imagenet: false,
            feature_memory_gib: 4.0,
            feature_disk_gib: 16.0,
        }
    }
}

impl Settings {
    fn switches(&self) -> Switches {
        Switches {
            terms: self.terms,
            weighted: self.weighted,
            scaling: self.scaling,
            compared: self.compared,
            teacher_residual: self.teacher_residual,
        }
    }

    /// Where teacher features may be kept.
    fn room(&self) -> Room {
        Room { memory: self.feature_memory_gib, disk: self.feature_disk_gib }
    }

    /// How pictures enter the teacher.
    pub fn input(&self) -> Input {
        if self.imagenet { Input::ImageNet } else { Input::Unit }
    }
}

fn build(settings: toml::Table) -> Result<Built> {
    let settings: Settings = settings.try_into().context("settings of d24fad")?;
    check(&settings)?;
    let network = Some(Network::Backbone(settings.backbone));
    Built::new(D24fad { settings: settings.clone() }, &settings, Regime::OtherNormals, network)
}

fn work(settings: &str, load: &Load) -> Result<Work> {
    let Settings { backbone, epochs, .. } = serde_json::from_str(settings)?;
    let (n, shots) = (load.n_train as f64, load.shots as f64);
    let (teacher, decoder) = (work::encoder(backbone, load.size), work::decoder(backbone, load.size));
    let passes = epochs as f64 * n * (1.0 + shots);
    Ok(Work {
        fit: Operations { forward: n * teacher, training: passes * work::TRAINING * decoder },
        adapt: Operations { forward: shots * (teacher + decoder), training: 0.0 },
        query: teacher + decoder,
        evaluations: epochs,
        maps: true,
        bytes: n * work::kept(backbone, load.size),
    })
}

fn check(settings: &Settings) -> Result<()> {
    ensure!(settings.epochs >= 1, "d24fad: epochs must be at least 1");
    ensure!(settings.batch >= 2, "d24fad: batch must be at least 2, batch norm needs it");
    ensure!(settings.learning_rate > 0.0, "d24fad: learning_rate must be positive");
    ensure!(
        settings.teacher_residual.is_finite() && settings.teacher_residual >= 0.0,
        "d24fad: teacher_residual must not be negative"
    );
    ensure!(settings.scaling != Scaling::Uniform, "d24fad: say weighted = \"uniform\", not scaling");
    Ok(())
}

struct D24fad {
    settings: Settings,
}

/// Trains as [`Method::fit`] does and keeps the model as a checkpoint.
///
/// # Errors
/// As training, or if the file cannot be written.
pub fn train_to(
    settings: &Settings,
    tasks: &[TrainTask],
    context: &Context,
    observer: &mut dyn Observer,
    path: &Path,
) -> Result<()> {
    check(settings)?;
    let teacher = context.teacher(settings.backbone, settings.input())?;
    let model = Model::new(teacher, settings, context.device);
    training::train(&model, settings, tasks, context, observer)?;
    let size = tasks.first().map_or(0, |task| task.pictures.size());
    checkpoint::save(&model, settings, context, u16::try_from(size)?, path)
}

impl Method for D24fad {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        let teacher = context.teacher(self.settings.backbone, self.settings.input())?;
        let model = Model::new(teacher, &self.settings, context.device);
        training::train(&model, &self.settings, tasks, context, observer)?;
        Ok(Box::new(model))
    }
}

/// Teacher and student as they stand.
pub struct Model {
    teacher: Teacher,
    pub(crate) student: Student,
    device: Device,
}

impl Model {
    /// With a student whose parameters are still to be given.
    pub fn new(teacher: Teacher, settings: &Settings, device: Device) -> Model {
        let student = Student::switched(settings.backbone, device, settings.switches());
        let student = student.computing_in(teacher.precision());
        Model { teacher, student, device }
    }

    pub(crate) fn teacher(&self) -> &Teacher {
        &self.teacher
    }

    /// Encodes supports `[k, 3, h, w]` of 0 to 255, once for any number of queries.
    pub(crate) fn ready(&self, supports: &Tensor) -> Ready<'_> {
        self.ready_from(&self.teacher.features(supports).deep)
    }

    /// As [`Model::ready`], from the supports' stage 4 features.
    fn ready_from(&self, deep: &Tensor) -> Ready<'_> {
        Ready { model: self, supports: self.student.encode_supports(deep) }
    }
}

impl Fitted for Model {
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "d24fad needs at least one support");
        Ok(Box::new(self.ready(&supports.pixels)))
    }
}

/// A model that has seen the supports.
pub(crate) struct Ready<'a> {
    model: &'a Model,
    supports: EncodedSupports,
}

impl Ready<'_> {
    /// Raw maps `[b, side, side]` of queries `[b, 3, side, side]` of 0 to 255.
    pub fn maps(&self, queries: &Tensor) -> Tensor {
        let Features { scales, deep } = self.model.teacher.features(&batch::to(queries, self.model.device));
        self.model.student.maps(&scales, &deep, &self.supports, queries.size()[3])
    }
}

impl Detector for Ready<'_> {
    fn score(&self, queries: &Pictures) -> Result<Prediction> {
        Ok(Prediction::Maps(grid::to_maps(&self.maps(&queries.pixels))?))
    }
}
