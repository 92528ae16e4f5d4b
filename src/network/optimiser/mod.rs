//! Optimisers whose state can be stored, step for step as PyTorch's single-tensor versions.
//!
//! libtorch's own do not let their state be read, so a training with them could not be resumed.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

pub use rule::{Adam, Decay, Rounding, Rule, Sgd};

mod rule;

/// Values that are updated at once on a CPU: its caches hold them, their moments and what is made of them on the way.
const CACHED: i64 = 1 << 18;

/// A rule, applied to every trainable parameter of some stores.
pub struct Optimiser {
    rule: Rule,
    rate: f64,
    /// Largest norm of all gradients together.
    clip: Option<f64>,
    n_steps: u32,
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
    moments: Vec<Tensor>,
}

impl Optimiser {
    /// An optimiser over all trainable variables of `stores`, which stay theirs but may move in memory. Names must
    /// differ between stores.
    pub fn new(stores: &[&VarStore], rule: Rule) -> Optimiser {
        let named: Vec<(String, Tensor)> = stores.iter().flat_map(|store| parameters(store)).collect();
        let slot = |(name, moving)| Slot { name, moving, gradient: Tensor::new() };
        let on_card = stores.iter().all(|store| store.device().is_cuda());
        let can_join = rule.rests_without_gradient() && rule.is_by_value();
        let is_joined = on_card && can_join && !named.is_empty();
        let n_moments = rule.moments().len();
        let (slots, blocks) = if is_joined {
            let (names, parameters): (Vec<String>, Vec<Tensor>) = named.into_iter().unzip();
            let (block, parts) = Moving::joined(parameters, n_moments);
            (names.into_iter().zip(parts).map(slot).collect(), vec![block])
        } else {
            let each = |(name, parameter)| (name, Moving::new(parameter, n_moments));
            let slots: Vec<Slot> = named.into_iter().map(each).map(slot).collect();
            let blocks = slots.iter().map(|slot| slot.moving.shallow_clone()).collect();
            (slots, blocks)
        };
        Optimiser { rule, rate: rule.learning_rate(), clip: None, n_steps: 0, slots, blocks, is_joined }
    }

    /// The same optimiser, with gradients scaled down where their norm, of all together, is above `norm`.
    pub fn clipping(self, norm: Option<f64>) -> Optimiser {
        Optimiser { clip: norm, ..self }
    }

    /// Learning rate before any schedule.
    pub fn first_rate(&self) -> f64 {
        self.rule.learning_rate()
    }

    /// Learning rate of the steps to come.
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// Begins anew: no steps taken, all moments zero.
    pub fn reset(&mut self) {
        self.n_steps = 0;
        for moment in self.blocks.iter_mut().flat_map(|block| &mut block.moments) {
            let _ = moment.zero_();
        }
    }

    /// Steps taken so far.
    pub fn n_steps(&self) -> u32 {
        self.n_steps
    }

