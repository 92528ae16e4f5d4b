//! How a gradient moves a parameter: SGD, Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019).

use tch::Tensor;

/// A rule and its constants.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    Adam(Adam),
    Sgd(Sgd),
}

/// Adam's constants; the default is PyTorch's.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    pub learning_rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub decay: Decay,
    /// Divides by the largest second moment so far rather than by the present one.
    pub amsgrad: bool,
    pub rounding: Rounding,
}

/// Weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay {
    /// Added to the gradient (an L2 penalty); 0 is none.
    Coupled(f64),
    /// Taken from the parameter itself, times the learning rate: AdamW.
    Decoupled(f64),
}

/// How the first moment is rounded; PyTorch's two implementations differ in the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `mean + (1 - beta1) (gradient - mean)`, as PyTorch in Python.
    Python,
    /// `beta1 mean + (1 - beta1) gradient`, as libtorch in C++.
    Cpp,
}

/// Constants of stochastic gradient descent with momentum.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    pub learning_rate: f64,
    pub momentum: f64,
    /// Added to the gradient.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: Decay::Coupled(0.0),
            amsgrad: false,
            rounding: Rounding::Python,
        }
    }
}

impl Rule {
    /// The learning rate before any schedule.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Rule::Adam(adam) => adam.learning_rate,
            Rule::Sgd(sgd) => sgd.learning_rate,
        }
    }

    /// What is kept for each parameter, by name; all begin at zero.
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            Rule::Adam(Adam { amsgrad: false, .. }) => &["mean", "square"],
            Rule::Adam(Adam { amsgrad: true, .. }) => &["mean", "square", "largest-square"],
            Rule::Sgd(_) => &["velocity"],
        }
    }

    /// Whether a parameter whose gradient is zero, and always was, stays where it is.
    pub fn rests_without_gradient(&self) -> bool {
        match self {
            Rule::Adam(Adam { decay: Decay::Coupled(decay) | Decay::Decoupled(decay), .. }) => *decay == 0.0,
            Rule::Sgd(sgd) => sgd.weight_decay == 0.0,
        }
    }

    /// Moves `parameter` by one step, the `n_steps`th, counted from 1. `moments` are in the order of
    /// [`Rule::moments`].
    pub fn update(
        &self,
        parameter: &mut Tensor,
        moments: &mut [Tensor],
        gradient: &Tensor,
        rate: f64,
        n_steps: u32,
    ) {
        match self {
            Rule::Adam(adam) => adam.update(parameter, moments, gradient, rate, n_steps),
            Rule::Sgd(sgd) => sgd.update(parameter, moments, gradient, rate),
        }
    }
}

impl Adam {
    fn update(
        &self,
        parameter: &mut Tensor,
        moments: &mut [Tensor],
        gradient: &Tensor,
        rate: f64,
        n_steps: u32,
    ) {
        let Adam { beta1, beta2, epsilon, .. } = *self;
        let gradient = match self.decay {
            Decay::Coupled(decay) => &decayed(gradient, parameter, decay),
            Decay::Decoupled(decay) => {
                let _ = parameter.g_mul_scalar_(1.0 - rate * decay);
                gradient
            }
        };
        let [mean, square, largest @ ..] = moments else { unreachable!("Adam has two moments or three") };
        match self.rounding {
            Rounding::Python => {
                let _ = mean.lerp_(gradient, 1.0 - beta1);
            }
            Rounding::Cpp => {
                let _ = mean.g_mul_scalar_(beta1);
                add_scaled(mean, gradient, 1.0 - beta1);
            }
        }
        let _ = square.g_mul_scalar_(beta2);
        let _ = square.addcmul_(&(gradient * (1.0 - beta2)), gradient);
        if let [largest] = largest {
            largest.copy_(&largest.maximum(square));
        }
        let square = largest.first().unwrap_or(square);
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(n_steps));
        let denominator = (square.sqrt() / correction(beta2).sqrt()).g_add_scalar_(epsilon);
        let step = &*mean * (-rate / correction(beta1));
        let _ = parameter.addcdiv_(&step, &denominator);
    }
}

impl Sgd {
    fn update(&self, parameter: &mut Tensor, moments: &mut [Tensor], gradient: &Tensor, rate: f64) {
        let [velocity] = moments else { unreachable!("momentum is one moment") };
        let gradient = decayed(gradient, parameter, self.weight_decay);
        let _ = velocity.g_mul_scalar_(self.momentum);
        *velocity += gradient;
        add_scaled(parameter, velocity, -rate);
    }
}

