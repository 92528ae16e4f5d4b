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
    /// What is updated at once: on a CPU each parameter by itself; on a card, where starting a kernel takes longer than
    /// the kernel, all of them, which lie in one tensor there.
    blocks: Vec<Moving>,
    is_joined: bool,
}

struct Slot {
    name: String,
    moving: Moving,
    /// Of the last step; undefined where the loss does not depend on the parameter.
    gradient: Tensor,
}

/// A parameter and its moments.
struct Moving {
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// An optimiser over all trainable variables of `store`, which stay its variables but may move in memory.
    pub fn new(store: &VarStore, config: AdamConfig) -> Adam {
        let mut named: Vec<(String, Tensor)> =
            store.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let slot = |(name, moving)| Slot { name, moving, gradient: Tensor::new() };
        let is_joined = store.device().is_cuda() && !named.is_empty();
        let (slots, blocks) = if is_joined {
            let (names, parameters): (Vec<String>, Vec<Tensor>) = named.into_iter().unzip();
            let (block, parts) = Moving::joined(parameters);
            (names.into_iter().zip(parts).map(slot).collect(), vec![block])
        } else {
            let each = |(name, parameter)| (name, Moving::new(parameter));
            let slots: Vec<Slot> = named.into_iter().map(each).map(slot).collect();
            let blocks = slots.iter().map(|slot| slot.moving.shallow_clone()).collect();
            (slots, blocks)
        };
        Adam { config, n_steps: 0, slots, blocks, is_joined }
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
            [named("mean", &slot.moving.mean), named("square", &slot.moving.square)]
        };
        self.slots.iter().flat_map(both).collect()
    }

    /// The gradient of a parameter in the last step, if it received one.
    pub fn gradient(&self, name: &str) -> Option<&Tensor> {
        let slot = self.slots.iter().find(|slot| slot.name == name)?;
        Some(&slot.gradient).filter(|gradient| gradient.defined())
    }

    /// Goes on as the optimiser did that had taken `n_steps` and had these moments.
    ///
    /// # Errors
    /// A moment that is missing.
    pub fn restore(&mut self, n_steps: i32, moments: &BTreeMap<String, Tensor>) -> Result<()> {
        let find = |what: &str, name: &str| {
            moments.get(&format!("{what}.{name}")).with_context(|| format!("{what} of `{name}` is missing"))
        };
        for Slot { name, moving, .. } in &mut self.slots {
            moving.mean.copy_(find("mean", name)?);
            moving.square.copy_(find("square", name)?);
        }
        self.n_steps = n_steps;
        Ok(())
    }

    /// Computes the gradient of `loss` afresh and moves every parameter that received one.
    pub fn step(&mut self, loss: &Tensor) {
        let gradients = self.gradients(loss);
        self.apply(&gradients);
    }

    /// The gradient of `loss` in the parts in which parameters are updated.
    pub fn gradients(&mut self, loss: &Tensor) -> Vec<Tensor> {
        let parameters: Vec<&Tensor> = self.slots.iter().map(|slot| &slot.moving.parameter).collect();
        let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            slot.gradient = gradient;
        }
        if self.is_joined {
            return vec![tch::no_grad(|| self.blocks[0].joined_gradients(&self.slots))];
        }
        self.slots.iter().map(|slot| slot.gradient.shallow_clone()).collect()
    }

    /// One step by gradients as [`Adam::gradients`] gives them.
    pub fn apply(&mut self, gradients: &[Tensor]) {
        self.n_steps += 1;
        tch::no_grad(|| {
            for (block, gradient) in self.blocks.iter_mut().zip(gradients) {
                block.update(gradient, &self.config, self.n_steps);
            }
        });
    }
}

impl Moving {
    fn new(parameter: Tensor) -> Moving {
        let (mean, square) = (parameter.zeros_like(), parameter.zeros_like());
        Moving { parameter, mean, square }
    }

