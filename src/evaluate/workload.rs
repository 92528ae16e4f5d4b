//! Work to be timed: what `bench` runs of D2-4FAD, on formula weights and pictures.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use super::smoothing::OnDevice;
use crate::episode::batch;
use crate::maps::MapStack;
use crate::method::batches;
use crate::method::d24fad::episodes::Episode;
use crate::method::d24fad::training::Distillation;
use crate::method::d24fad::{Model, Settings};
use crate::method::part::grid;
use crate::network::encoder::Encoder;
use crate::network::optimiser::Optimiser;
use crate::network::origin::Origin;
use crate::network::precision::Precision;
use crate::network::remembering::{FeatureLimits, Remembering};
use crate::network::teacher::Teacher;
use crate::network::{Backbone, Input, card, formula, operations, weights};
use crate::protocol::{self, Smoother};

/// A whole cell.
mod cell;

/// Seconds of each repeat, and the loss or the maps' mean of each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timed {
    /// How long each repeat took.
    pub seconds: Vec<f64>,
    /// The loss or the maps' mean of each repeat.
    pub values: Vec<f64>,
    /// Bytes of a card's memory, where the work was done on one.
    #[serde(default)]
    pub memory: Option<u64>,
}

/// D2-4FAD on a device.
pub struct Workload {
    model: Model,
    settings: Settings,
    size: i64,
    device: Device,
    /// Operations of one picture through the teacher, forward.
    pub teacher_operations: f64,
    /// Where features are kept.
    features: PathBuf,
}