/// The gradient with an L2 penalty's.
fn decayed(gradient: &Tensor, parameter: &Tensor, decay: f64) -> Tensor {
    if decay == 0.0 {
        return gradient.shallow_clone();
    }
    let mut decayed = gradient.copy();
    add_scaled(&mut decayed, parameter, decay);
    decayed
}

/// Adds `factor` times `other`, rounded once where the processor can, as libtorch's own optimisers do.
fn add_scaled(target: &mut Tensor, other: &Tensor, factor: f64) {
    let factor = Tensor::full([0i64; 0].as_slice(), factor, (target.kind(), target.device()));
    let _ = target.addcmul_(other, &factor);
}

#[cfg(test)]
mod tests {
    use tch::nn::{self, OptimizerConfig, VarStore};
    use tch::{Device, Kind, Tensor};

    use super::super::Optimiser;
    use super::*;

    /// Parameters after `n` steps down a curved surface.
    fn descend(mut step: impl FnMut(&Tensor, u32), store: &VarStore, n: u32) -> Vec<f32> {
        let root = store.root();
        let (a, b) = (root.zeros("a", &[37, 5, 3, 3]), root.zeros("b", &[7]));
        crate::network::formula::fill(store, "");
        for number in 0..n {
            let loss = (&a * 3.0).sin().sum(None::<Kind>) * b.square().sum(None::<Kind>)
                + a.exp().mean(None::<Kind>);
            step(&loss, number);
        }
        [a, b]
            .iter()
            .flat_map(|tensor| Vec::<f32>::try_from(tensor.detach().flatten(0, -1)).unwrap())
            .collect()
    }

    fn ours(rule: Rule, clip: Option<f64>, n: u32) -> Vec<f32> {
        let store = VarStore::new(Device::Cpu);
        let mut optimiser = None;
        let step = |loss: &Tensor, number: u32| {
            let optimiser = optimiser.get_or_insert_with(|| Optimiser::new(&[&store], rule).clipping(clip));
            optimiser.set_rate(rule.learning_rate() / f64::from(1 + number));
            optimiser.step(loss);
        };
        descend(step, &store, n)
    }

    fn theirs(config: impl OptimizerConfig + Copy, rate: f64, clip: Option<f64>, n: u32) -> Vec<f32> {
        let store = VarStore::new(Device::Cpu);
        let mut optimiser = None;
        let step = |loss: &Tensor, number: u32| {
            let optimiser = optimiser.get_or_insert_with(|| config.build(&store, rate).unwrap());
            optimiser.set_lr(rate / f64::from(1 + number));
            match clip {
                Some(norm) => optimiser.backward_step_clip_norm(loss, norm),
                None => optimiser.backward_step(loss),
            }
        };
        descend(step, &store, n)
    }

    fn assert_same(ours: &[f32], theirs: &[f32]) {
        assert!(ours.iter().all(|value| value.is_finite()), "the surface is too steep");
        let n_off = ours.iter().zip(theirs).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(n_off, 0, "of {} values differ", ours.len());
    }

    #[test]
    fn sgd_takes_the_steps_of_libtorch() {
        for (momentum, weight_decay) in [(0.9, 0.0), (0.9, 1e-2), (0.0, 1e-1)] {
            let rule = Rule::Sgd(Sgd { learning_rate: 1e-4, momentum, weight_decay });
            let sgd = nn::Sgd { momentum, wd: weight_decay, ..nn::Sgd::default() };
            assert_same(&ours(rule, None, 20), &theirs(sgd, 1e-4, None, 20));
        }
    }

    #[test]
    fn adam_takes_the_steps_of_libtorch() {
        for (wd, amsgrad, clip) in [(0.0, false, None), (1e-2, true, None), (1e-2, true, Some(0.5))] {
            let decay = Decay::Coupled(wd);
            let rounding = Rounding::Cpp;
            let rule = Rule::Adam(Adam { learning_rate: 0.01, decay, amsgrad, rounding, ..Adam::default() });
            let adam = nn::Adam { wd, amsgrad, ..nn::Adam::default() };
            assert_same(&ours(rule, clip, 20), &theirs(adam, 0.01, clip, 20));
        }
    }

    #[test]
    fn adamw_takes_the_steps_of_libtorch() {
        let (decay, rounding) = (Decay::Decoupled(0.1), Rounding::Cpp);
        let rule = Rule::Adam(Adam { learning_rate: 0.01, decay, rounding, ..Adam::default() });
        let adamw = nn::AdamW { wd: 0.1, ..nn::AdamW::default() };
        assert_same(&ours(rule, None, 20), &theirs(adamw, 0.01, None, 20));
    }
}
