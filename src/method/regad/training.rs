//! Training on other tasks: batches of one task, every query with its own supports.

use anyhow::{Result, ensure};
use tch::Tensor;
use tch::nn::VarStore;

use super::model::RegadModel;
use crate::method::contract::{Fitted, TrainTask};
use crate::method::part::trainer::{Order, Step, StepFigures, Training};
use crate::network::optimiser::Optimiser;

/// Backbone, transformers and head learn to register pictures of one task. Each query keeps the supports that the
/// episodes give it, while the published code draws them anew each epoch.
pub(super) struct RegadTraining<'a> {
    pub model: &'a RegadModel,
    pub tasks: &'a [TrainTask],
    pub shots: usize,
}

/// Batches of the pairs of tasks, numbered through all of them.
pub(super) fn order(tasks: &[TrainTask], batch: usize) -> Order {
    let named = tasks.iter().map(|task| (task.name.clone(), task.pairs.len()));
    Order::ByTask { tasks: named.collect(), batch }
}

impl Training for RegadTraining<'_> {
    fn stores(&self) -> Vec<&VarStore> {
        vec![&self.model.store]
    }

    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures> {
        let (queries, supports) = self.pictures(&step.batch)?;
        let loss = self.model.loss(&queries, &supports);
        optimiser.step(&loss);
        Ok(vec![("loss", loss)])
    }

    fn model(&self) -> Result<Box<dyn Fitted + '_>> {
        Ok(Box::new(self.model))
    }
}

impl RegadTraining<'_> {
    /// Queries `[b, 3, h, w]` and their first `shots` supports `[b * shots, 3, h, w]`, query after query, of pairs of
    /// one task.
    fn pictures(&self, batch: &[i64]) -> Result<(Tensor, Tensor)> {
        let (task, first) = self.task_of(batch[0] as usize);
        let (mut queries, mut supports) = (Vec::new(), Vec::new());
        for &item in batch {
            let (query, of_query) = &task.pairs[item as usize - first];
            ensure!(
                of_query.len() >= self.shots,
                "pairs of `{}` hold {} supports, {} are asked for",
                task.name,
                of_query.len(),
                self.shots
            );
            queries.push(*query as i64);
            supports.extend(of_query[..self.shots].iter().map(|&index| index as i64));
        }
        let pick = |indices: &[i64]| task.pictures.pixels.index_select(0, &Tensor::from_slice(indices));
        Ok((pick(&queries), pick(&supports)))
    }

    /// The task of an item, and the number of its first item.
    fn task_of(&self, item: usize) -> (&TrainTask, usize) {
        let mut first = 0;
        for task in self.tasks {
            if item < first + task.pairs.len() {
                return (task, first);
            }
            first += task.pairs.len();
        }
        unreachable!("items are dealt out of the tasks' pairs")
    }
}
