//! Adam (Kingma and Ba 2015), step for step as PyTorch's single-tensor version.
//!
//! libtorch's own optimiser rounds its first moment differently and does not let its state be stored.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tch::Tensor;
use tch::nn::VarStore;

/// Step sizes and decay rates.
#[derive(Clone, Copy, Debug)]
pub struct AdamConfig {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
}

/// Both moments of every trainable parameter.
pub struct Adam {
    config: AdamConfig,
    n_steps: i32,
    slots: Vec<Slot>,
}

struct Slot {
    name: String,
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// An optimiser over all trainable variables of `store`.
    pub fn new(store: &VarStore, config: AdamConfig) -> Adam {
        let mut named: Vec<(String, Tensor)> =
            store.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let slot = |(name, parameter): (String, Tensor)| {
            let (mean, square) = (parameter.zeros_like(), parameter.zeros_like());
            Slot { name, parameter, mean, square }
        };
        Adam { config, n_steps: 0, slots: named.into_iter().map(slot).collect() }
    }

    /// Steps taken so far.
    pub fn n_steps(&self) -> i32 {
        self.n_steps
    }

    /// Both moments of every parameter, as `mean.<name>` and `square.<name>`.
    pub fn moments(&self) -> BTreeMap<String, Tensor> {
        let both = |slot: &Slot| {
            let named =
                |what: &str, tensor: &Tensor| (format!("{what}.{}", slot.name), tensor.shallow_clone());
            [named("mean", &slot.mean), named("square", &slot.square)]
        };
        self.slots.iter().flat_map(both).collect()
    }

    /// Goes on as the optimiser did that had taken `n_steps` and had these moments.
    ///
    /// # Errors
    /// A moment that is missing.
    pub fn restore(&mut self, n_steps: i32, moments: &BTreeMap<String, Tensor>) -> Result<()> {
        let find = |what: &str, name: &str| {
            moments.get(&format!("{what}.{name}")).with_context(|| format!("{what} of `{name}` is missing"))
        };
        for slot in &mut self.slots {
            slot.mean.copy_(find("mean", &slot.name)?);
            slot.square.copy_(find("square", &slot.name)?);
        }
        self.n_steps = n_steps;
        Ok(())
    }

    /// Computes the gradient of `loss` afresh and moves every parameter that received one.
    pub fn step(&mut self, loss: &Tensor) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
        loss.backward();
        self.n_steps += 1;
        tch::no_grad(|| self.slots.iter_mut().for_each(|slot| slot.update(&self.config, self.n_steps)));
    }
}

impl Slot {
    fn update(&mut self, config: &AdamConfig, n_steps: i32) {
        let gradient = self.parameter.grad();
        if !gradient.defined() {
            return;
        }
        let AdamConfig { learning_rate, beta1, beta2, epsilon } = *config;
        let _ = self.mean.lerp_(&gradient, 1.0 - beta1);
        let _ = self.square.g_mul_scalar_(beta2);
        let _ = self.square.addcmul_(&(&gradient * (1.0 - beta2)), &gradient);
        let correction = (1.0 - beta2.powi(n_steps)).sqrt();
        let denominator = (self.square.sqrt() / correction).g_add_scalar_(epsilon);
        let step = &self.mean * (-learning_rate / (1.0 - beta1.powi(n_steps)));
        let _ = self.parameter.addcdiv_(&step, &denominator);
    }
}
