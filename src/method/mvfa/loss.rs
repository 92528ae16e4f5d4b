//! What adapters for whole pictures minimise. No method is given labels of pixels here, so those for pixels do not train.

use tch::{Reduction, Tensor};

use super::scoring::chance;

/// Of pictures with labels `[n]`, 0 or 1; summed over layers. As in the published code the chance of an anomaly is taken for a
/// logit, so that even the best one costs 0.31.
pub fn of_pictures(det: &[Tensor], texts: &Tensor, labels: &Tensor) -> Tensor {
    let of_layer = |middle: &Tensor| {
        let chance = chance(middle, texts);
        chance.binary_cross_entropy_with_logits(labels, None::<&Tensor>, None::<&Tensor>, Reduction::Mean)
    };
    det.iter().map(of_layer).reduce(|sum, loss| sum + loss).expect("a layer")
}
