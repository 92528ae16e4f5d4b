//! Training on other tasks: batches of one task, every query with its own supports.

use anyhow::{Result, ensure};
use tch::Tensor;
use tch::nn::{OptimizerConfig, Sgd};

use super::Settings;
use super::model::Model;
use crate::method::{Context, Observer, TrainTask};
use crate::progress;
use crate::random::Stream;

/// Queries of one task that make one step, as places in its pairs.
struct Batch<'a> {
    task: &'a TrainTask,
    pairs: Vec<usize>,
}

/// Trains everything; the observer sees the model after each epoch.
///
/// Each query keeps the supports that the episodes give it, while the published code draws them anew each epoch.
pub fn train(
    model: &Model,
    settings: &Settings,
    tasks: &[TrainTask],
    context: &Context,
    observer: &mut dyn Observer,
) -> Result<()> {
    let sgd = Sgd { momentum: settings.momentum, ..Sgd::default() };
    let mut sgd = sgd.build(&model.store, settings.learning_rate)?;
    let n_steps = batches(tasks, settings.batch, context.seed, 0).len();
    ensure!(n_steps > 0, "regad: no task has two train normals to learn from; curate more");
    let bar = progress::bar(n_steps * settings.epochs as usize, &context.label);
    for epoch in 1..=settings.epochs {
        let progress = (epoch - 1) as f64 / settings.epochs as f64;
        sgd.set_lr(settings.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()));
        let mut sum = 0.0;
        for batch in batches(tasks, settings.batch, context.seed, epoch) {
            let (queries, supports) = batch.pictures(context.shots)?;
            let loss = model.loss(&queries, &supports);
            sgd.backward_step(&loss);
            sum += loss.double_value(&[]) / n_steps as f64;
            bar.inc(1);
        }
        ensure!(sum.is_finite(), "regad: training diverged in epoch {epoch}; lower learning_rate");
        observer.look(epoch, &vec![("loss", sum)], model)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// One epoch's batches, each of one task, in random order.
fn batches(tasks: &[TrainTask], size: usize, seed: u64, epoch: u64) -> Vec<Batch<'_>> {
    let mut batches = Vec::new();
    for task in tasks {
        let mut order: Vec<usize> = (0..task.pairs.len()).collect();
        Stream::new(seed, &format!("training order {}", task.name), epoch).shuffle(&mut order);
        let size = size.min(order.len());
        if size >= 2 {
            batches.extend(order.chunks_exact(size).map(|pairs| Batch { task, pairs: pairs.to_vec() }));
        }
    }
    Stream::new(seed, "training order of batches", epoch).shuffle(&mut batches);
    batches
}

impl Batch<'_> {
    /// Queries `[b, 3, h, w]` and their first `shots` supports `[b * shots, 3, h, w]`, query after query.
    fn pictures(&self, shots: usize) -> Result<(Tensor, Tensor)> {
        let (mut queries, mut supports) = (Vec::new(), Vec::new());
        for &pair in &self.pairs {
            let (query, of_query) = &self.task.pairs[pair];
            ensure!(
                of_query.len() >= shots,
                "pairs of `{}` hold {} supports, {shots} are asked for",
                self.task.name,
                of_query.len()
            );
            queries.push(*query as i64);
            supports.extend(of_query[..shots].iter().map(|&index| index as i64));
        }
        let pick = |indices: &[i64]| self.task.pictures.pixels.index_select(0, &Tensor::from_slice(indices));
        Ok((pick(&queries), pick(&supports)))
    }
}