    /// All moments of every parameter, as `<moment>.<name>`.
    pub fn moments(&self) -> BTreeMap<String, Tensor> {
        let kinds = self.rule.moments();
        let named = |slot: &Slot| {
            let one =
                |(kind, moment): (&&str, &Tensor)| (format!("{kind}.{}", slot.name), moment.shallow_clone());
            kinds.iter().zip(&slot.moving.moments).map(one).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(named).collect()
    }

    /// The gradient of a parameter in the last step, if it received one.
    pub fn gradient(&self, name: &str) -> Option<&Tensor> {
        let slot = self.slots.iter().find(|slot| slot.name == name)?;
        Some(&slot.gradient).filter(|gradient| gradient.defined())
    }

    /// Continues as the optimiser that had taken `n_steps` and had these moments.
    ///
    /// # Errors
    /// A moment that is missing.
    pub fn restore(&mut self, n_steps: u32, moments: &BTreeMap<String, Tensor>) -> Result<()> {
        for Slot { name, moving, .. } in &mut self.slots {
            for (kind, moment) in self.rule.moments().iter().zip(&mut moving.moments) {
                let key = format!("{kind}.{name}");
                moment.copy_(moments.get(&key).with_context(|| format!("`{key}` is missing"))?);
            }
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
        if let Some(norm) = self.clip {
            tch::no_grad(|| self.clip(norm));
        }
        if self.is_joined {
            return vec![tch::no_grad(|| self.blocks[0].joined_gradients(&self.slots))];
        }
        self.slots.iter().map(|slot| slot.gradient.shallow_clone()).collect()
    }

    /// One step by gradients as [`Optimiser::gradients`] gives them. Parameters without a gradient do not move.
    pub fn apply(&mut self, gradients: &[Tensor]) {
        self.n_steps += 1;
        tch::no_grad(|| {
            for (block, gradient) in
                self.blocks.iter().zip(gradients).filter(|(_, gradient)| gradient.defined())
            {
                let on_card = block.parameter.device().is_cuda();
                let at_once = if on_card || !self.rule.is_by_value() { i64::MAX } else { CACHED };
                for (Moving { mut parameter, mut moments }, gradient) in block.pieces(gradient, at_once) {
                    self.rule.update(&mut parameter, &mut moments, &gradient, self.rate, self.n_steps);
                }
            }
        });
    }

    /// Scales all gradients so that their common norm is at most `most`; the device is not waited for.
    fn clip(&mut self, most: f64) {
        let defined = || self.slots.iter().map(|slot| &slot.gradient).filter(|gradient| gradient.defined());
        let norms: Vec<Tensor> = defined().map(Tensor::norm).collect();
        if norms.is_empty() {
            return;
        }
        let norm = Tensor::stack(&norms, 0).norm();
        let factor = (norm.to_kind(Kind::Double) + 1e-6).reciprocal() * most;
        let factor = factor.clamp_max(1.0).to_kind(norm.kind());
        for slot in self.slots.iter_mut().filter(|slot| slot.gradient.defined()) {
            let _ = slot.gradient.g_mul_(&factor);
        }
    }
}

/// Trainable variables with their names, in the order in which they were made.
fn parameters(store: &VarStore) -> Vec<(String, Tensor)> {
    let mut names: HashMap<_, String> =
        store.variables().into_iter().map(|(name, tensor)| (tensor.data_ptr(), name)).collect();
    let trainable = store.trainable_variables().into_iter().filter(Tensor::requires_grad);
    let named = |tensor: Tensor| {
        (names.remove(&tensor.data_ptr()).expect("every trainable variable has a name"), tensor)
    };
    trainable.map(named).collect()
}

impl Moving {
    fn new(parameter: Tensor, n_moments: usize) -> Moving {
        let moments = (0..n_moments).map(|_| parameter.zeros_like()).collect();
        Moving { parameter, moments }
    }

    /// All parameters moved into one tensor, and each as a view of it.
    fn joined(parameters: Vec<Tensor>, n_moments: usize) -> (Moving, Vec<Moving>) {
        tch::no_grad(|| {
            let flat: Vec<Tensor> = parameters.iter().map(flat).collect();
            let all = Moving::new(Tensor::cat(&flat, 0), n_moments);
            let mut at = 0;
            let part = |mut parameter: Tensor| {
                let (size, n) = (parameter.size(), parameter.numel() as i64);
                let view = |whole: &Tensor| whole.narrow(0, at, n).view(size.as_slice());
                let moments = all.moments.iter().map(view).collect();
                parameter.set_data(&view(&all.parameter));
                at += n;
                Moving { parameter, moments }
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

    /// Parts of at most so many values, each with its part of the gradient.
    fn pieces(&self, gradient: &Tensor, at_once: i64) -> Vec<(Moving, Tensor)> {
        if self.parameter.numel() as i64 <= at_once {
            return vec![(self.shallow_clone(), gradient.shallow_clone())];
        }
        let split = |x: &Tensor| x.view(-1).split(at_once, 0).into_iter();
        let mut moments: Vec<_> = self.moments.iter().map(split).collect();
        let parameters = split(&self.parameter).zip(split(&gradient.contiguous()));
        let piece = |(parameter, gradient)| {
            let moments = moments.iter_mut().filter_map(Iterator::next).collect();
            (Moving { parameter, moments }, gradient)
        };
        parameters.map(piece).collect()
    }

    fn shallow_clone(&self) -> Moving {
        let moments = self.moments.iter().map(Tensor::shallow_clone).collect();
        Moving { parameter: self.parameter.shallow_clone(), moments }
    }
}

/// All values, `[n]`.
fn flat(x: &Tensor) -> Tensor {
    x.contiguous().view(-1)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::{Adam, Decay, Moving, Optimiser, Rounding, Rule, Sgd, VarStore};

    /// Of uneven length, so that the last piece is a short one.
    #[test]
    fn parameters_move_in_pieces_as_they_do_whole() {
        let uniform = |low: f64| Tensor::empty([5, 103], (Kind::Float, Device::Cpu)).uniform_(low, 1.0);
        tch::manual_seed(3);
        let (parameter, gradient) = (uniform(-1.0), uniform(-1.0));
        let moments = [uniform(-1.0), uniform(0.0), uniform(0.0)];
        let adam = Adam { decay: Decay::Coupled(0.1), rounding: Rounding::Cpp, ..Adam::default() };
        let largest = Adam { decay: Decay::Decoupled(0.1), amsgrad: true, ..Adam::default() };
        let sgd = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..Sgd::default() };
        for rule in [Adam::default(), adam, largest].map(Rule::Adam).into_iter().chain([Rule::Sgd(sgd)]) {
            let [whole, parts] = [i64::MAX, 64].map(|at_once| {
                let own = moments[..rule.moments().len()].iter().map(Tensor::copy).collect();
                let block = Moving { parameter: parameter.copy(), moments: own };
                let pieces = block.pieces(&gradient.transpose(0, 1).contiguous().transpose(0, 1), at_once);
                assert_eq!(pieces.len(), if at_once == 64 { 9 } else { 1 });
                for (Moving { mut parameter, mut moments }, gradient) in pieces {
                    rule.update(&mut parameter, &mut moments, &gradient, 1e-2, 7);
                }
                block
            });
            assert_ne!(whole.parameter, parameter, "{rule:?}");
            assert_eq!(whole.parameter, parts.parameter, "{rule:?}");
            assert_eq!(whole.moments, parts.moments, "{rule:?}");
        }
    }

    /// Three parameters of which the loss leaves one out; twenty steps one by one, and joined as on a card.
    #[test]
    fn joined_parameters_move_as_single_ones_do() {
        let adam = Rule::Adam(Adam { learning_rate: 1e-2, beta1: 0.5, ..Adam::default() });
        let sgd = Rule::Sgd(Sgd { momentum: 0.9, ..Sgd::default() });
        for rule in [adam, sgd] {
            assert_eq!(run(rule, false), run(rule, true), "{rule:?}");
        }
    }

    /// In one tensor of one dimension nothing would decay.
    #[test]
    fn rules_that_look_at_a_tensor_are_not_joined() {
        assert!(Rule::Sgd(Sgd::default()).is_by_value() && Rule::Adam(Adam::default()).is_by_value());
        assert!(!Rule::Sgd(Sgd { spares_vectors: true, ..Sgd::default() }).is_by_value());
        assert!(!Rule::Adam(Adam { bounded: true, ..Adam::default() }).is_by_value());
    }

    fn run(rule: Rule, joined: bool) -> Vec<Vec<f32>> {
        let store = VarStore::new(Device::Cpu);
        let root = store.root();
        let shapes: [&[i64]; 3] = [&[3, 2, 3, 3], &[5], &[2, 4]];
        let made: Vec<Tensor> =
            shapes.iter().enumerate().map(|(i, shape)| root.zeros(&format!("p{i}"), shape)).collect();
        crate::network::formula::fill(&store, "");
        let mut optimiser = Optimiser::new(&[&store], rule);
        if joined {
            let parameters = optimiser.slots.iter().map(|slot| slot.moving.parameter.shallow_clone());
            let (block, parts) = Moving::joined(parameters.collect(), rule.moments().len());
            for (slot, moving) in optimiser.slots.iter_mut().zip(parts) {
                slot.moving = moving;
            }
            optimiser.blocks = vec![block];
            optimiser.is_joined = true;
        }
        for _ in 0..20 {
            let loss = made[0].square().sum(None::<Kind>) + (&made[1] - 1.0).exp().sum(None::<Kind>);
            optimiser.step(&loss);
        }
        assert!(optimiser.gradient("p0").is_some() && optimiser.gradient("p2").is_none());
        let moments = optimiser.moments();
        let values = |tensor: &Tensor| Vec::try_from(tensor.detach().contiguous().flatten(0, -1)).unwrap();
        made.iter().chain(moments.values()).map(values).collect()
    }
}
