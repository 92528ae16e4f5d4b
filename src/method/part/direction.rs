//! Vectors of which the direction alone counts.

use tch::Tensor;

/// Vectors of length 1 along dimension `along`; one that is all zeros stays so.
pub fn unit(vectors: &Tensor, along: i64) -> Tensor {
    vectors / vectors.norm_scalaropt_dim(2, [along], true).clamp_min(1e-12)
}
