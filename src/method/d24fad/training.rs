//! Training: teacher features once per picture, then epochs of shuffled batches that mix tasks.

use anyhow::{Result, ensure};
use tch::{Device, Tensor};

use super::{Model, Settings};
use crate::episode::batch::Pictures;
use crate::method::{Context, Observer, TrainTask};
use crate::network::adam::{Adam, AdamConfig};
use crate::network::{Features, Scales, initial};
use crate::progress;
use crate::random::Stream;

/// A query and its supports, as indices into the features of all tasks.
struct Episode {
    query: i64,
    supports: Vec<i64>,
}

/// Trains decoder and weighting; the observer sees the model after each epoch.
pub fn train(
    model: &Model,
    settings: &Settings,
    tasks: &[TrainTask],
    context: &Context,
    observer: &mut Observer,
) -> Result<()> {
    initial::initialise(&model.student.store, context.seed);
    let episodes = episodes(tasks, context.shots)?;
    let n_steps = episodes.len() / settings.batch;
    ensure!(
        n_steps > 0,
        "{} training pictures do not fill one batch of {}; lower `batch` or curate more",
        episodes.len(),
        settings.batch
    );
    let features = FeatureStore::new(model, tasks, settings.feature_memory_gib)?;
    let config =
        AdamConfig { learning_rate: settings.learning_rate, beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
    let mut adam = Adam::new(&model.student.store, config);
    let bar = progress::bar(n_steps * settings.epochs as usize, &context.label);
    for epoch in 1..=settings.epochs {
        let mut order: Vec<usize> = (0..episodes.len()).collect();
        Stream::new(context.seed, "training order", epoch).shuffle(&mut order);
        let mut sums = [0.0; 3];
        for batch in order.chunks_exact(settings.batch) {
            let losses =
                step(model, settings, &features, batch.iter().map(|&index| &episodes[index]).collect());
            adam.step(&losses[0]);
            for (sum, loss) in sums.iter_mut().zip(&losses) {
                *sum += loss.double_value(&[]) / n_steps as f64;
            }
            bar.inc(1);
        }
        ensure!(sums[0].is_finite(), "training diverged in epoch {epoch}: the loss is {}", sums[0]);
        let names = ["loss", "self-distillation", "teacher-student"];
        observer(epoch, &names.into_iter().zip(sums).collect(), model)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Total, self-distillation and teacher-student loss of one batch.
fn step(model: &Model, settings: &Settings, features: &FeatureStore, batch: Vec<&Episode>) -> [Tensor; 3] {
    let queries: Vec<i64> = batch.iter().map(|episode| episode.query).collect();
    let Features { scales, deep } = features.at(model, &queries);
    let n_supports = batch[0].supports.len();
    let support = |k: usize| {
        let indices: Vec<i64> = batch.iter().map(|episode| episode.supports[k]).collect();
        features.deep_at(model, &indices)
    };
    let supports: Vec<Tensor> = (0..n_supports).map(support).collect();
    let losses = model.student.losses(&scales, &deep, &supports, settings.lambda);
    [losses.total, losses.self_distillation, losses.teacher_student]
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

/// Teacher features of every training picture, kept or computed on demand.
struct FeatureStore {
    /// All tasks' pictures, `[n, 3, h, w]`, on the device.
    pixels: Tensor,
    kept: Option<Features>,
}

impl FeatureStore {
    fn new(model: &Model, tasks: &[TrainTask], memory_gib: f64) -> Result<FeatureStore> {
        let all: Vec<&Tensor> = tasks.iter().map(|task: &TrainTask| pixels(&task.pictures)).collect();
        let pixels = Tensor::cat(&all, 0).to_device(model.device);
        let n = pixels.size()[0];
        let first = model.teacher.features(&pixels.narrow(0, 0, 1));
        let tensors = first.scales.iter().chain([&first.deep]);
        let bytes: f64 = tensors.map(|tensor| tensor.numel() as f64 * 4.0 * n as f64).sum();
        let mut store = FeatureStore { pixels, kept: None };
        if bytes <= memory_gib * f64::from(1u32 << 30) {
            let chunks = (0..n)
                .step_by(32)
                .map(|start| model.teacher.features(&store.pixels.narrow(0, start, (n - start).min(32))));
            store.kept = Some(join(chunks.collect()));
        }
        Ok(store)
    }

    fn at(&self, model: &Model, indices: &[i64]) -> Features {
        let index = Tensor::from_slice(indices).to_device(self.pixels.device());
        match &self.kept {
            Some(Features { scales, deep }) => {
                let scales = scales.each_ref().map(|scale| scale.index_select(0, &index));
                Features { scales, deep: deep.index_select(0, &index) }
            }
            None => model.teacher.features(&self.pixels.index_select(0, &index)),
        }
    }

    fn deep_at(&self, model: &Model, indices: &[i64]) -> Tensor {
        let index = Tensor::from_slice(indices).to_device(self.pixels.device());
        match &self.kept {
            Some(features) => features.deep.index_select(0, &index),
            None => model.teacher.features(&self.pixels.index_select(0, &index)).deep,
        }
    }
}

fn pixels(pictures: &Pictures) -> &Tensor {
    debug_assert_eq!(pictures.pixels.device(), Device::Cpu);
    &pictures.pixels
}

fn join(chunks: Vec<Features>) -> Features {
    let cat =
        |part: &dyn Fn(&Features) -> Tensor| Tensor::cat(&chunks.iter().map(part).collect::<Vec<_>>(), 0);
    let scales: Scales = [0, 1, 2].map(|scale| cat(&|chunk| chunk.scales[scale].shallow_clone()));
    Features { scales, deep: cat(&|chunk| chunk.deep.shallow_clone()) }
}