    /// All parameters moved into one tensor, and each as a view of it.
    fn joined(parameters: Vec<Tensor>) -> (Moving, Vec<Moving>) {
        tch::no_grad(|| {
            let flat: Vec<Tensor> = parameters.iter().map(flat).collect();
            let all = Moving::new(Tensor::cat(&flat, 0));
            let mut at = 0;
            let part = |mut parameter: Tensor| {
                let (size, n) = (parameter.size(), parameter.numel() as i64);
                let view = |whole: &Tensor| whole.narrow(0, at, n).view(size.as_slice());
                let (mean, square) = (view(&all.mean), view(&all.square));
                parameter.set_data(&view(&all.parameter));
                at += n;
                Moving { parameter, mean, square }
            };
            let parts = parameters.into_iter().map(part).collect();
            (all, parts)
        })
    }

    /// Gradients of all parameters in one tensor. Zero for those without: their moments stay zero, and they do not move.
    fn joined_gradients(&self, slots: &[Slot]) -> Tensor {
        let one = |slot: &Slot| match slot.gradient.defined() {
            true => flat(&slot.gradient),
            false => Tensor::zeros(
                [slot.moving.parameter.numel() as i64],
                (self.parameter.kind(), self.parameter.device()),
            ),
        };
        Tensor::cat(&slots.iter().map(one).collect::<Vec<_>>(), 0)
    }

    fn shallow_clone(&self) -> Moving {
        let [parameter, mean, square] =
            [&self.parameter, &self.mean, &self.square].map(Tensor::shallow_clone);
        Moving { parameter, mean, square }
    }

    fn update(&mut self, gradient: &Tensor, config: &AdamConfig, n_steps: i32) {
        if !gradient.defined() {
            return;
        }
        let AdamConfig { learning_rate, beta1, beta2, epsilon } = *config;
        let _ = self.mean.lerp_(gradient, 1.0 - beta1);
        let _ = self.square.g_mul_scalar_(beta2);
        let _ = self.square.addcmul_(&(gradient * (1.0 - beta2)), gradient);
        let correction = (1.0 - beta2.powi(n_steps)).sqrt();
        let denominator = (self.square.sqrt() / correction).g_add_scalar_(epsilon);
        let step = &self.mean * (-learning_rate / (1.0 - beta1.powi(n_steps)));
        let _ = self.parameter.addcdiv_(&step, &denominator);
    }
}

/// All values, `[n]`.
fn flat(x: &Tensor) -> Tensor {
    x.contiguous().view(-1)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Three parameters of which the loss leaves one out; twenty steps one by one, and joined as on a card.
    #[test]
    fn joined_parameters_move_as_single_ones_do() {
        let run = |joined: bool| -> Vec<Vec<f32>> {
            let store = VarStore::new(Device::Cpu);
            let root = store.root();
            let shapes: [&[i64]; 3] = [&[3, 2, 3, 3], &[5], &[2, 4]];
            let made: Vec<Tensor> =
                shapes.iter().enumerate().map(|(i, shape)| root.zeros(&format!("p{i}"), shape)).collect();
            crate::network::formula::fill(&store, "");
            let config = AdamConfig { learning_rate: 1e-2, beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };
            let mut adam = Adam::new(&store, config);
            if joined {
                let parameters = adam.slots.iter().map(|slot| slot.moving.parameter.shallow_clone());
                let (block, parts) = Moving::joined(parameters.collect());
                for (slot, moving) in adam.slots.iter_mut().zip(parts) {
                    slot.moving = moving;
                }
                adam.blocks = vec![block];
                adam.is_joined = true;
            }
            for _ in 0..20 {
                let loss = made[0].square().sum(None::<Kind>) + (&made[1] - 1.0).exp().sum(None::<Kind>);
                adam.step(&loss);
            }
            assert!(adam.gradient("p0").is_some() && adam.gradient("p2").is_none());
            let moments = adam.moments();
            let values =
                |tensor: &Tensor| Vec::try_from(tensor.detach().contiguous().flatten(0, -1)).unwrap();
            made.iter().chain(moments.values()).map(values).collect()
        };
        assert_eq!(run(false), run(true));
    }
}
