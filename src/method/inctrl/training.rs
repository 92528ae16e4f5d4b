//! Training on other tasks: batches of as many normals as anomalies, each with normals of its own task.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::InctrlModel;
use super::model::{Prompts, Seen, focal};
use crate::episode::batch::Pictures;
use crate::method::contract::Fitted;
use crate::method::part::trainer::{Step, StepFigures, Training};
use crate::network::layer::Norm;
use crate::network::optimiser::Optimiser;
use crate::random::Stream;

/// The heads learn to tell anomalies of other tasks.
pub(super) struct InctrlTraining<'a> {
    pub model: &'a InctrlModel,
    pub tasks: Vec<Source<'a>>,
    pub batch: usize,
    pub shots: usize,
    pub seed: u64,
    /// Mixes pictures of a batch up, as the published code does.
    pub mixes: bool,
}

/// A task with its words.
pub(super) struct Source<'a> {
    pub normals: &'a Pictures,
    pub anomalies: &'a Pictures,
    /// `[2, joint]`.
    pub texts: Tensor,
}

/// One batch on the device.
struct Batch {
    /// `[b, 3, h, w]` of bytes.
    queries: Tensor,
    /// The first of every query, then the second of every one, `[shots b, 3, h, w]`.
    prompts: Tensor,
    /// `[b, 2, joint]`.
    texts: Tensor,
    /// 1 for anomalies, `[b]`.
    labels: Tensor,
}

impl Training for InctrlTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.heads.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let Batch { queries, prompts, texts, labels } = self.batch(step.number);
        let (seen, prompts) = (self.model.seen(&queries), self.model.seen(&prompts));
        let n = queries.size()[0];
        let (seen, prompts): (Seen, Prompts) = match self.mixes {
            true => (seen.mixed(), Prompts::mixed(&prompts, n)),
            false => (seen, Prompts::of_each(&prompts, n)),
        };
        let parts = self.model.heads.parts(&seen, &prompts, &texts, Norm::Batch);
        let (of_score, of_image) = (focal(&parts.score, &labels), focal(&parts.image, &labels));
        let loss = &of_score + &of_image;
        optimiser.step(&loss);
        Ok(vec![("loss", loss), ("score", of_score), ("image", of_image)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(self.model))
    }
}

impl InctrlTraining<'_> {
    /// Draws pictures of all tasks alike, normals and anomalies in turn; a query may be among its own prompts, as published.
    fn batch(&self, step: u64) -> Batch {
        let mut stream = Stream::new(self.seed, "balanced batch", step);
        let (mut queries, mut of_queries) = (Vec::new(), Vec::new());
        for item in 0..self.batch {
            let is_anomalous = item % 2 == 1;
            let pool =
                |source: &'_ Source| if is_anomalous { source.anomalies.len() } else { source.normals.len() };
            let mut left = stream.below(self.tasks.iter().map(pool).sum());
            let mut source = &self.tasks[0];
            for task in &self.tasks {
                source = task;
                if left < pool(task) {
                    break;
                }
                left -= pool(task);
            }
            let pictures = if is_anomalous { source.anomalies } else { source.normals };
            queries.push(pictures.pixels.get(left as i64));
            let drawn: Vec<i64> =
                (0..self.shots).map(|_| stream.below(source.normals.len()) as i64).collect();
            of_queries.push((source, drawn));
        }
        let prompts: Vec<Tensor> = (0..self.shots)
            .flat_map(|shot| {
                of_queries.iter().map(move |(source, drawn)| source.normals.pixels.get(drawn[shot]))
            })
            .collect();
        let texts: Vec<&Tensor> = of_queries.iter().map(|(source, _)| &source.texts).collect();
        let labels: Vec<f32> = (0..self.batch).map(|item| (item % 2) as f32).collect();
        let device: Device = self.model.network.device();
        Batch {
            queries: Tensor::stack(&queries, 0),
            prompts: Tensor::stack(&prompts, 0),
            texts: Tensor::stack(&texts, 0),
            labels: Tensor::from_slice(&labels).to_device(device),
        }
    }
}
