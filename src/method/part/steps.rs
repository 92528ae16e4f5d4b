//! Training by a number of steps: an epoch of two supports would be too short to count in.
//! Training in steps over shuffled batches of a fixed set of pictures.

use anyhow::{Result, ensure};
use tch::Tensor;

use crate::method::Context;
use crate::progress;
use crate::random::Stream;

/// Times that training is looked at, evenly spaced, the last step among them.
const LOOKS: u64 = 10;

/// Endless batches of indices: pass after pass over all, each in an order of its own; what does not fill a
/// batch is left out of that pass.
pub struct Batches {
    seed: u64,
    size: usize,
    pass: u64,
    order: Vec<i64>,
    place: usize,
}

impl Batches {
    /// Batches of `size` out of `count`, or of all where they are fewer.
    pub fn new(count: usize, size: usize, seed: u64) -> Batches {
        let order: Vec<i64> = (0..count as i64).collect();
        Batches { seed, size: size.min(count), pass: 0, place: count, order }
    }

    /// The next batch.
    pub fn draw(&mut self) -> &[i64] {
        if self.place + self.size > self.order.len() {
            self.pass += 1;
            self.order.sort_unstable();
            Stream::new(self.seed, "training order", self.pass).shuffle(&mut self.order);
            self.place = 0;
        }
        self.place += self.size;
        &self.order[self.place - self.size..self.place]
    }
}

/// Takes `count` steps. `step` is given its number, from 0, and returns its loss; `look` is given the number of
/// steps taken so far and the mean loss since it was called before.
pub fn run(
    count: u64,
    context: &Context,
    step: &mut dyn FnMut(u64) -> Tensor,
    look: &mut dyn FnMut(u64, f64) -> Result<()>,
) -> Result<()> {
    let bar = progress::bar(count as usize, &context.label);
    let (mut sum, mut since) = (0.0, 0);
    for number in 0..count {
        sum += step(number).double_value(&[]);
        since += 1;
        bar.inc(1);
        let taken = number + 1;
        if taken * LOOKS / count > number * LOOKS / count {
            let loss = sum / f64::from(since);
            ensure!(
                loss.is_finite(),
                "training diverged before step {taken}: the loss is {loss}; lower learning_rate"
            );
            look(taken, loss)?;
            (sum, since) = (0.0, 0);
use crate::method::{Context, EpochFigures};
use crate::progress;
use crate::random::Stream;

/// How long and on how much.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Pictures to learn from.
    pub pictures: usize,
    /// Pictures a step; all of them if there are fewer.
    pub batch: usize,
    pub steps: u64,
    /// Times that training is looked at, evenly spaced, the last step among them.
    pub reports: u64,
}

impl Plan {
    /// As many steps as `epochs` take.
    pub fn of_epochs(pictures: usize, batch: usize, epochs: u64, reports: u64) -> Plan {
        let steps = epochs * sizes(pictures, batch).len() as u64;
        Plan { pictures, batch, steps, reports: reports.min(epochs) }
    }
}

/// Sizes of the batches of one epoch. A last picture by itself joins the batch before it: batch norms need two.
fn sizes(pictures: usize, batch: usize) -> Vec<usize> {
    let mut sizes = vec![batch; pictures / batch];
    match pictures % batch {
        0 => {}
        1 if !sizes.is_empty() => *sizes.last_mut().expect("not empty") += 1,
        rest => sizes.push(rest),
    }
    sizes
}

/// Calls `step` with its number, from 0, and the indices of its pictures (on the device), in a new order every
/// epoch. `step` returns the loss and its parts. `report` gets their means since the last report.
///
/// # Errors
/// A loss that is not finite.
pub fn run(
    plan: &Plan,
    context: &Context,
    step: &mut dyn FnMut(u64, &Tensor) -> EpochFigures,
    report: &mut dyn FnMut(u64, &EpochFigures) -> Result<()>,
) -> Result<()> {
    let sizes = sizes(plan.pictures, plan.batch);
    let (mut order, mut at, mut epoch): (Vec<i64>, _, _) = (Vec::new(), 0, 0);
    let mut sums: EpochFigures = Vec::new();
    let (mut since, mut n_reports) = (0u64, 0);
    let bar = progress::bar(plan.steps as usize, &context.label);
    for number in 0..plan.steps {
        let place = (number % sizes.len() as u64) as usize;
        if place == 0 {
            (order, at, epoch) = ((0..plan.pictures as i64).collect(), 0, epoch + 1);
            Stream::new(context.seed, "order of pictures", epoch).shuffle(&mut order);
        }
        let batch = Tensor::from_slice(&order[at..at + sizes[place]]).to_device(context.device);
        at += sizes[place];
        add(&mut sums, step(number, &batch));
        since += 1;
        bar.inc(1);
        if (number + 1) * plan.reports / plan.steps > n_reports {
            n_reports += 1;
            let means: EpochFigures = sums.drain(..).map(|(name, sum)| (name, sum / since as f64)).collect();
            let finite = means.iter().all(|(_, mean)| mean.is_finite());
            ensure!(finite, "training diverged by step {}: {means:?}", number + 1);
            report(n_reports, &means)?;
            since = 0;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn add(sums: &mut EpochFigures, figures: EpochFigures) {
    if sums.is_empty() {
        *sums = figures;
    } else {
        sums.iter_mut().zip(figures).for_each(|((_, sum), (_, value))| *sum += value);
    }
}
