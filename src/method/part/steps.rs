//! Training in steps over shuffled batches of a fixed set of pictures.

use anyhow::{Result, ensure};
use tch::Tensor;

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

/// Looks at a training that is counted in steps; tables call them epochs.
const LOOKS: u64 = 10;

impl Plan {
    /// A number of steps, looked at [`LOOKS`] times.
    pub fn of_steps(pictures: usize, batch: usize, steps: u64) -> Plan {
        Plan { pictures, batch, steps, reports: LOOKS.min(steps) }
    }

    /// As many steps as `epochs` take.
    pub fn of_epochs(pictures: usize, batch: usize, epochs: u64, reports: u64) -> Plan {
        let steps = epochs * sizes(pictures, batch).len() as u64;
        Plan { pictures, batch, steps, reports: reports.min(epochs) }
    }
}

impl Plan {
    /// Pictures that pass in all steps together, one that comes again counted again.
    pub fn passes(&self) -> f64 {
        self.steps as f64 * self.pictures as f64 / sizes(self.pictures, self.batch).len() as f64
    }
}

/// Fewest pictures of a last batch: batch norms are unstable with fewer.
const FEWEST: usize = 4;

/// Sizes of the batches of one epoch. A last batch that is too small joins the one before it.
fn sizes(pictures: usize, batch: usize) -> Vec<usize> {
    let mut sizes = vec![batch; pictures / batch];
    match (pictures % batch, sizes.last_mut()) {
        (0, _) => {}
        (rest, Some(last)) if rest < FEWEST => *last += rest,
        (rest, _) => sizes.push(rest),
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
