//! The state of a training in a file: parameters, moments, progress, and what the observer has seen. Random streams
//! need no place in it, since each is named by seed, purpose and number.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

use super::training::Training;
use crate::files;
use crate::method::contract::{Context, Observer, StateFile, TrainTask};
use crate::network::optimiser::Optimiser;
use crate::network::{Network, weights};

/// How far a training is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Steps taken.
    pub steps: u64,
    /// Epochs that are complete.
    pub epochs: u64,
    /// Steps of the epoch after them.
    pub in_epoch: u64,
    /// Sums of the figures of those steps.
    pub sums: Vec<f64>,
}

/// What determines a training beside its context; two trainings that differ here never share a state.
pub struct Subject<'a> {
    method: &'static str,
    settings: String,
    network: Option<Network>,
    pixels: Vec<&'a Tensor>,
    pairs: String,
}

impl<'a> Subject<'a> {
    /// A training on pictures `[n, 3, h, w]`.
    ///
    /// # Errors
    /// Settings that cannot be put into JSON.
    pub fn of_pictures(
        method: &'static str,
        settings: &impl Serialize,
        network: Option<Network>,
        pixels: &'a Tensor,
    ) -> Result<Subject<'a>> {
        let settings = serde_json::to_string(settings)?;
        Ok(Subject { method, settings, network, pixels: vec![pixels], pairs: String::new() })
    }

    /// The same, on more pictures `[n, 3, h, w]`, which it tells from the others.
    #[must_use]
    pub fn beside(mut self, pixels: &'a Tensor) -> Subject<'a> {
        self.pixels.push(pixels);
        self
    }

    /// A training on the episodes of tasks.
    ///
    /// # Errors
    /// Settings that cannot be put into JSON.
    pub fn of_tasks(
        method: &'static str,
        settings: &impl Serialize,
        network: Option<Network>,
        tasks: &'a [TrainTask],
    ) -> Result<Subject<'a>> {
        let settings = serde_json::to_string(settings)?;
        let others = tasks.iter().flat_map(|task| task.anomalies.iter().chain(&task.pool));
        let pictures = tasks.iter().map(|task| &task.pictures).chain(others);
        let pixels = pictures.map(|pictures| &pictures.pixels).collect();
        let pairs = tasks.iter().map(|task| format!("{} {:?}\n", task.name, task.pairs)).collect();
        Ok(Subject { method, settings, network, pixels, pairs })
    }

    /// A hash of everything that determines the training.
    fn identity(&self, context: &Context) -> Result<String> {
        let teacher = self
            .network
            .map(|network| context.teachers.of(network).map(|origin| origin.hash(network)))
            .transpose()?;
        let device = if context.device.is_cuda() { "cuda" } else { "cpu" };
        let (precision, seed, shots) = (context.precision.name(), context.seed, context.shots);
        let mut parts = vec![
            crate::CODE_HASH.to_owned(),
            self.method.to_owned(),
            self.settings.clone(),
            teacher.unwrap_or_default(),
            format!("{device} {precision} {seed} {shots} {}", context.task),
            self.pairs.clone(),
        ];
        for pixels in self.pixels.iter().copied().chain(context.calibration.as_deref()) {
            let bytes: Vec<u8> = Vec::try_from(pixels.flatten(0, -1))?;
            parts.push(files::fingerprint(&bytes));
        }
        Ok(files::fingerprint(parts.join("\n").as_bytes()))
    }
}

/// What a file says beside its tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    identity: String,
    progress: Progress,
    /// Of the optimiser that each step is handed, then of the training's own.
    optimiser_steps: Vec<u32>,
    observer: String,
}

/// Key of the header in the file's metadata.
const KEY: &str = "medfsad-training";
/// Before the names of parameters; what has no such prefix is a moment.
const PARAMETER: &str = "model.";

/// Saves the state of one training at intervals, and restores it.
pub(super) struct Saver<'a> {
    file: &'a StateFile,
    identity: String,
    saved: Instant,
}

impl<'a> Saver<'a> {
    /// `None` if the context asks for no state.
    pub(super) fn new(context: &'a Context, subject: &Subject) -> Result<Option<Saver<'a>>> {
        let Some(file) = &context.state_file else { return Ok(None) };
        Ok(Some(Saver { file, identity: subject.identity(context)?, saved: Instant::now() }))
    }

    /// Restores the state that an earlier process saved, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read, or that belongs to another training.
    pub(super) fn restore(
        &self,
        training: &mut dyn Training,
        optimiser: &mut Optimiser,
        observer: &mut dyn Observer,
    ) -> Result<Progress> {
        let path = &self.file.path;
        files::remove_drafts(path)?;
        if !path.exists() {
            return Ok(Progress::default());
        }
        let shown = path.display();
        let metadata = weights::metadata(path)?;
        let text = metadata.get(KEY).with_context(|| format!("{shown} is not the state of a training"))?;
        let header: Header = serde_json::from_str(text).with_context(|| {
            format!("{shown} was saved by an incompatible version; delete it to start over")
        })?;
        ensure!(
            header.identity == self.identity,
            "{shown} belongs to a training with other pictures, settings, seed, teacher or version; repeat that \
             command, or delete the file to start over"
        );
        let mut tensors = weights::read(path)?;
        for store in training.stores() {
            let own = store.variables().into_keys().filter_map(|name| {
                let tensor = tensors.remove(&format!("{PARAMETER}{name}"))?;
                Some((name, tensor))
            });
            let own: BTreeMap<String, Tensor> = own.collect();
            weights::fill(store, own, |_| false).with_context(|| format!("restoring {shown}"))?;
        }
        let optimisers: Vec<&mut Optimiser> =
            [optimiser].into_iter().chain(training.own_optimisers()).collect();
        ensure!(
            optimisers.len() == header.optimiser_steps.len(),
            "{shown} is of a training with other optimisers"
        );
        for (optimiser, steps) in optimisers.into_iter().zip(header.optimiser_steps) {
            optimiser.restore(steps, &tensors).with_context(|| format!("restoring {shown}"))?;
        }
        observer.restore(&header.observer).with_context(|| format!("restoring the observer from {shown}"))?;
        let Progress { steps, epochs, .. } = header.progress;
        log::info!("resuming after epoch {epochs}, step {steps}, from {shown}");
        Ok(header.progress)
    }

    pub(super) fn is_due(&self) -> bool {
        self.saved.elapsed() >= self.file.every
    }

    /// Writes the state, whole.
    pub(super) fn save(
        &mut self,
        training: &mut dyn Training,
        optimiser: &Optimiser,
        progress: Progress,
        observer: &dyn Observer,
    ) -> Result<()> {
        let (mut optimiser_steps, mut tensors) = (vec![optimiser.n_steps()], optimiser.moments());
        for own in training.own_optimisers() {
            optimiser_steps.push(own.n_steps());
            tensors.extend(own.moments());
        }
        let identity = self.identity.clone();
        let header = Header { identity, progress, optimiser_steps, observer: observer.state()? };
        let parameters = training.stores().into_iter().flat_map(VarStore::variables);
        tensors.extend(parameters.map(|(name, tensor)| (format!("{PARAMETER}{name}"), tensor)));
        let metadata = (KEY.to_owned(), serde_json::to_string(&header)?);
        weights::write(tensors, Some(metadata), &self.file.path)?;
        self.saved = Instant::now();
        Ok(())
    }
}