impl Workload {
    /// `folder` is for the teacher's weights and for features that are kept.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn new(
        backbone: Backbone,
        size: i64,
        device: Device,
        precision: Precision,
        folder: &Path,
    ) -> Result<Workload> {
        let store = VarStore::new(Device::Cpu);
        let _encoder = Encoder::new(&store.root(), backbone);
        formula::fill(&store, "encoder.");
        let teacher_operations = operations::of_encoder(&store, size);
        let file = folder.join("teacher.safetensors");
        weights::save(&store, &file)?;
        let teacher = Teacher::new(backbone, Input::Unit, &Origin::file(file)?, None, device)?;
        let features = folder.join("features");
        let keeping = FeatureLimits::default().keeping_in(features.clone());
        let teacher = Rc::new(Remembering::new(teacher.computing_in(precision), keeping));
        let settings = Settings { backbone, ..Settings::default() };
        let model = Model::new(teacher, &settings, device);
        Ok(Workload { model, settings, size, device, teacher_operations, features })
    }

    /// Operations of one picture through the decoder, forward.
    pub fn decoder_operations(&self) -> f64 {
        operations::of_decoder(&self.model.student.store, self.size)
    }

    /// Teacher features of a batch.
    pub fn encode(&self, batch: usize, repeats: usize) -> Timed {
        let pictures = batch::to(&self.pixels("image.query", batch), self.device);
        self.timed(repeats, || {
            let features = self.model.teacher().features(&pictures);
            card::wait_for(self.device);
            features.deep.numel() as f64
        })
    }

    /// Steps on one batch, and the seconds that teacher features of its queries took. The first of `repeats` is a
    /// training's first; the others come when a card replays its steps.
    ///
    /// # Errors
    /// If features cannot be kept.
    pub fn train(&self, shots: usize, batch: usize, repeats: usize) -> Result<(Timed, f64)> {
        let pixels = self.episode_pixels(shots, batch);
        let (mut training, mut optimiser) = self.training(&pixels)?;
        let clock = Instant::now();
        self.model.teacher().features(&batch::to(&pixels, self.device));
        card::wait_for(self.device);
        // In training, every picture is a query once an epoch, and a support without further cost.
        let once = clock.elapsed().as_secs_f64() / (1.0 + shots as f64);
        let episodes = episodes(shots, batch);
        let batch: Vec<&Episode> = episodes.iter().collect();
        let first = self.timed(1, || training.step(&batch, &mut optimiser)[0].double_value(&[]));
        // The thousands of steps of a training are replayed ones, but for a few.
        while training.will_be_recorded() {
            let _ = training.step(&batch, &mut optimiser);
        }
        let mut timed =
            self.timed(repeats - 1, || training.step(&batch, &mut optimiser)[0].double_value(&[]));
        timed.seconds.splice(0..0, first.seconds);
        timed.values.splice(0..0, first.values);
        Ok((timed, once))
    }

    /// Total losses of so many steps, and the maps after them: as training does them on this device, or step for step
    /// as written.
    ///
    /// # Errors
    /// If features cannot be kept.
    pub fn outcome(&self, shots: usize, batch: usize, n_steps: usize, as_written: bool) -> Result<Vec<f64>> {
        let (mut training, mut optimiser) = self.training(&self.episode_pixels(shots, batch))?;
        if as_written {
            training = training.unrecorded();
        }
        let episodes = episodes(shots, batch);
        let episodes: Vec<&Episode> = episodes.iter().collect();
        let mut outcome: Vec<f64> =
            (0..n_steps).map(|_| training.step(&episodes, &mut optimiser)[0].double_value(&[])).collect();
        ensure!(
            as_written || training.is_recorded(),
            "nothing was recorded, so there is nothing to hold against the steps as they are written"
        );
        let supports = batch::to(&self.pixels("image.support", shots), self.device);
        let maps = self.model.maps(&self.model.adapted(&supports), &self.pixels("image.query", batch));
        outcome.extend(grid::to_maps(&maps)?.values().iter().map(|&value| f64::from(value)));
        Ok(outcome)
    }

    /// A batch of queries, then every query's first support, and so on.
    fn episode_pixels(&self, shots: usize, batch: usize) -> Tensor {
        let queries = self.pixels("image.query", batch);
        Tensor::cat(&[queries, self.pixels("image.support", shots * batch)], 0)
    }

    /// Maps of one batch, each smoothed by itself.
    ///
    /// # Errors
    /// What libtorch or the smoothing fails with.
    pub fn score(&self, shots: usize, batch: usize, repeats: usize) -> Result<Timed> {
        formula::fill(&self.model.student.store, "");
        let mut queries = self.pixels("image.query", batch);
        let ready = self.model.adapted(&batch::to(&self.pixels("image.support", shots), self.device));
        let mut all = Vec::with_capacity(repeats);
        let mut failed = Ok(());
        let mut timed = self.timed(repeats, || {
            let maps = grid::to_maps(&self.model.maps(&ready, &queries)).and_then(|maps| {
                OnDevice::new(&maps, self.device).own()?;
                Ok(maps)
            });
            match maps {
                Ok(maps) => all.push(maps),
                Err(error) => failed = Err(error),
            }
            // The first has the very pictures that others compute on; then come 8 bits, as a bench has them.
            queries = queries.to_kind(Kind::Uint8);
            0.0
        });
        let mean = |maps: &MapStack| {
            let sum: f64 = maps.values().iter().map(|&value| f64::from(value)).sum();
            sum / maps.values().len() as f64
        };
        timed.values = all.iter().map(mean).collect();
        failed.map(|()| timed)
    }

    /// One epoch over `n_train` pictures in batches of `batch`, and the evaluation of `n_test` pictures under every
    /// protocol; the value is the last loss. Pictures repeat: what counts is the work.
    ///
    /// # Errors
    /// What the training or the scoring fails with.
    pub fn epoch(
        &self,
        shots: usize,
        batch: usize,
        [n_train, n_test]: [usize; 2],
        repeats: usize,
    ) -> Result<Timed> {
        let pixels = self.pool("image.query", n_train);
        let (mut training, mut optimiser) = self.training(&pixels)?;
        let supports = batch::to(&self.pixels("image.support", shots), self.device);
        let test = self.pool("image.query", n_test);
        let episodes = episodes_of(n_train, shots);
        let mut failed = Ok(());
        let timed = self.timed(repeats, || {
            let mut last = None;
            for step in episodes.chunks_exact(batch) {
                last = Some(training.step(&step.iter().collect::<Vec<_>>(), &mut optimiser));
            }
            let last = last.map_or(f64::NAN, |[total, ..]| total.double_value(&[]));
            let evaluate = || -> Result<()> {
                let ready = self.model.adapted(&supports);
                let (mut values, at_once) =
                    (Vec::new(), if self.device.is_cuda() { batches::ON_CARD * batch } else { batch });
                for part in test.split(at_once as i64, 0) {
                    values.extend_from_slice(grid::to_maps(&self.model.maps(&ready, &part))?.values());
                }
                let side = self.size as usize;
                self.protocols(&MapStack::new(n_test, side, side, values)?)
            };
            if let Err(error) = evaluate() {
                failed = Err(error);
            }
            last
        });
        failed.map(|()| timed)
    }

    /// Smoothing of so many maps under every protocol.
    ///
    /// # Errors
    /// What the smoothing fails with.
    pub fn smooth(&self, count: usize, repeats: usize) -> Result<Timed> {
        let side = self.size as usize;
        let values = formula::uniform("maps", side * side).into_iter().map(|value| value as f32);
        let one: Vec<f32> = values.collect();
        let maps = MapStack::new(count, side, side, one.repeat(count))?;
        let mut failed = Ok(());
        let timed = self.timed(repeats, || {
            if let Err(error) = self.protocols(&maps) {
                failed = Err(error);
            }
            0.0
        });
        failed.map(|()| timed)
    }

    fn protocols(&self, maps: &MapStack) -> Result<()> {
        protocol::score(&OnDevice::new(maps, self.device)).map(drop)
    }

    /// A training from the start.
    fn training(&self, pixels: &Tensor) -> Result<(Distillation<'_>, Optimiser)> {
        formula::fill(&self.model.student.store, "");
        let training = Distillation::new(&self.model, &self.settings, &[pixels])?;
        Ok((training, Optimiser::new(&[&self.model.student.store], self.settings.rule())))
    }

    fn pixels(&self, name: &str, n: usize) -> Tensor {
        formula::pictures(name, n as i64, self.size) * 255.0
    }

    /// Many pictures, made of a few: `[n, 3, size, size]` of 8 bits.
    fn pool(&self, name: &str, n: usize) -> Tensor {
        let few = self.pixels(name, n.min(64)).to_kind(Kind::Uint8);
        let places: Vec<i64> = (0..n as i64).map(|index| index % few.size()[0]).collect();
        few.index_select(0, &Tensor::from_slice(&places))
    }

    fn timed(&self, repeats: usize, mut work: impl FnMut() -> f64) -> Timed {
        let mut timed = Timed::default();
        for _ in 0..repeats {
            card::wait_for(self.device);
            let clock = Instant::now();
            timed.values.push(work());
            card::wait_for(self.device);
            timed.seconds.push(clock.elapsed().as_secs_f64());
        }
        timed.memory = card::memory(self.device).map(|memory| memory.total - memory.free);
        timed
    }
}

/// Each of `n` pictures with those after it as its supports.
fn episodes_of(n: usize, shots: usize) -> Vec<Episode> {
    let n = n as i64;
    let supports = |query: i64| (1..=shots as i64).map(|k| (query + k) % n).collect();
    (0..n).map(|query| Episode { query, supports: supports(query) }).collect()
}

/// One batch over what [`Workload::episode_pixels`] gives.
fn episodes(shots: usize, batch: usize) -> Vec<Episode> {
    let episode = |query: usize| Episode {
        query: query as i64,
        supports: (1..=shots).map(|k| (k * batch + query) as i64).collect(),
    };
    (0..batch).map(episode).collect()
}
