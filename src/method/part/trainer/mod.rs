//! The one loop in which every method trains: order, learning rate, epochs, finiteness, observation, progress and state.

use anyhow::Result;

use crate::method::contract::{Context, Observer};
use crate::network::optimiser::Optimiser;
use crate::progress;

pub use plan::{Order, Plan};
pub use state::Subject;
pub use training::{Recipe, Schedule, Step, StepFigures, Training};

use state::{Progress, Saver};
use sums::Sums;

mod plan;
mod state;
mod sums;
mod training;

/// Trains to the end of `recipe`, from the state that was saved if there is one. The observer sees the model after each
/// epoch. On a CPU, a training that was interrupted and resumed ends with the same bits as one that was not.
///
/// # Errors
/// A loss that is not finite, data that make no step, a state that cannot be read or written, or what the observer
/// refuses.
pub fn train(
    training: &mut dyn Training,
    recipe: &Recipe,
    subject: &Subject,
    context: &Context,
    observer: &mut dyn Observer,
) -> Result<()> {
    let mut optimiser = Optimiser::new(&training.moved(), recipe.rule).clipping(recipe.clip);
    let mut saver = Saver::new(context, subject)?;
    let mut progress = match &saver {
        Some(saver) => saver.restore(training, &mut optimiser, observer)?,
        None => Progress::default(),
    };
    let mut sums = Sums::new(&progress.sums, progress.in_epoch, context.device);
    let mut steps = Steps::new(recipe, context.seed);
    let bar = progress::bar(recipe.n_steps() as usize, &context.label);
    bar.set_position(progress.steps);
    while progress.steps < recipe.n_steps() {
        let step = steps.at(progress.steps);
        let factor = recipe.schedule.factor(step.number);
        for optimiser in training.own_optimisers().into_iter().chain([&mut optimiser]) {
            if step.in_stage == 0 && step.stage > 0 {
                optimiser.reset();
            }
            optimiser.set_rate(optimiser.first_rate() * factor);
        }
        sums.add(training.step(&step, &mut optimiser)?);
        progress.steps += 1;
        bar.inc(1);
        let (epoch, before) = (progress.epochs + 1, progress.steps - sums.n_steps);
        if recipe.plans[step.stage].ends_epoch(step.in_stage) {
            let mut figures = sums.means(epoch, before)?;
            figures.extend(training.diagnose());
            observer.after_epoch(epoch, &figures, &*training.model()?)?;
            progress.epochs = epoch;
            sums = Sums::new(&[], 0, context.device);
        }
        if let Some(saver) = saver.as_mut().filter(|saver| saver.is_due()) {
            let (in_epoch, sums) = (sums.n_steps, sums.read(epoch, before)?);
            let state = Progress { in_epoch, sums, ..progress };
            saver.save(training, &optimiser, state, observer)?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Deals out the batches of all steps, pass by pass.
struct Steps<'a> {
    plans: &'a [Plan],
    seed: u64,
    /// Stage and pass of `batches`.
    dealt: Option<(usize, u64)>,
    batches: Vec<Vec<i64>>,
}

impl<'a> Steps<'a> {
    fn new(recipe: &'a Recipe, seed: u64) -> Steps<'a> {
        Steps { plans: &recipe.plans, seed, dealt: None, batches: Vec::new() }
    }

    /// The step of that number, which is below their sum.
    fn at(&mut self, number: u64) -> Step {
        let (mut stage, mut in_stage) = (0, number);
        while in_stage >= self.plans[stage].steps {
            in_stage -= self.plans[stage].steps;
            stage += 1;
        }
        let order = &self.plans[stage].order;
        let n_batches = order.n_batches() as u64;
        let pass = in_stage / n_batches + 1;
        if self.dealt != Some((stage, pass)) {
            self.batches = order.batches(self.seed, pass);
            self.dealt = Some((stage, pass));
        }
        let batch = self.batches[(in_stage % n_batches) as usize].clone();
        Step { number, stage, in_stage, pass, batch }
    }
}
