//! Our optimisers against libtorch's own, bit for bit.

use medfsad::network::formula;
use medfsad::network::optimiser::{Adam, Decay, Optimiser, Rounding, Rule, Sgd};
use tch::nn::{self, OptimizerConfig, VarStore};
use tch::{Device, Kind, Tensor};

/// Parameters after `n` steps down a curved surface.
fn descend(mut step: impl FnMut(&Tensor, u32), store: &VarStore, n: u32) -> Vec<f32> {
    let root = store.root();
    let (a, b) = (root.zeros("a", &[37, 5, 3, 3]), root.zeros("b", &[7]));
    formula::fill(store, "");
    for number in 0..n {
        let loss =
            (&a * 3.0).sin().sum(None::<Kind>) * b.square().sum(None::<Kind>) + a.exp().mean(None::<Kind>);
        step(&loss, number);
    }
    [a, b].iter().flat_map(|tensor| Vec::<f32>::try_from(tensor.detach().flatten(0, -1)).unwrap()).collect()
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
    for (momentum, weight_decay, nesterov) in
        [(0.9, 0.0, false), (0.9, 1e-2, false), (0.0, 1e-1, false), (0.9, 1e-2, true)]
    {
        let sgd = Sgd { learning_rate: 1e-4, momentum, weight_decay, nesterov, ..Sgd::default() };
        let rule = Rule::Sgd(sgd);
        let sgd = nn::Sgd { momentum, wd: weight_decay, nesterov, ..nn::Sgd::default() };
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

/// `StableAdamW` by hand, for two tensors: each step divided by the root mean square of gradient over denominator where that
/// is above one.
#[test]
fn a_bounded_step_is_divided_by_the_gradients_size() {
    let (rate, epsilon, weight_decay) = (0.1, 1e-10, 1e-2);
    let adam = Adam {
        learning_rate: rate,
        epsilon,
        decay: Decay::Decoupled(weight_decay),
        amsgrad: true,
        bounded: true,
        ..Adam::default()
    };
    let mut store = VarStore::new(Device::Cpu);
    let root = store.root();
    let parameters = [root.zeros("a", &[5]), root.zeros("b", &[3])];
    formula::fill(&store, "");
    store.double();
    let mut optimiser = Optimiser::new(&[&store], Rule::Adam(adam));
    let values = |tensor: &Tensor| Vec::<f64>::try_from(tensor.detach()).unwrap();
    let mut ours: Vec<Vec<f64>> = parameters.iter().map(values).collect();
    let mut moments = ours.iter().map(|own| vec![[0.0f64; 3]; own.len()]).collect::<Vec<_>>();
    let mut n_bounded = 0;
    for step in 1..=4 {
        // Gradients that grow, so that the second moment lags behind.
        let growth = 10f64.powi(step);
        let loss =
            (&parameters[0] * growth).sum(None::<Kind>) + (&parameters[1].square() * 0.5).sum(None::<Kind>);
        optimiser.step(&loss);
        for (which, (own, moments)) in ours.iter_mut().zip(&mut moments).enumerate() {
            let gradients: Vec<f64> = own.iter().map(|&p| if which == 0 { growth } else { p }).collect();
            let correction = |beta: f64| 1.0 - beta.powi(step);
            let mut denominators = Vec::new();
            for (moments, gradient) in moments.iter_mut().zip(&gradients) {
                moments[0] = 0.9 * moments[0] + 0.1 * gradient;
                moments[1] = 0.999 * moments[1] + 0.001 * gradient * gradient;
                moments[2] = moments[2].max(moments[1]);
                denominators.push(moments[2].sqrt() / correction(0.999).sqrt() + epsilon);
            }
            let squares: f64 = gradients.iter().zip(&denominators).map(|(g, d)| (g / d).powi(2)).sum();
            let size = (squares / own.len() as f64).sqrt();
            n_bounded += u32::from(size > 1.0 + 1e-6);
            for ((own, moments), denominator) in own.iter_mut().zip(moments.iter()).zip(&denominators) {
                *own *= 1.0 - rate * weight_decay;
                *own -= rate / correction(0.9) / size.max(1.0) * moments[0] / denominator;
            }
        }
    }
    assert!(n_bounded > 0, "no step was bounded");
    for (ours, theirs) in ours.iter().zip(&parameters) {
        let off = ours.iter().zip(values(theirs)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-12, "parameters are {off} off");
    }
}
