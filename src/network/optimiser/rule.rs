//! How a gradient moves a parameter: SGD, Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019) and `StableAdamW`
//! (Wortsman et al. 2023).

use tch::{Kind, Tensor};

/// A rule and its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Adam or AdamW, by its weight decay.
    Adam(Adam),
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
}

/// Adam's constants; the default is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment, against division by zero.
    pub epsilon: f64,
    /// How parameters are drawn to zero.
    pub decay: Decay,
    /// Divides by the largest second moment so far rather than by the present one.
    pub amsgrad: bool,
    /// How the first moment is rounded.
    pub rounding: Rounding,
    /// Divides the step of each tensor by the root mean square of its gradient over the denominator, where that is above
    /// one: `StableAdamW`.
    pub bounded: bool,
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

/// Constants of stochastic gradient descent with momentum; the default is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the velocity that each step keeps.
    pub momentum: f64,
    /// Added to the gradient.
    pub weight_decay: f64,
    /// Looks ahead along the velocity: Nesterov's momentum.
    pub nesterov: bool,
    /// Whether tensors of one dimension, such as biases, do not decay.
    pub spares_vectors: bool,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd { learning_rate: 1e-3, momentum: 0.0, weight_decay: 0.0, nesterov: false, spares_vectors: false }
    }
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
            bounded: false,
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

    /// Whether each value moves by itself, whatever others of its tensor do and whatever its shape.
    pub fn is_by_value(&self) -> bool {
        !matches!(self, Rule::Adam(Adam { bounded: true, .. }) | Rule::Sgd(Sgd { spares_vectors: true, .. }))
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
        let mut step = &*mean * (-rate / correction(beta1));
        if self.bounded {
            let size = (gradient / &denominator).square().mean(None::<Kind>).sqrt();
            let _ = step.g_div_(&size.clamp_min(1.0));
        }
        let _ = parameter.addcdiv_(&step, &denominator);
    }
}

impl Sgd {
    fn update(&self, parameter: &mut Tensor, moments: &mut [Tensor], gradient: &Tensor, rate: f64) {
        let [velocity] = moments else { unreachable!("momentum is one moment") };
        let spared = self.spares_vectors && parameter.dim() < 2;
        let gradient = decayed(gradient, parameter, if spared { 0.0 } else { self.weight_decay });
        let _ = velocity.g_mul_scalar_(self.momentum);
        *velocity += &gradient;
        if self.nesterov {
            let mut ahead = gradient.copy();
            add_scaled(&mut ahead, velocity, self.momentum);
            add_scaled(parameter, &ahead, -rate);
        } else {
            add_scaled(parameter, velocity, -rate);
        }
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
