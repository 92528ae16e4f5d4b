//! The student learns on the episodes of other tasks; batches mix tasks.

use anyhow::{Result, ensure};
use tch::Tensor;
use tch::nn::VarStore;

use super::diagnosis::Probe;
use super::episodes::{self, Episode};
use super::model::Model;
use super::settings::Settings;
use super::training::Distillation;
use crate::method::contract::{Context, EpochFigures, Fitted, Observer, TrainTask};
use crate::method::part::trainer::{self, Order, Plan, Recipe, Step, StepFigures, Subject, Training};
use crate::network::Network;
use crate::network::optimiser::Optimiser;

/// A model whose decoder and weighting were trained; the observer sees it after each epoch.
///
/// # Errors
/// Tasks that do not fill one batch, or as [`trainer::train`].
pub(super) fn train(
    settings: &Settings,
    tasks: &[TrainTask],
    context: &Context,
    observer: &mut dyn Observer,
) -> Result<Model> {
    let teacher = context.teacher(settings.backbone, settings.input())?;
    let model = Model::new(teacher, settings, context.device);
    model.student.initialise(context.seed);
    let episodes = episodes::episodes(tasks, context.shots)?;
    let (items, batch) = (episodes.len(), settings.batch);
    ensure!(
        items >= batch,
        "{items} training pictures do not fill one batch of {batch}; lower `batch` or curate more"
    );
    let plan = Plan::of_observed_passes(Order::Whole { items, batch }, settings.epochs);
    let subject = Subject::of_tasks("d24fad", settings, Some(Network::Backbone(settings.backbone)), tasks)?;
    let pixels: Vec<&Tensor> = tasks.iter().map(|task| &task.pictures.pixels).collect();
    let distillation = Distillation::new(&model, settings, &pixels)?;
    let (shots, seed) = (context.shots, context.seed);
    let redrawn = settings.redrawn.then_some(Redrawn { tasks, shots, seed, pass: 0 });
    let probe = Probe::of(&episodes);
    let mut training = D24fadTraining { model: &model, distillation, episodes, redrawn, probe };
    trainer::train(&mut training, &Recipe::new(plan, settings.rule()), &subject, context, observer)?;
    drop(training);
    Ok(model)
}

/// A training on episodes.
struct D24fadTraining<'a> {
    model: &'a Model,
    distillation: Distillation<'a>,
    episodes: Vec<Episode>,
    redrawn: Option<Redrawn<'a>>,
    probe: Probe,
}

/// How supports are drawn anew in every pass.
struct Redrawn<'a> {
    tasks: &'a [TrainTask],
    shots: usize,
    seed: u64,
    /// Of the present episodes; 0 before the first.
    pass: u64,
}

impl Training for D24fadTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.student.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        if let Some(redrawn) = self.redrawn.as_mut().filter(|redrawn| redrawn.pass != step.pass) {
            redrawn.pass = step.pass;
            self.episodes = episodes::redrawn(redrawn.tasks, redrawn.shots, redrawn.seed, step.pass);
        }
        let batch: Vec<&Episode> = step.batch.iter().map(|&item| &self.episodes[item as usize]).collect();
        let losses = self.distillation.step(&batch, optimiser);
        Ok(["loss", "self-distillation", "teacher-student"].into_iter().zip(losses).collect())
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(self.model))
    }

    fn diagnose(&self) -> EpochFigures {
        self.probe.figures(self.model, &self.distillation.features)
    }
}
