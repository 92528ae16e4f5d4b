//! Initial values from named streams, so that a network does not depend on libtorch's global generator.

use rayon::prelude::*;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::random::Stream;

/// Fills every tensor of two or more dimensions by the published rules and leaves batch norms at 1 and 0:
/// convolutions Kaiming normal over fan-out with ReLU gain; transposed convolutions, projections and
/// their biases uniform within one over the root of fan-in (the framework's default).
pub fn initialise(store: &VarStore, seed: u64) {
    fill(store, seed, draw);
}

/// As [`initialise`], but by the framework's default throughout: weights and biases of convolutions, transposed
/// convolutions and linear layers uniform within one over the root of fan-in.
pub fn initialise_plain(store: &VarStore, seed: u64) {
    fill(store, seed, draw_plain);
}

/// Weights Kaiming normal over fan-out for leaky ReLU of slope 0.2 (the deep perceptual auto-encoder's), biases by
/// the framework's default.
pub fn initialise_leaky(store: &VarStore, seed: u64) {
    fill(store, seed, |name, shape, plan, seed| match shape {
        [c_out, _, kernel @ ..] => {
            let fan_out = (c_out * kernel.iter().product::<i64>()) as f64;
            Some(normal(name, shape, (2.0 / 1.04 / fan_out).sqrt(), seed))
        }
        _ => draw_plain(name, shape, plan, seed),
    });
}

/// A transformer's: weights normal with variance one over fan-in, tables and tokens normal with deviation 0.02; norms
/// and factors stay 1, biases 0.
pub fn initialise_transformer(store: &VarStore, seed: u64) {
    fill(store, seed, |name, shape, _, seed| match shape {
        [_, from, kernel @ ..] if name.ends_with("weight") => {
            let fan_in = (from * kernel.iter().product::<i64>()) as f64;
            Some(normal(name, shape, fan_in.sqrt().recip(), seed))
        }
        [1, _, _] => Some(normal(name, shape, 0.02, seed)),
        _ => None,
    });
}

/// Weights of layers and tables of positions normal with that deviation, drawn again beyond `bound`; tensors that end with
/// `token` normal with deviation 1; norms and factors stay 1, biases 0.
pub fn initialise_truncated(store: &VarStore, seed: u64, deviation: f64, bound: f64) {
    fill(store, seed, |name, shape, _, seed| match shape {
        [_, _] if name.ends_with("weight") => Some(truncated(name, shape, deviation, bound, seed)),
        _ if name.ends_with("pos_embed") => Some(truncated(name, shape, deviation, bound, seed)),
        _ if name.ends_with("token") => Some(normal(name, shape, 1.0, seed)),
        _ => None,
    });
}

/// CLIP's: weights and projections normal with variance one over fan-in, tables and tokens with deviation 0.02; the factor of
/// cosines 100; norms stay 1, biases 0.
pub fn initialise_clip(store: &VarStore, seed: u64) {
    fill(store, seed, |name, shape, _, seed| match shape {
        [] => Some(vec![100f32.ln()]),
        _ if name.ends_with("_embedding") || name == "token_embedding.weight" => {
            Some(normal(name, shape, 0.02, seed))
        }
        [from, _] if name.ends_with("proj") || name.ends_with("projection") => {
            Some(normal(name, shape, (*from as f64).sqrt().recip(), seed))
        }
        [_, from, kernel @ ..] => {
            let fan_in = (from * kernel.iter().product::<i64>()) as f64;
            Some(normal(name, shape, fan_in.sqrt().recip(), seed))
        }
        _ => None,
    });
}

/// Words that are learnt before a phrase (`..._end`), normal with deviation 0.02; the rest by the framework's default.
pub fn initialise_prompts(store: &VarStore, seed: u64) {
    fill(store, seed, |name, shape, plan, seed| match name.ends_with("_end") {
        true => Some(normal(name, shape, 0.02, seed)),
        false => draw_plain(name, shape, plan, seed),
    });
}

/// Values of one tensor, by name, shape, all names with their shapes, and seed.
trait Draw: Fn(&str, &[i64], &[(String, Vec<i64>)], u64) -> Option<Vec<f32>> + Sync {}

impl<F: Fn(&str, &[i64], &[(String, Vec<i64>)], u64) -> Option<Vec<f32>> + Sync> Draw for F {}

fn fill(store: &VarStore, seed: u64, draw: impl Draw) {
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
    let weight_shape = weight_shape(name, shape, plan)?;
    // Batch norms: their weights have one dimension.
    let [c_first, _, kernel @ ..] = weight_shape else { return None };
    if kernel == [2, 2] || name.contains("proj_in") {
        return draw_plain(name, shape, plan, seed);
    }
    let area: i64 = kernel.iter().product();
    // Of a depthwise convolution, each input channel reaches one output channel.
    let reached = if name.contains("_depthwise_conv") { 1 } else { *c_first };
    let deviation = (2.0 / (reached * area) as f64).sqrt();
    Some(normal(name, shape, deviation, seed))
}

fn normal(name: &str, shape: &[i64], deviation: f64, seed: u64) -> Vec<f32> {
    let mut stream = stream(name, seed);
    (0..shape.iter().product()).map(|_: i64| (deviation * stream.normal()) as f32).collect()
}

/// Normal, each value drawn again until it is within `bound`.
fn truncated(name: &str, shape: &[i64], deviation: f64, bound: f64, seed: u64) -> Vec<f32> {
    let mut stream = stream(name, seed);
    let mut one = || loop {
        let value = deviation * stream.normal();
        if value.abs() <= bound {
            return value as f32;
        }
    };
    (0..shape.iter().product()).map(|_: i64| one()).collect()
}

fn draw_plain(name: &str, shape: &[i64], plan: &[(String, Vec<i64>)], seed: u64) -> Option<Vec<f32>> {
    // The framework takes the second dimension as fan-in, also for transposed convolutions.
    let [_, c_second, kernel @ ..] = weight_shape(name, shape, plan)? else { return None };
    let area: i64 = kernel.iter().product();
    let bound = 1.0 / ((c_second * area) as f64).sqrt();
    let mut stream = stream(name, seed);
    Some((0..shape.iter().product()).map(|_: i64| stream.between(-bound, bound) as f32).collect())
}

fn stream(name: &str, seed: u64) -> Stream {
    Stream::new(seed, &format!("initial value of {name}"), 0)
}

/// A bias goes by the shape of its layer's weight.
fn weight_shape<'a>(name: &str, shape: &'a [i64], plan: &'a [(String, Vec<i64>)]) -> Option<&'a [i64]> {
    match name.strip_suffix(".bias") {
        Some(layer) => {
            let weight = format!("{layer}.weight");
            plan.iter().find(|(other, _)| *other == weight).map(|(_, shape)| shape.as_slice())
        }
        None => Some(shape),
    }
}
