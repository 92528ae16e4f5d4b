//! Training by a number of steps: an epoch of two supports would be too short to count in.

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
        }
    }
    bar.finish_and_clear();
    Ok(())
}
