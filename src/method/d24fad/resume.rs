//! A training that was stopped goes on where it was: decoder, weighting, both moments of the optimiser, epoch, step.
//! Random streams need no place: each is named by seed, purpose and epoch.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::training::Training;
use super::{Model, Settings};
use crate::files;
use crate::method::{Context, Keep, Observer};
use crate::network::{Network, weights};

/// How far a training is; what comes next.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs that are complete.
    pub epochs: u64,
    /// Steps done of the epoch after them.
    pub steps: usize,
    /// Losses of those steps, as summed on the device.
    pub sums: [f64; 3],
}

/// What a file says beside its tensors.
#[derive(Serialize, Deserialize)]
struct Words {
    /// Of everything that determines the training.
    identity: String,
    progress: Progress,
    adam_steps: i32,
    /// What the observer has gathered.
    gathered: String,
}

/// Key of those words in the file's metadata.
const KEY: &str = "medfsad-training";
const MODEL: &str = "model.";

/// Keeps the state of one training at its intervals.
pub struct Keeper<'a> {
    keep: &'a Keep,
    identity: String,
    last: Instant,
}

impl Keeper<'_> {
    /// `None` if the context asks for none. `pixels` and `episodes` are what is learnt from.
    pub fn new<'a>(
        context: &'a Context,
        settings: &Settings,
        pixels: &Tensor,
        episodes: &str,
    ) -> Result<Option<Keeper<'a>>> {
        let Some(keep) = &context.keep else { return Ok(None) };
        let network = Network::Backbone(settings.backbone);
        let bytes: Vec<u8> = Vec::try_from(pixels.flatten(0, -1))?;
        let parts = [
            crate::CODE_HASH.to_owned(),
            serde_json::to_string(settings)?,
            context.teachers.of(network).hash(network),
            format!(
                "{} {} {} {}",
                if context.device.is_cuda() { "cuda" } else { "cpu" },
                context.precision.name(),
                context.seed,
                context.shots
            ),
            files::fingerprint(&bytes),
            files::fingerprint(episodes.as_bytes()),
        ];
        let identity = files::fingerprint(parts.join("\n").as_bytes());
        Ok(Some(Keeper { keep, identity, last: Instant::now() }))
    }

    /// Takes up the state that an earlier process kept, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read, or that another training has left.
    pub fn take_up(
        &self,
        model: &Model,
        training: &mut Training,
        observer: &mut dyn Observer,
    ) -> Result<Progress> {
        let path = &self.keep.path;
        files::remove_drafts(path)?;
        if !path.exists() {
            return Ok(Progress::default());
        }
        let metadata = weights::metadata(path)?;
        let text = metadata.get(KEY).with_context(|| format!("{} is no kept training", path.display()))?;
        let words: Words = serde_json::from_str(text).with_context(|| {
            format!("{} is the kept training of another version; remove it", path.display())
        })?;
        ensure!(
            words.identity == self.identity,
            "{} was left by a training with other pictures, settings, seed, teacher or version, which could still go on; \
             call it as then, or remove the file to start anew",
            path.display()
        );
        let (mut parameters, mut moments) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in weights::read(path)? {
            match name.strip_prefix(MODEL) {
                Some(name) => parameters.insert(name.to_owned(), tensor),
                None => moments.insert(name, tensor),
            };
        }
        weights::fill(&model.student.store, parameters, |_| false)
            .and_then(|()| training.adam.restore(words.adam_steps, &moments))
            .with_context(|| format!("the kept training {}", path.display()))?;
        observer.recall(&words.gathered).context("what was gathered before the stop")?;
        eprintln!(
            "going on after epoch {} and {} steps, from {}",
            words.progress.epochs,
            words.progress.steps,
            path.display()
        );
        Ok(words.progress)
    }

    pub fn is_due(&self) -> bool {
        self.last.elapsed() >= self.keep.every
    }

    /// Writes the state, whole.
    pub fn save(
        &mut self,
        model: &Model,
        training: &Training,
        progress: &Progress,
        observer: &dyn Observer,
    ) -> Result<()> {
        let words = Words {
            identity: self.identity.clone(),
            progress: progress.clone(),
            adam_steps: training.adam.n_steps(),
            gathered: observer.gathered()?,
        };
        let mut tensors = training.adam.moments();
        let parameters = model.student.store.variables();
        tensors.extend(parameters.into_iter().map(|(name, tensor)| (format!("{MODEL}{name}"), tensor)));
        let metadata = (KEY.to_owned(), serde_json::to_string(&words)?);
        weights::write(tensors, Some(metadata), &self.keep.path)?;
        self.last = Instant::now();
        Ok(())
    }
}
