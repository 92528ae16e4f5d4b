//! Image scores from the highest hundredth of a blurred map, as the scripts of Dinomaly, INP-Former and RAD have them.

use tch::{Kind, Tensor};

use crate::network::context::in_single;

/// Sides of the map that image scores are made of, in pixels, and of its blur.
const SIDE: i64 = 256;
const BLUR: i64 = 5;

/// Maps `[n, side, side]` brought to another side and blurred, with nothing beyond the border: there it is too low.
pub fn blurred(maps: &Tensor, side: i64, deviation: f64) -> Tensor {
    let maps = maps.unsqueeze(1).upsample_bilinear2d([side, side], false, None, None);
    let kernel = kernel(deviation).to_kind(maps.kind()).to_device(maps.device()).view([1, 1, BLUR, BLUR]);
    in_single(|| maps.conv2d::<Tensor>(&kernel, None, [1], [BLUR / 2], [1], 1)).squeeze_dim(1)
}

/// A Gaussian of that deviation in pixels whose weights sum to one, `[BLUR, BLUR]`: single precision, as published.
pub fn kernel(deviation: f64) -> Tensor {
    let values: Vec<f64> =
        (0..BLUR).map(|at| (-((at - BLUR / 2) as f64 / deviation).powi(2) / 2.0).exp()).collect();
    let row = Tensor::from_slice(&values);
    let kernel = row.unsqueeze(1) * row.unsqueeze(0);
    (&kernel / kernel.sum(None::<Kind>)).to_kind(Kind::Float)
}

/// Mean of the highest hundredth (at least one value) of maps `[n, side, side]`: `[n]`.
pub fn highest(maps: &Tensor) -> Tensor {
    let flat = maps.flatten(1, -1);
    let count = (flat.size()[1] / 100).max(1);
    flat.topk(count, 1, true, false).0.mean_dim(1, false, None::<Kind>)
}

/// Image scores `[n]` of maps of any side.
pub fn image_scores(maps: &Tensor, deviation: f64) -> Tensor {
    highest(&blurred(maps, SIDE, deviation))
}
