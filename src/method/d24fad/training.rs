//! Training: teacher features once per picture, then epochs of shuffled batches that mix tasks.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::diagnosis::Probe;
use super::resume::{Keeper, Progress};
use super::{Model, Settings};
use crate::method::part::feature_store::FeatureStore;
use crate::method::{Context, Observer, TrainTask};
use crate::network::adam::{Adam, AdamConfig};
use crate::network::graph::{self, Graph, SideStream};
use crate::network::{Features, card};
use crate::progress;
use crate::random::Stream;

/// A query and its supports, as indices into the features of all tasks.
#[derive(Debug)]
pub(crate) struct Episode {
    pub query: i64,
    pub supports: Vec<i64>,
}

/// What [`Training::step`] gives back: total, self-distillation and teacher-student loss, on the device.
type StepLosses = [Tensor; 3];

/// A model that learns, step by step.
pub(crate) struct Training<'a> {
    model: &'a Model,
    lambda: f64,
    features: FeatureStore<'a>,
    pub adam: Adam,
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

impl<'a> Training<'a> {
    /// On teacher features of `pixels` `[n, 3, h, w]`, which are computed here.
    ///
    /// # Errors
    /// If features are to be kept in a file and cannot.
    pub fn new(model: &'a Model, settings: &Settings, pixels: &Tensor) -> Result<Training<'a>> {
        let pixels = pixels.to_device(model.device);
        let config =
            AdamConfig { learning_rate: settings.learning_rate, beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
        // What an earlier training had recorded on this card.
        card::give_back_memory(model.device);
        let features = FeatureStore::new(&model.teacher, pixels, settings.room())?;
        let adam = Adam::new(&model.student.store, config);
        let can_record = model.device.is_cuda() && features.is_on_device() && graph::is_wanted();
        let recording = match can_record.then(|| SideStream::new(model.device)) {
            Some(Ok(stream)) => Recording::Soon(stream, 0),
            Some(Err(error)) => never(&error),
            None => Recording::Never,
        };
        Ok(Training { model, lambda: settings.lambda, features, adam, recording })
    }

    /// The same training, step for step as it is written, whatever the device.
    pub fn unrecorded(self) -> Training<'a> {
        Training { recording: Recording::Never, ..self }
    }

    /// Whether steps are replayed by now.
    pub fn is_recorded(&self) -> bool {
        matches!(self.recording, Recording::Done(_))
    }

    /// Whether steps are still as written and will be replayed soon.
    pub fn will_be_recorded(&self) -> bool {
        matches!(self.recording, Recording::Soon(..))
    }

    /// One step on one batch; the losses are those before it, on the device.
    pub fn step(&mut self, batch: &[&Episode]) -> StepLosses {
        let n_supports = batch[0].supports.len();
        let queries = batch.iter().map(|episode| episode.query);
        let supports = (0..n_supports).flat_map(|k| batch.iter().map(move |episode| episode.supports[k]));
        let indices: Vec<i64> = queries.chain(supports).collect();
        let indices = Tensor::from_slice(&indices).view([1 + n_supports as i64, -1]);
        match std::mem::replace(&mut self.recording, Recording::Never) {
            Recording::Never => self.eager(&indices),
            Recording::Soon(stream, n_steps) if n_steps < WARM_UP => {
                let done = stream.run(|| self.eager(&indices));
                match done {
                    Ok(losses) => {
                        self.recording = Recording::Soon(stream, n_steps + 1);
                        losses
                    }
                    Err(error) => {
                        self.recording = never(&error);
                        self.eager(&indices)
                    }
                }
            }
            Recording::Soon(stream, _) => match self.record(&stream, &indices) {
                Ok(recorded) => self.replay(recorded, &indices),
                Err(error) => {
                    self.recording = never(&error);
                    self.eager(&indices)
                }
            },
            Recording::Done(recorded) if recorded.indices.size() == indices.size() => {
                self.replay(recorded, &indices)
            }
            // Batches of another size write elsewhere than the recording does.
            Recording::Done(_) => self.eager(&indices),
        }
    }

    fn eager(&mut self, indices: &Tensor) -> StepLosses {
        let (losses, gradients) = self.gradients(&self.features.placed(indices));
        self.adam.apply(&gradients);
        losses
    }

    /// Losses, and their gradients as the optimiser takes them. All of it is work of the device.
    fn gradients(&mut self, indices: &Tensor) -> (StepLosses, Vec<Tensor>) {
        let n_supports = indices.size()[0] - 1;
        let Features { scales, deep } = self.features.at(&indices.get(0));
        let supports: Vec<Tensor> =
            (1..=n_supports).map(|k| self.features.deep_at(&indices.get(k))).collect();
        let losses = self.model.student.losses(&scales, &deep, &supports, self.lambda);
        let gradients = self.adam.gradients(&losses.total);
        let losses = [losses.total, losses.self_distillation, losses.teacher_student];
        (losses.map(|loss| loss.detach()), gradients)
    }

    fn record(&mut self, stream: &SideStream, indices: &Tensor) -> Result<Recorded> {
        let indices = self.features.placed(indices).copy();
        // A recording has memory of its own, and none can be given back to the card while it is made.
        card::give_back_memory(self.model.device);
        let (graph, (losses, gradients)) = Graph::record(stream, || self.gradients(&indices))?;
        Ok(Recorded { graph, indices, losses, gradients })
    }

    fn replay(&mut self, mut recorded: Recorded, indices: &Tensor) -> StepLosses {
        recorded.indices.copy_(&self.features.placed(indices));
        if let Err(error) = recorded.graph.replay() {
            self.recording = never(&error);
            return self.eager(indices);
        }
        self.adam.apply(&recorded.gradients);
        // The next step writes to the same place.
        let losses = recorded.losses.each_ref().map(Tensor::copy);
        self.recording = Recording::Done(recorded);
        losses
    }
}

/// Says why steps are not recorded; they take longer then and give the same.
fn never(error: &anyhow::Error) -> Recording {
    eprintln!("training steps are not recorded on this card, which makes them slower: {error:#}");
    Recording::Never
}

/// Trains decoder and weighting; the observer sees the model after each epoch.
pub fn train(
    model: &Model,
    settings: &Settings,
    tasks: &[TrainTask],
    context: &Context,
    observer: &mut dyn Observer,
) -> Result<()> {
    model.student.initialise(context.seed);
    let mut episodes = episodes(tasks, context.shots)?;
    let n_steps = episodes.len() / settings.batch;
    ensure!(
        n_steps > 0,
        "{} training pictures do not fill one batch of {}; lower `batch` or curate more",
        episodes.len(),
        settings.batch
    );
    let pixels = pixels(tasks);
    let mut keeper = Keeper::new(context, settings, &pixels, &format!("{episodes:?}"))?;
    let mut training = Training::new(model, settings, &pixels)?;
    let mut progress = match &keeper {
        Some(keeper) => keeper.take_up(model, &mut training, observer)?,
        None => Progress::default(),
    };
    let probe = Probe::of(&episodes);
    let bar = progress::bar(n_steps * settings.epochs as usize, &context.label);
    bar.set_position(progress.epochs * n_steps as u64 + progress.steps as u64);
    while progress.epochs < settings.epochs {
        let epoch = progress.epochs + 1;
        if settings.redrawn {
            episodes = redrawn(tasks, context.shots, context.seed, epoch);
        }
        let mut order: Vec<usize> = (0..episodes.len()).collect();
        Stream::new(context.seed, "training order", epoch).shuffle(&mut order);
        let mut sums = progress.sums.map(|sum| Tensor::from(sum).to_device(model.device));
        let read = |sums: &[Tensor; 3]| sums.each_ref().map(|sum| sum.double_value(&[]));
        for batch in order.chunks_exact(settings.batch).skip(progress.steps) {
            let batch: Vec<&Episode> = batch.iter().map(|&index| &episodes[index]).collect();
            for (sum, loss) in sums.iter_mut().zip(training.step(&batch)) {
                *sum += loss.to_kind(Kind::Double) / n_steps as f64;
            }
            bar.inc(1);
            progress.steps += 1;
            if let Some(keeper) = keeper.as_mut().filter(|keeper| keeper.is_due()) {
                progress.sums = read(&sums);
                ensure_finite(&progress.sums, epoch)?;
                keeper.save(model, &training, &progress, observer)?;
            }
        }
        let sums = read(&sums);
        ensure_finite(&sums, epoch)?;
        let names = ["loss", "self-distillation", "teacher-student"];
        let mut figures: Vec<(&'static str, f64)> = names.into_iter().zip(sums).collect();
        figures.extend(probe.figures(model, &training.features));
        observer.look(epoch, &figures, model)?;
        progress = Progress { epochs: epoch, ..Progress::default() };
        if let Some(keeper) = keeper.as_mut().filter(|keeper| keeper.is_due()) {
            keeper.save(model, &training, &progress, observer)?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn ensure_finite(losses: &[f64; 3], epoch: u64) -> Result<()> {
    let finite = losses.iter().all(|loss| loss.is_finite());
    ensure!(finite, "training diverged in epoch {epoch}: the losses are {losses:?}");
    Ok(())
}

fn episodes(tasks: &[TrainTask], shots: usize) -> Result<Vec<Episode>> {
    let mut episodes = Vec::new();
    let mut offset = 0;
    for task in tasks {
        for (query, supports) in &task.pairs {
            ensure!(
                supports.len() >= shots,
                "pairs of `{}` hold {} supports, {shots} are asked for",
                task.name,
                supports.len()
            );
            let supports = supports[..shots].iter().map(|&index| (offset + index) as i64).collect();
            episodes.push(Episode { query: (offset + query) as i64, supports });
        }
        offset += task.pictures.len();
    }
    Ok(episodes)
}

/// Supports of every query drawn anew: with replacement from its own task, never the query itself.
fn redrawn(tasks: &[TrainTask], shots: usize, seed: u64, epoch: u64) -> Vec<Episode> {
    let mut stream = Stream::new(seed, "redrawn supports", epoch);
    let (mut episodes, mut offset) = (Vec::new(), 0);
    for task in tasks {
        let n = task.pictures.len();
        for (query, _) in &task.pairs {
            let supports = (0..shots).map(|_| (offset + stream.other_than(*query, n)) as i64).collect();
            episodes.push(Episode { query: (offset + query) as i64, supports });
        }
        offset += n;
    }
    episodes
}

/// All tasks' pictures, `[n, 3, h, w]`.
fn pixels(tasks: &[TrainTask]) -> Tensor {
    Tensor::cat(&tasks.iter().map(|task| &task.pictures.pixels).collect::<Vec<_>>(), 0)
}
