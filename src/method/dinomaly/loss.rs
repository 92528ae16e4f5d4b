//! What Dinomaly minimises.

use tch::Tensor;

use super::network::{Pass, last};
use crate::method::part::rebuilding::Cosine;

/// What the gradient counts at positions that are rebuilt well already.
const DISCOUNT: f64 = 0.1;

/// How far what was rebuilt is from what was seen.
pub struct Loss {
    /// A scalar: mean over groups and pictures.
    pub cosine: Tensor,
    /// Has the gradient that is followed: the distance's, of which a tenth counts at the positions that are rebuilt best. Its
    /// value means nothing.
    pub followed: Tensor,
}

impl Loss {
    /// `groups` are what was to be rebuilt, each `[n, t, width]`, of which the last `patches` count.
    pub fn new(groups: &[Tensor; 2], pass: &Pass, patches: i64, discounted: f64) -> Loss {
        let seen = groups.each_ref().map(|tokens| last(tokens, patches));
        let Cosine { value: cosine, followed: [first, second] } =
            Cosine::new(&seen, &pass.rebuilt(patches), |distances| factors(distances, discounted));
        Loss { cosine, followed: first + second }
    }
}

/// A tenth at the `discounted` share of a batch's positions that is nearest, 1 at the others.
fn factors(distances: &Tensor, discounted: f64) -> Tensor {
    // Rounded down, as published.
    let n_farthest = ((distances.numel() as f64 * (1.0 - discounted)) as i64).max(1);
    let least = distances.flatten(0, -1).topk(n_farthest, 0, true, false).0.min();
    let is_near = distances.lt_tensor(&least).to_kind(distances.kind());
    &is_near * DISCOUNT + (1.0 - &is_near)
}

/// The share of positions that are discounted in the step of that number, counted from 0: it rises to `share` in `rise`
/// steps.
pub fn discounted(share: f64, rise: u64, step: u64) -> f64 {
    match rise {
        0 => share,
        _ => (share * step as f64 / rise as f64).min(share),
    }
}
