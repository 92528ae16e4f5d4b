//! What SAMIL minimises, and how fast: as the public code, commit 9bad6a1 of tufts-ml/SAMIL.

use std::f64::consts::PI;

use tch::{Kind, Reduction, Tensor};

/// What the supervised branch is to attend to: `[1, n]` that sums to 1, from relevances `[n]`, sharper at a lower
/// temperature.
pub fn target(relevance: &Tensor, temperature: f64) -> Tensor {
    (relevance / temperature).softmax(0, None::<Kind>).unsqueeze(0)
}

/// Kullback and Leibler's divergence of the attention, given as its logarithm, from the target; summed over the bag.
pub fn divergence(target: &Tensor, log_attention: &Tensor) -> Tensor {
    (target * (target.log() - log_attention)).sum(None::<Kind>)
}

/// Cross-entropy of logits `[1, classes]`, as a mean weighted by class. Of a single bag, the weight is divided by itself:
/// whatever the weights, they cancel, as in the public code.
pub fn cross_entropy(logits: &Tensor, class: usize, weights: Option<&Tensor>) -> Tensor {
    let class = Tensor::from_slice(&[class as i64]).to_device(logits.device());
    logits.cross_entropy_loss(&class, weights, Reduction::Mean, -100, 0.0)
}

/// Weights of classes of so many bags: inversely to their number, summing to 1.
pub fn class_weights(counts: &[usize]) -> Vec<f64> {
    let inverse: Vec<f64> = counts.iter().map(|&count| 1.0 / count.max(1) as f64).collect();
    let sum: f64 = inverse.iter().sum();
    inverse.iter().map(|weight| weight / sum).collect()
}

/// The share of the divergence that counts at a step: rises in equal parts over the first `warm_up` of all steps.
pub fn warm_up(step: u64, steps: u64, warm_up: f64) -> f64 {
    let rise = warm_up * steps as f64;
    if rise <= 0.0 { 1.0 } else { (step as f64 / rise).min(1.0) }
}

/// What the learning rate is multiplied by in an epoch, counted from 0: 7/8 of a quarter of a cosine, begun anew every `cycle`
/// epochs. An epoch that begins a cycle takes the rate of its end, as in the public code, the first one among them.
pub fn rate_factor(epoch: u64, cycle: u64) -> f64 {
    let place = match epoch % cycle {
        0 => cycle,
        place => place,
    };
    (7.0 / 16.0 * PI * place as f64 / cycle as f64).cos()
}

/// `InfoNCE`: minus the logarithm of the chance that a study's own other view `[1, d]` is told among directions of other
/// studies `[k, d]`, where `others` `[k]` is 0 for those that count and minus infinity for the rest.
pub fn contrast(query: &Tensor, key: &Tensor, queue: &Tensor, others: &Tensor, temperature: f64) -> Tensor {
    let own = (query * key).sum_dim_intlist(1, true, None::<Kind>);
    let rest = query.matmul(&queue.transpose(0, 1)) / temperature + others.unsqueeze(0);
    let logits = Tensor::cat(&[own / temperature, rest], 1);
    -logits.log_softmax(1, None::<Kind>).select(1, 0).mean(None::<Kind>)
}
