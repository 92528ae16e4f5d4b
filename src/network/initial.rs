//! Initial values from named streams, so that a network does not depend on libtorch's global generator.

use rayon::prelude::*;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::random::Stream;

/// Fills every tensor of two or more dimensions by the published rules and leaves batch norms at 1 and 0:
/// convolutions Kaiming normal over fan-out with ReLU gain; transposed convolutions, projections and
/// their biases uniform within one over the root of fan-in (the framework's default).
pub fn initialise(store: &VarStore, seed: u64) {
    let mut variables: Vec<(String, Tensor)> =
        store.variables().into_iter().filter(|(_, tensor)| tensor.requires_grad()).collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let plan: Vec<(String, Vec<i64>)> =
        variables.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
    let values: Vec<Option<Vec<f32>>> =
        plan.par_iter().map(|(name, shape)| draw(name, shape, &plan, seed)).collect();
    tch::no_grad(|| {
        for ((_, mut tensor), values) in variables.into_iter().zip(values) {
            if let Some(values) = values {
                let shape = tensor.size();
                tensor.copy_(&Tensor::from_slice(&values).to_kind(Kind::Float).view(shape.as_slice()));
            }
        }
    });
}

fn draw(name: &str, shape: &[i64], plan: &[(String, Vec<i64>)], seed: u64) -> Option<Vec<f32>> {
    let count: i64 = shape.iter().product();
    let mut stream = Stream::new(seed, &format!("initial value of {name}"), 0);
    let weight_shape = match name.strip_suffix(".bias") {
        Some(layer) => plan.iter().find(|(other, _)| *other == format!("{layer}.weight")).map(|(_, s)| s)?,
        None => shape,
    };
    // Batch norms: their weights have one dimension.
    let [c_first, c_second, kernel @ ..] = weight_shape else { return None };
    let area: i64 = kernel.iter().product();
    let is_doubling = kernel == [2, 2];
    if is_doubling || name.contains("proj_in") {
        // The framework takes the second dimension as fan-in, also for transposed convolutions.
        let bound = 1.0 / ((c_second * area) as f64).sqrt();
        return Some((0..count).map(|_| stream.between(-bound, bound) as f32).collect());
    }
    let deviation = (2.0 / (c_first * area) as f64).sqrt();
    Some((0..count).map(|_| (deviation * stream.normal()) as f32).collect())
}
