//! The subspace in which vectors vary most, and what it leaves over of others.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::scatter::Scatter;

/// The directions in which tokens vary most.
pub struct Subspace {
    /// `[d]`.
    mean: Tensor,
    /// Orthonormal columns, `[d, k]`.
    basis: Tensor,
}

impl Subspace {
    /// The least number of principal directions that explain `explained` of the variance.
    ///
    /// # Errors
    /// A variance of the features that is not finite.
    pub fn new(scatter: &Scatter, explained: f64) -> Result<Subspace> {
        let (values, vectors) = scatter.covariance().linalg_eigh("L");
        let values = Vec::<f64>::try_from(values.flip([0]))?;
        let total: f64 = values.iter().map(|value| value.max(0.0)).sum();
        ensure!(total.is_finite(), "the features' variance is {total}");
        let mut held = 0.0;
        let k = values
            .iter()
            .take_while(|value| {
                let more = held < explained * total;
                held += value.max(0.0);
                more
            })
            .count();
        let d = values.len() as i64;
        let basis = vectors.narrow(1, d - k as i64, k as i64).contiguous();
        Ok(Subspace { mean: scatter.mean().shallow_clone(), basis })
    }

    /// How many directions it has.
    pub fn components(&self) -> usize {
        self.basis.size()[1] as usize
    }

    /// Squared length of what the subspace leaves over of `tokens` `[m, d]`: `[m]`, double precision.
    pub fn residuals(&self, tokens: &Tensor) -> Tensor {
        let centred = tokens.to_kind(Kind::Double) - &self.mean;
        let length = |vectors: &Tensor| vectors.square().sum_dim_intlist(1, false, None::<Kind>);
        // By Pythagoras; of what is left over, double precision loses nothing that counts.
        (length(&centred) - length(&centred.matmul(&self.basis))).clamp_min(0.0)
    }
}
