//! One Gaussian per position of a feature grid, and Mahalanobis distances to it (PaDiM, RegAD).

use anyhow::{Context as _, Result};
use tch::{Kind, Tensor};

use super::few_vectors::{FewVectors, are_few};
use super::gaussian::{Gaussian, Moments, Regular};
use crate::method::work::Covariances;

/// Values of the covariances of the positions that are worked on at once, at most: 64 MB in double precision.
const BLOCK: i64 = 1 << 23;

/// What every position has, taken up batch by batch: the vectors themselves while they are few, then their moments.
#[derive(Default)]
pub struct Fitting {
    /// Features `[n, h, w, c]`; none once they are many.
    few: Vec<Tensor>,
    /// One for each block of positions; none while they are few.
    blocks: Vec<Moments>,
}

impl Fitting {
    /// Takes up features `[n, h, w, c]`.
    pub fn add(&mut self, features: &Tensor) {
        if !self.blocks.is_empty() {
            return self.add_to_moments(features);
        }
        self.few.push(features.shallow_clone());
        let count = self.few.iter().map(|features| features.size()[0]).sum();
        if !are_few(count, features.size()[3]) {
            // Each goes after it was taken up.
            std::mem::take(&mut self.few).into_iter().for_each(|features| self.add_to_moments(&features));
        }
    }

    fn add_to_moments(&mut self, features: &Tensor) {
        let parts = blocks(features);
        if self.blocks.is_empty() {
            self.blocks = parts.iter().map(Moments::new).collect();
        } else {
            self.blocks.iter_mut().zip(&parts).for_each(|(moments, part)| moments.add(part));
        }
    }

    /// The Gaussians; factors of covariances are kept in single precision, which halves the memory.
    ///
    /// # Errors
    /// A covariance without an inverse, or nothing taken up.
    pub fn finish(mut self, regular: Regular) -> Result<Positionwise> {
        let gaussians: Vec<Normal> = if self.few.is_empty() {
            // Each block's moments go before the next one's are factored.
            let blocks = self.blocks.into_iter();
            blocks
                .map(|moments| Ok(Normal::Many(moments.gaussian(regular, Kind::Float)?)))
                .collect::<Result<_>>()?
        } else {
            let parts = blocks(&Tensor::cat(&std::mem::take(&mut self.few), 0));
            parts
                .iter()
                .map(|part| Ok(Normal::Few(FewVectors::new(part, regular)?)))
                .collect::<Result<_>>()?
        };
        gaussians.first().context("there is nothing to fit")?;
        Ok(Positionwise { gaussians })
    }
}

/// The Gaussians of a block of positions.
enum Normal {
    Few(FewVectors),
    Many(Gaussian),
}

/// Gaussians of all positions.
pub struct Positionwise {
    /// One for each block of positions.
    gaussians: Vec<Normal>,
}

impl Positionwise {
    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        let bytes = |normal: &Normal| match normal {
            Normal::Few(few) => few.bytes(),
            Normal::Many(gaussian) => gaussian.bytes(),
        };
        self.gaussians.iter().map(bytes).sum()
    }

    /// Mahalanobis distances `[b, h, w]` of features `[b, h, w, c]`, in double precision.
    pub fn distance(&self, features: &Tensor) -> Tensor {
        let [b, h, w, _] = features.size()[..] else { panic!("features are [b, h, w, c]") };
        let distances = |(normal, part): (&Normal, &Tensor)| match normal {
            Normal::Few(few) => few.distances(part),
            Normal::Many(gaussian) => gaussian.distances(part),
        };
        let distances: Vec<Tensor> = self.gaussians.iter().zip(&blocks(features)).map(distances).collect();
        Tensor::cat(&distances, 0).transpose(0, 1).reshape([b, h, w])
    }
}

/// What Gaussians of `count` vectors of `length` at each of `positions` take.
pub fn work(positions: f64, count: usize, length: i64) -> Covariances {
    if !are_few(count as i64, length) {
        return Covariances::new(positions, length);
    }
    let (n, d) = (count as f64, length as f64);
    Covariances {
        each: positions * 2.0 * n * d,
        factoring: positions * n.powi(3) / 3.0,
        distance: positions * (2.0 * n * d + n * n),
        // Features as they came, or together and by position; then factors.
        bytes: positions * (2.0 * 4.0 * n * d + 8.0 * n * n),
    }
}

/// `[n, h, w, c]` to `[positions, n, c]` in blocks of positions.
fn blocks(features: &Tensor) -> Vec<Tensor> {
    let c = features.size()[3];
    features.flatten(1, 2).transpose(0, 1).split((BLOCK / (c * c)).max(1), 0)
}
