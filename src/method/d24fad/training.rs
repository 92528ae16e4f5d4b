//! Steps of training, on teacher features that are computed once per picture; a card records a step and replays it.

use anyhow::Result;
use tch::Tensor;

use super::episodes::Episode;
use super::model::Model;
use super::settings::Settings;
use crate::method::part::feature_store::{FeatureStore, Sharing};
use crate::network::graph::{self, Graph, SideStream};
use crate::network::optimiser::Optimiser;
use crate::network::{Features, card};

/// What [`Distillation::step`] gives back: total, self-distillation and teacher-student loss, on the device.
type StepLosses = [Tensor; 3];

/// A model that learns, step by step.
pub(crate) struct Distillation<'a> {
    model: &'a Model,
    lambda: f64,
    pub(super) features: FeatureStore<'a>,
    recording: Recording,
}

/// Whether steps are recorded on a card and replayed.
enum Recording {
    /// Not here, or no longer.
    Never,
    /// So many steps have been made ready for it.
    Soon(SideStream, usize),
    Done(Recorded),
}

/// Steps on the side stream before one is recorded: libraries choose kernels and take workspaces in the first.
const WARM_UP: usize = 3;

/// A step up to its gradients.
struct Recorded {
    graph: Graph,
    /// Of the pictures, `[1 + k, b]`: what changes from step to step.
    indices: Tensor,
    losses: StepLosses,
    gradients: Vec<Tensor>,
}

impl<'a> Distillation<'a> {
    /// On teacher features of all pictures of `sets`, each `[n, 3, h, w]`, which are computed here.
    ///
    /// # Errors
    /// If features are to be kept in a file and cannot.
    pub(crate) fn new(model: &'a Model, settings: &Settings, sets: &[&Tensor]) -> Result<Distillation<'a>> {
        // What an earlier training had recorded on this card.
        card::give_back_memory(model.device);
        let features = FeatureStore::new(&model.teacher, sets, model.device, Sharing::Shared)?;
        let can_record = model.device.is_cuda() && features.is_on_device() && graph::is_wanted();
        let recording = match can_record.then(|| SideStream::new(model.device)) {
            Some(Ok(stream)) => Recording::Soon(stream, 0),
            Some(Err(error)) => never(&error),
            None => Recording::Never,
        };
        Ok(Distillation { model, lambda: settings.lambda, features, recording })
    }

    /// The same training, step for step as it is written, whatever the device.
    pub(crate) fn unrecorded(self) -> Distillation<'a> {
        Distillation { recording: Recording::Never, ..self }
    }

    /// Whether steps are replayed by now.
    pub(crate) fn is_recorded(&self) -> bool {
        matches!(self.recording, Recording::Done(_))
    }

    /// Whether steps are still as written and will be replayed soon.
    pub(crate) fn will_be_recorded(&self) -> bool {
        matches!(self.recording, Recording::Soon(..))
    }

    /// One step on one batch; the losses are those before it, on the device.
    pub(crate) fn step(&mut self, batch: &[&Episode], optimiser: &mut Optimiser) -> StepLosses {
        let n_supports = batch[0].supports.len();
        let queries = batch.iter().map(|episode| episode.query);
        let supports = (0..n_supports).flat_map(|k| batch.iter().map(move |episode| episode.supports[k]));
        let indices: Vec<i64> = queries.chain(supports).collect();
        let indices = Tensor::from_slice(&indices).view([1 + n_supports as i64, -1]);
        match std::mem::replace(&mut self.recording, Recording::Never) {
            Recording::Soon(stream, n_steps) if n_steps < WARM_UP => {
                let done = stream.run(|| self.eager(&indices, optimiser));
                match done {
                    Ok(losses) => {
                        self.recording = Recording::Soon(stream, n_steps + 1);
                        losses
                    }
                    Err(error) => {
                        self.recording = never(&error);
                        self.eager(&indices, optimiser)
                    }
                }
            }
            Recording::Soon(stream, _) => match self.record(&stream, &indices, optimiser) {
                Ok(recorded) => self.replay(recorded, &indices, optimiser),
                Err(error) => {
                    self.recording = never(&error);
                    self.eager(&indices, optimiser)
                }
            },
            Recording::Done(recorded) if recorded.indices.size() == indices.size() => {
                self.replay(recorded, &indices, optimiser)
            }
            // Batches of another size write elsewhere than the recording does.
            Recording::Done(_) | Recording::Never => self.eager(&indices, optimiser),
        }
    }

    fn eager(&mut self, indices: &Tensor, optimiser: &mut Optimiser) -> StepLosses {
        let (losses, gradients) = self.gradients(&self.features.placed(indices), optimiser);
        optimiser.apply(&gradients);
        losses
    }

    /// Losses, and their gradients as the optimiser takes them. All of it is work of the device.
    fn gradients(&self, indices: &Tensor, optimiser: &mut Optimiser) -> (StepLosses, Vec<Tensor>) {
        let n_supports = indices.size()[0] - 1;
        let Features { scales, deep } = self.features.at(&indices.get(0));
        let supports: Vec<Tensor> =
            (1..=n_supports).map(|k| self.features.deep_at(&indices.get(k))).collect();
        let losses = self.model.student.losses(&scales, &deep, &supports, self.lambda);
        let gradients = optimiser.gradients(&losses.total);
        let losses = [losses.total, losses.self_distillation, losses.teacher_student];
        (losses.map(|loss| loss.detach()), gradients)
    }

    fn record(&self, stream: &SideStream, indices: &Tensor, optimiser: &mut Optimiser) -> Result<Recorded> {
        let indices = self.features.placed(indices).copy();
        // A recording has memory of its own, and none can be given back to the card while it is made.
        card::give_back_memory(self.model.device);
        let (graph, (losses, gradients)) = Graph::record(stream, || self.gradients(&indices, optimiser))?;
        Ok(Recorded { graph, indices, losses, gradients })
    }

    fn replay(&mut self, mut recorded: Recorded, indices: &Tensor, optimiser: &mut Optimiser) -> StepLosses {
        recorded.indices.copy_(&self.features.placed(indices));
        if let Err(error) = recorded.graph.replay() {
            self.recording = never(&error);
            return self.eager(indices, optimiser);
        }
        optimiser.apply(&recorded.gradients);
        // The next step writes to the same place.
        let losses = recorded.losses.each_ref().map(Tensor::copy);
        self.recording = Recording::Done(recorded);
        losses
    }
}

/// Says why steps are not recorded; they take longer then and give the same.
fn never(error: &anyhow::Error) -> Recording {
    log::warn!("training steps are not recorded on this card, which makes them slower: {error:#}");
    Recording::Never
}
