//! Adam (Kingma and Ba 2015), step for step as PyTorch's single-tensor version.
//!
//! libtorch's own optimiser rounds its first moment differently and does not let its state be stored.

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
        let slot = |(_, parameter): (String, Tensor)| {
            let (mean, square) = (parameter.zeros_like(), parameter.zeros_like());
            Slot { parameter, mean, square }
        };
        Adam { config, n_steps: 0, slots: named.into_iter().map(slot).collect() }
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
