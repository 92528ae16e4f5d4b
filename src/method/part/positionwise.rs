//! One Gaussian per position of a feature grid, and Mahalanobis distances to it (PaDiM, RegAD).

use anyhow::{Context as _, Result};
use tch::{Kind, Tensor};

use super::gaussian::{Gaussian, Moments, Regular};

/// Values of the covariances of the positions that are worked on at once, at most: 64 MB in double precision.
const BLOCK: i64 = 1 << 23;

/// Moments of every position, taken up batch by batch.
#[derive(Default)]
pub struct Fitting {
    /// One for each block of positions.
    blocks: Vec<Moments>,
}

impl Fitting {
    /// Takes up features `[n, c, h, w]`.
    pub fn add(&mut self, features: &Tensor) {
        let parts = blocks(features);
        if self.blocks.is_empty() {
            self.blocks = parts.iter().map(Moments::new).collect();
        } else {
            self.blocks.iter_mut().zip(&parts).for_each(|(moments, part)| moments.add(part));
        }
    }

    /// The Gaussians; factors are kept in single precision, which halves the memory.
    ///
    /// # Errors
    /// A covariance without an inverse, or nothing taken up.
    pub fn finish(self, regular: Regular) -> Result<Positionwise> {
        // Each block's moments go before the next one's are factored.
        let gaussians = self
            .blocks
            .into_iter()
            .map(|moments| moments.gaussian(regular, Kind::Float))
            .collect::<Result<Vec<_>>>()?;
        gaussians.first().context("there is nothing to fit")?;
        Ok(Positionwise { gaussians })
    }
}

/// Means and factored covariances.
pub struct Positionwise {
    /// One for each block of positions.
    gaussians: Vec<Gaussian>,
}

impl Positionwise {
    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        self.gaussians.iter().map(Gaussian::bytes).sum()
    }

    /// Mahalanobis distances `[b, h, w]` of features `[b, c, h, w]`, in double precision.
    pub fn distance(&self, features: &Tensor) -> Tensor {
        let [b, _, h, w] = features.size()[..] else { panic!("features are [b, c, h, w]") };
        let parts = blocks(features);
        let distances: Vec<Tensor> =
            self.gaussians.iter().zip(&parts).map(|(gaussian, part)| gaussian.distances(part)).collect();
        Tensor::cat(&distances, 0).transpose(0, 1).reshape([b, h, w])
    }
}

/// `[n, c, h, w]` to `[positions, n, c]` in blocks of positions.
fn blocks(features: &Tensor) -> Vec<Tensor> {
    let c = features.size()[1];
    features.flatten(2, 3).permute([2, 0, 1]).split((BLOCK / (c * c)).max(1), 0)
}
