//! What INP-Former minimises.

use tch::{Kind, Tensor};

use super::network::Pass;
use crate::method::part::rebuilding::Cosine;

/// Share of the coherence in the loss.
const COHERENCE: f64 = 0.2;
/// Power of a position's distance over the mean one.
const POWER: f64 = 3.0;
/// The loss, its parts, and what is followed instead of it.
pub struct Loss {
    /// Distance of rebuilt tokens, all tokens of a picture as one vector; mean over groups and pictures.
    pub cosine: Tensor,
    /// Of tokens to their nearest prototypes.
    pub coherence: Tensor,
    /// Has the gradient that the method follows: that of the loss, less at positions that are rebuilt well already. Its
    /// value means nothing.
    pub followed: Tensor,
}

impl Loss {
    /// `groups` are what was to be rebuilt, each `[n, t, width]`.
    pub fn new(groups: &[Tensor; 2], pass: &Pass) -> Loss {
        let Cosine { value: cosine, followed: [first, second] } =
            Cosine::new(groups, &pass.rebuilt(), factors);
        let coherence = pass.coherence();
        let followed = &coherence * COHERENCE + first + second;
        Loss { cosine, coherence, followed }
    }

    /// What is minimised: a scalar.
    pub fn total(&self) -> Tensor {
        &self.cosine + &self.coherence.detach() * COHERENCE
    }
}

/// How much of the gradient counts at each position, `[n, t]`.
fn factors(distances: &Tensor) -> Tensor {
    let mean = distances.mean(None::<Kind>);
    (distances / mean).pow_tensor_scalar(POWER)
}
