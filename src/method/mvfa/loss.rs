//! What adapters minimise.

use tch::{Reduction, Tensor};

use super::scoring::{chance, pixel_chances};
use crate::method::part::segmentation_loss::{dice, focal};

/// Of pictures with labels `[n]`, 0 or 1; summed over layers. As in the published code the chance of an anomaly is taken for a
/// logit, so that even the best one costs 0.31.
pub fn of_pictures(det: &[Tensor], texts: &Tensor, labels: &Tensor) -> Tensor {
    let of_layer = |middle: &Tensor| {
        let chance = chance(middle, texts);
        chance.binary_cross_entropy_with_logits(labels, None::<&Tensor>, None::<&Tensor>, Reduction::Mean)
    };
    det.iter().map(of_layer).reduce(|sum, loss| sum + loss).expect("a layer")
}

/// Of pixels with labels `[n, side, side]`, 0 or 1: focal and Dice losses, summed over layers. No method is given labels of
/// pixels here, so nothing trains on it.
pub fn of_pixels(seg: &[Tensor], texts: &Tensor, labels: &Tensor) -> Tensor {
    let of_layer = |middle: &Tensor| {
        let chances = pixel_chances(middle, texts, labels.size()[1]);
        focal(&chances, labels) + dice(&chances.select(1, 1), labels)
    };
    seg.iter().map(of_layer).reduce(|sum, loss| sum + loss).expect("a layer")
}
