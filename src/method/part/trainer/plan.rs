//! How long a training lasts, when it is observed, and which items each of its batches holds.

use crate::ids::TaskName;
use crate::method::work::{self, Operations, Work};
use crate::random::Stream;

/// One stage of a training; most have one stage.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How items are dealt out to batches.
    pub order: Order,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Parts of equal length after each of which the training is observed; at most `steps`.
    pub epochs: u64,
}

/// How items (pictures or episodes) are dealt out to batches, anew in every pass.
#[derive(Clone, Debug)]
pub enum Order {
    /// All items, shuffled. A last batch of fewer than `FEWEST` joins the one before it.
    All {
        /// How many there are.
        items: usize,
        /// Items a step.
        batch: usize,
    },
    /// Whole batches alone, shuffled; what is left over waits for another pass.
    Whole {
        /// How many there are.
        items: usize,
        /// Items a step.
        batch: usize,
    },
    /// Whole batches, each of one task, in random order; items are numbered through all tasks. A task that does not
    /// fill one batch makes a smaller one, if it has two items.
    ByTask {
        /// Each task with the number of its items.
        tasks: Vec<(TaskName, usize)>,
        /// Items a step.
        batch: usize,
    },
}

/// Epochs of a training that is counted in steps.
const EPOCHS: u64 = 10;

/// Fewest items of a last batch: batch norms are unstable with fewer.
const FEWEST: usize = 4;

impl Plan {
    /// A number of steps, in `EPOCHS` epochs.
    pub fn of_steps(items: usize, batch: usize, steps: u64) -> Plan {
        Plan { order: Order::All { items, batch }, steps, epochs: EPOCHS.min(steps) }
    }

    /// As many steps as `passes` over all items take, in at most `epochs` epochs.
    pub fn of_passes(items: usize, batch: usize, passes: u64, epochs: u64) -> Plan {
        let order = Order::All { items, batch };
        let steps = passes * order.n_batches() as u64;
        Plan { order, steps, epochs: epochs.min(passes) }
    }

    /// As many steps as `passes` take, observed after each.
    pub fn of_observed_passes(order: Order, passes: u64) -> Plan {
        let steps = passes * order.n_batches() as u64;
        Plan { order, steps, epochs: passes }
    }

    /// Items that enter all steps together, each counted as often as it enters.
    pub fn n_entering(&self) -> f64 {
        match self.order {
            Order::Whole { batch, .. } => self.steps as f64 * batch as f64,
            _ => self.steps as f64 * self.order.n_items() as f64 / self.order.n_batches() as f64,
        }
    }

    /// Pictures of a step.
    pub fn per_step(&self) -> f64 {
        self.n_entering() / self.steps as f64
    }

    /// What a learner with maps does in all: `teacher` operations once for each picture, and `student` operations each
    /// time a picture enters a step, forward; a query takes both.
    pub fn work(&self, teacher: f64, student: f64) -> Work {
        let forward = self.order.n_items() as f64 * teacher;
        let training = self.n_entering() * work::TRAINING * student;
        Work {
            fit: Operations { forward, training },
            query: teacher + student,
            encode: teacher,
            teacher,
            evaluations: self.epochs,
            maps: true,
            ..Work::default()
        }
    }

    /// Whether an epoch ends with the step of that number, counted from 0.
    pub fn ends_epoch(&self, step: u64) -> bool {
        (step + 1) * self.epochs / self.steps > step * self.epochs / self.steps
    }
}

impl Order {
    fn n_items(&self) -> usize {
        match self {
            Order::All { items, .. } | Order::Whole { items, .. } => *items,
            Order::ByTask { tasks, .. } => tasks.iter().map(|(_, items)| items).sum(),
        }
    }

    /// Batches of one pass.
    pub fn n_batches(&self) -> usize {
        match self {
            Order::All { items, batch } => sizes(*items, *batch).len(),
            Order::Whole { items, batch } => items / batch,
            Order::ByTask { tasks, batch } => {
                tasks.iter().filter_map(|(_, items)| Some(items / task_batch(*items, *batch)?)).sum()
            }
        }
    }

    /// The batches of one pass, counted from 1.
    pub fn batches(&self, seed: u64, pass: u64) -> Vec<Vec<i64>> {
        match self {
            Order::All { items, batch } => {
                let order = shuffled(0..*items as i64, seed, "order of pictures", pass);
                let mut rest = order.as_slice();
                let take = |size: usize| rest.split_off(..size).expect("sizes sum to the items").to_vec();
                sizes(*items, *batch).into_iter().map(take).collect()
            }
            Order::Whole { items, batch } => {
                let order = shuffled(0..*items as i64, seed, "training order", pass);
                order.chunks_exact(*batch).map(<[i64]>::to_vec).collect()
            }
            Order::ByTask { tasks, batch } => by_task(tasks, *batch, seed, pass),
        }
    }
}

/// Sizes of the batches of one pass over all items.
fn sizes(items: usize, batch: usize) -> Vec<usize> {
    let mut sizes = vec![batch; items / batch];
    match (items % batch, sizes.last_mut()) {
        (0, _) => {}
        (rest, Some(last)) if rest < FEWEST => *last += rest,
        (rest, _) => sizes.push(rest),
    }
    sizes
}

/// Items of one batch of a task; `None` if it has too few for any.
fn task_batch(items: usize, batch: usize) -> Option<usize> {
    Some(batch.min(items)).filter(|&size| size >= 2)
}

fn by_task(tasks: &[(TaskName, usize)], batch: usize, seed: u64, pass: u64) -> Vec<Vec<i64>> {
    let (mut batches, mut first) = (Vec::new(), 0);
    for (name, items) in tasks {
        let range = first..first + *items as i64;
        first = range.end;
        let order = shuffled(range, seed, &format!("training order {name}"), pass);
        if let Some(size) = task_batch(*items, batch) {
            batches.extend(order.chunks_exact(size).map(<[i64]>::to_vec));
        }
    }
    Stream::new(seed, "training order of batches", pass).shuffle(&mut batches);
    batches
}

fn shuffled(items: std::ops::Range<i64>, seed: u64, purpose: &str, pass: u64) -> Vec<i64> {
    let mut order: Vec<i64> = items.collect();
    Stream::new(seed, purpose, pass).shuffle(&mut order);
    order
}
