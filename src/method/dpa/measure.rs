//! The relative perceptual loss: what a picture and its reconstruction differ by, as a pretrained
//! network sees them.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::perceptual_network::Perception;
use crate::network::vgg::Layer;

/// Variances of features are at least this share of their mean: a channel that is silent on normals would drown
/// all others.
const LEAST_VARIANCE: f64 = 0.01;

/// Where mean and variance of each feature channel come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistics {
    /// The pictures that are learnt from.
    Normals,
    /// Mean 0 and variance 1.
    None,
}

/// Relative perceptual loss at one size.
pub struct Measure {
    layer: Layer,
    /// Mean and variance of each channel, `[1, c, 1, 1]`.
    statistics: Option<[Tensor; 2]>,
}

impl Measure {
    /// Where features of pictures of `side` x `side` pixels are taken.
    pub(super) fn layer(side: i64) -> Layer {
        if side >= 64 { Layer::R42 } else { Layer::R32 }
    }

    /// For pictures of the size of `normals`, `[n, 3, s, s]` of -1 to 1.
    pub fn new(perception: &dyn Perception, normals: &Tensor, statistics: Statistics) -> Measure {
        let layer = Measure::layer(normals.size()[3]);
        let statistics =
            (statistics == Statistics::Normals).then(|| statistics_of(perception, normals, layer));
        Measure { layer, statistics }
    }

    /// Per position, mean over channels of what features of `x` and `y` differ by, over the mean size of all of
    /// `x`'s: `[n, h, w]`. The size is taken as given: no gradient passes through it.
    pub fn relative(&self, perception: &dyn Perception, x: &Tensor, y: &Tensor) -> Tensor {
        relative(&tch::no_grad(|| self.features(perception, x)), &self.features(perception, y))
    }

    /// The relative perceptual loss of each picture, `[n]`.
    pub fn distance(&self, perception: &dyn Perception, x: &Tensor, y: &Tensor) -> Tensor {
        self.relative(perception, x, y).mean_dim([1i64, 2].as_slice(), false, None::<Kind>)
    }

    fn features(&self, perception: &dyn Perception, pictures: &Tensor) -> Tensor {
        let features = perception.features(pictures, self.layer);
        match &self.statistics {
            // Over the variance, not its root: what the authors' code does.
            Some([mean, variance]) => (features - mean) / variance,
            None => features,
        }
    }
}

/// Features `[n, c, h, w]` to `[n, h, w]`, as [`Measure::relative`] says.
pub fn relative(x: &Tensor, y: &Tensor) -> Tensor {
    let size = x.abs().mean_dim([1i64, 2, 3].as_slice(), true, None::<Kind>).squeeze_dim(1).clamp_min(1e-12);
    (x - y).abs().mean_dim(1i64, false, None::<Kind>) / size
}

/// Mean and variance of each channel over pictures and positions.
fn statistics_of(perception: &dyn Perception, pictures: &Tensor, layer: Layer) -> [Tensor; 2] {
    let dims = [0i64, 2, 3];
    let (mut sum, mut squares, mut count) = (Tensor::from(0.0), Tensor::from(0.0), 0);
    for part in pictures.split(32, 0) {
        let features = tch::no_grad(|| perception.features(&part, layer)).to_kind(Kind::Double);
        count += features.numel() as i64 / features.size()[1];
        sum =
            sum.to_device(features.device()) + features.sum_dim_intlist(dims.as_slice(), true, None::<Kind>);
        squares = squares.to_device(features.device())
            + features.square().sum_dim_intlist(dims.as_slice(), true, None::<Kind>);
    }
    let mean = sum / count as f64;
    let variance = squares / count as f64 - mean.square();
    let least = variance.mean(None::<Kind>) * LEAST_VARIANCE;
    let variance = variance.maximum(&least).clamp_min(1e-12);
    [mean.to_kind(Kind::Float), variance.to_kind(Kind::Float)]
}
