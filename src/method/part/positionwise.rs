//! One Gaussian per position of a feature grid, and Mahalanobis distances to it (RegAD).

use anyhow::Result;
use tch::{Kind, Tensor};

use super::gaussian::{Gaussian, Moments, Regular};

/// Positions worked on at once: 32 covariances of 448 channels are 51 MB in double precision.
const CHUNK: i64 = 32;

/// Means and factored covariances; factors in single precision, which halves the memory.
pub struct Positionwise {
    /// One for each chunk of positions.
    chunks: Vec<Gaussian>,
}

impl Positionwise {
    /// Fits features `[n, c, h, w]`; the covariance is over `n - 1`, with `ridge` added to its diagonal.
    pub fn fit(features: &Tensor, ridge: f64) -> Result<Positionwise> {
        let regular = Regular { shrink: false, ridge };
        let fit = |chunk: &Tensor| Moments::new(chunk).gaussian(regular, Kind::Float);
        Ok(Positionwise { chunks: chunks(features).iter().map(fit).collect::<Result<_>>()? })
    }

    /// Mahalanobis distances `[b, h, w]` of features `[b, c, h, w]`, in double precision.
    pub fn distance(&self, features: &Tensor) -> Tensor {
        let [b, _, h, w] = features.size()[..] else { panic!("features are [b, c, h, w]") };
        let features = chunks(features);
        let parts: Vec<Tensor> =
            self.chunks.iter().zip(&features).map(|(gaussian, part)| gaussian.distances(part)).collect();
        Tensor::cat(&parts, 0).transpose(0, 1).reshape([b, h, w])
    }
}

/// `[n, c, h, w]` to `[positions, n, c]` in chunks of positions.
fn chunks(features: &Tensor) -> Vec<Tensor> {
    features.flatten(2, 3).permute([2, 0, 1]).split(CHUNK, 0)
}
