//! What a method brings to its training: parameters, a step, and the model as it stands.

use anyhow::Result;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::method::contract::{EpochFigures, Fitted};
use crate::network::optimiser::{Optimiser, Rule};

/// A training of some method.
pub trait Training {
    /// All that changes in training: parameters and running statistics. Names differ between stores.
    fn stores(&self) -> Vec<&VarStore>;

    /// Of these, what the optimiser moves that each step is handed.
    fn moved(&self) -> Vec<&VarStore> {
        self.stores()
    }

    /// Optimisers of its own, which move the rest, such as that of a network that works against the other. Their state is
    /// saved with the training's; each has a rule of its own, and follows the recipe's schedule.
    fn own_optimisers(&mut self) -> Vec<&mut Optimiser> {
        Vec::new()
    }

    /// Takes one step; the loss and its parts before it, scalars on the device. All randomness comes from streams that
    /// are named by the step.
    ///
    /// # Errors
    /// Data that make no step.
    fn step(&mut self, step: &Step, optimiser: &mut Optimiser) -> Result<StepFigures>;

    /// The model as it stands.
    ///
    /// # Errors
    /// A model that cannot be made of what was learnt so far.
    fn model(&self) -> Result<Box<dyn Fitted + '_>>;

    /// Further figures at the end of an epoch, which change nothing.
    fn diagnose(&self) -> EpochFigures {
        EpochFigures::new()
    }
}

/// Figures of one step, by name, on the device, so that nobody waits for them.
pub type StepFigures = Vec<(&'static str, Tensor)>;

/// One step and its batch.
#[derive(Debug)]
pub struct Step {
    /// Steps before it, of all stages.
    pub number: u64,
    /// Stages before its own.
    pub stage: usize,
    /// Steps before it in its stage.
    pub in_stage: u64,
    /// Passes over all items that have begun in its stage, its own among them.
    pub pass: u64,
    /// Its items.
    pub batch: Vec<i64>,
}

impl Step {
    /// Its items as indices on a device, `[b]`.
    pub fn indices(&self, device: Device) -> Tensor {
        Tensor::from_slice(&self.batch).to_device(device)
    }
}

/// How a method trains.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The stages, one after another; each begins with the optimiser anew.
    pub plans: Vec<super::plan::Plan>,
    /// How a gradient moves a parameter.
    pub rule: Rule,
    /// How the learning rate changes from step to step.
    pub schedule: Schedule,
    /// Largest norm of the gradient.
    pub clip: Option<f64>,
}

impl Recipe {
    /// One stage at a constant learning rate.
    pub fn new(plan: super::plan::Plan, rule: Rule) -> Recipe {
        Recipe { plans: vec![plan], rule, schedule: Schedule::Constant, clip: None }
    }

    /// Steps of all stages.
    pub fn n_steps(&self) -> u64 {
        self.plans.iter().map(|plan| plan.steps).sum()
    }
}

/// What the learning rate is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// 1 throughout.
    Constant,
    /// A cosine that falls from 1 to 0 in `half_period` times `every` steps, changed once in `every` steps, and rises
    /// again after that.
    Cosine {
        /// Half of the cosine's period, in changes of the rate.
        half_period: u64,
        /// Steps between changes of the rate.
        every: u64,
    },
    /// 1 to begin with. Whenever `every` divides the number of steps taken, and that is above `after`, it falls by one part
    /// in `parts`.
    Stairs {
        /// Steps before it may fall.
        after: u64,
        /// Steps between falls.
        every: u64,
        /// How many falls would bring it to 0.
        parts: u64,
    },
    /// From 0 to 1 in equal parts over the first steps, then along half a cosine towards `least`, which would be reached
    /// one step after the last.
    WarmUp {
        /// Steps of the rise, fewer than all.
        rise: u64,
        /// Steps in all.
        steps: u64,
        /// What the cosine falls towards.
        least: f64,
    },
}

impl Schedule {
    /// The factor at a step of that number.
    pub fn factor(self, number: u64) -> f64 {
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine { half_period, every } => {
                let turn = (number / every) as f64 / half_period as f64;
                0.5 * (1.0 + (std::f64::consts::PI * turn).cos())
            }
            Schedule::Stairs { after, every, parts } => {
                let falls = (number / every).saturating_sub(after / every);
                (1.0 - falls as f64 / parts as f64).max(0.0)
            }
            Schedule::WarmUp { rise, .. } if number < rise => number as f64 / (rise.max(2) - 1) as f64,
            Schedule::WarmUp { rise, steps, least } => {
                let turn = (number - rise) as f64 / (steps - rise) as f64;
                least + (1.0 - least) * 0.5 * (1.0 + (std::f64::consts::PI * turn).cos())
            }
        }
    }
}
