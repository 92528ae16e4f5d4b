//! Training: teacher features once per picture, then epochs of shuffled batches that mix tasks.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::{Model, Settings};
use crate::method::part::feature_store::FeatureStore;
use crate::method::{Context, Observer, TrainTask};
use crate::network::adam::{Adam, AdamConfig};
use crate::network::{Features, initial};
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
    let pixels = pixels(tasks).to_device(model.device);
    let features = FeatureStore::new(&model.teacher, pixels, settings.feature_memory_gib);
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
    let index = |pick: &dyn Fn(&Episode) -> i64| {
        let indices: Vec<i64> = batch.iter().map(|episode| pick(episode)).collect();
        Tensor::from_slice(&indices).to_device(model.device)
    };
    let Features { scales, deep } = features.at(&index(&|episode| episode.query));
    let n_supports = batch[0].supports.len();
    let support = |k: usize| features.deep_at(&index(&|episode| episode.supports[k]));
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

/// All tasks' pictures, `[n, 3, h, w]`.
fn pixels(tasks: &[TrainTask]) -> Tensor {
    Tensor::cat(&tasks.iter().map(|task| &task.pictures.pixels).collect::<Vec<_>>(), 0)
}
