//! What can be set of SAGAN.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::{discriminator, generator};
use crate::method::part::trainer::{Order, Plan, Recipe, Schedule};
use crate::method::train_on::TrainOn;
use crate::network::optimiser::{Adam, Rule};
use crate::regime::Regime;

/// Which pictures of the target are the unlabelled pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolOf {
    /// Those of the validation split (regime R6).
    #[default]
    Validation,
    /// Those that are scored afterwards: transductive (regime R6T).
    Test,
}

impl PoolOf {
    pub(super) fn regime(self) -> Regime {
        match self {
            PoolOf::Validation => Regime::UnlabelledPool,
            PoolOf::Test => Regime::UnlabelledTest,
        }
    }
}

/// How the generator is used once it is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Testing {
    /// Norms use their stored statistics, and nothing is replaced.
    #[default]
    Deterministic,
    /// As the authors' code, which never leaves training: norms use the picture's own statistics, and at 5 % of the pixels
    /// the picture stands for what would be added to it; which ones, a stream says that is named by the picture's content.
    Published,
}

/// Defaults are the published ones. The learning rate falls as in the authors' code: once in 1000 steps by the part that is
/// meant for each step, so that it hardly falls at all.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Of `sagan`: which pictures of the target are the unlabelled pool, `validation` or `test`.
    pub pool: PoolOf,
    /// Of `sagan-k`: which normals of the target it learns from.
    pub train_on: TrainOn,
    /// Of `sagan-k` under `train_on = "supports"`: learn from 22 views of each support.
    pub views: bool,
    /// How the generator is used at the test: `deterministic` or `published`.
    pub testing: Testing,
    /// Side that pictures are reduced to, a multiple of 16 and of 2 to the power of `layers`; maps are upsampled back.
    pub input: i64,
    /// Channels of the first layers of both networks.
    pub width: i64,
    /// Residual blocks of the generator.
    pub blocks: usize,
    /// Halvings of the discriminator.
    pub layers: u32,
    /// Weight of the discriminator's slope in its loss.
    pub penalty_weight: f64,
    /// Weight of what changes in normals in the generator's loss.
    pub identity_weight: f64,
    /// Steps of the discriminator for each of the generator.
    pub critic_steps: u64,
    /// Step size of both.
    pub learning_rate: f64,
    /// Steps at the end of which the learning rate falls.
    pub falling_steps: u64,
    /// Steps of the discriminator in all.
    pub steps: u64,
    /// Steps of an epoch, after which the training is observed.
    pub epoch_steps: u64,
    /// Pictures a step, fewer if there are fewer normals. The authors' script has 32.
    pub batch: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            pool: PoolOf::Validation,
            train_on: TrainOn::Supports,
            views: true,
            testing: Testing::Deterministic,
            input: 64,
            width: 64,
            blocks: 6,
            layers: 6,
            penalty_weight: 10.0,
            identity_weight: 1.0,
            critic_steps: 2,
            learning_rate: 5e-5,
            falling_steps: 50_000,
            steps: 100_000,
            epoch_steps: 1000,
            batch: 16,
        }
    }
}

/// Steps between falls of the learning rate.
const FALL_EVERY: u64 = 1000;

impl Settings {
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let Settings { input, layers, .. } = *self;
        ensure!((1..=8).contains(&layers), "{name}: layers must be 1 to 8");
        ensure!(
            input >= 32 && input % 16 == 0 && input % (1 << layers) == 0,
            "{name}: input must be a multiple of 16 and of 2 to the power of layers ({}), and at least 32; it is {input}",
            1 << layers
        );
        ensure!(self.width >= 1, "{name}: width must be at least 1");
        ensure!(self.penalty_weight >= 0.0, "{name}: penalty_weight must not be negative");
        ensure!(self.identity_weight >= 0.0, "{name}: identity_weight must not be negative");
        ensure!(self.critic_steps >= 1, "{name}: critic_steps must be at least 1");
        ensure!(self.learning_rate > 0.0, "{name}: learning_rate must be positive");
        ensure!(self.falling_steps >= 1, "{name}: falling_steps must be at least 1");
        ensure!(
            self.steps >= self.critic_steps,
            "{name}: steps must be at least critic_steps, or the generator never learns"
        );
        ensure!(self.epoch_steps >= 1, "{name}: epoch_steps must be at least 1");
        ensure!(self.batch >= 1, "{name}: batch must be at least 1");
        Ok(())
    }

    pub(super) fn generator(&self) -> generator::Shape {
        generator::Shape { width: self.width, blocks: self.blocks }
    }

    pub(super) fn discriminator(&self) -> discriminator::Shape {
        discriminator::Shape { width: self.width, layers: self.layers }
    }

    pub(super) fn rule(&self) -> Rule {
        rule(self.learning_rate)
    }

    pub(super) fn plan(&self, normals: usize) -> Plan {
        let order = Order::Whole { items: normals, batch: self.batch.min(normals) };
        Plan { order, steps: self.steps, epochs: (self.steps / self.epoch_steps).max(1) }
    }

    pub(super) fn recipe(&self, normals: usize) -> Recipe {
        let after = self.steps.saturating_sub(self.falling_steps);
        let schedule = Schedule::Stairs { after, every: FALL_EVERY, parts: self.falling_steps };
        Recipe { schedule, ..Recipe::new(self.plan(normals), self.rule()) }
    }
}

/// The published optimiser of both networks.
pub fn rule(learning_rate: f64) -> Rule {
    Rule::Adam(Adam { learning_rate, beta1: 0.5, ..Adam::default() })
}
