//! Mahalanobis distances to the Gaussian of few long vectors, found from the vectors themselves.
//!
//! The covariance of `n` vectors of length `d` is `a X^T X + b I`, where the rows of `X` are the vectors less their
//! mean. By Woodbury's identity the square of a distance is `(|v|^2 - a |L^-1 X v|^2) / b`, where `L L^T` is
//! `a X X^T + b I`: matrices are of `n` by `n`, and none of `d` by `d` is made. In double precision, since the
//! difference takes away most of what it is made of.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::gaussian::{Regular, shrinkage, trace};

/// Whether so many vectors of `length` cost less as they are than as a covariance. To fit takes `2 n^2 d` operations
/// rather than `2 n d^2 + d^3 / 3`, and as many bytes or fewer; a distance `2 n d + n^2` rather than `d^2`, at most a
/// quarter more.
pub fn are_few(count: i64, length: i64) -> bool {
    2 * count <= length
}

/// A normal distribution at each of `p` positions, of `n` vectors each.
pub struct FewVectors {
    /// As they came, `[p, n, d]`.
    vectors: Tensor,
    /// `[p, 1, d]`.
    mean: Tensor,
    /// Of the covariance: what the sum of outer products is multiplied by, and what the diagonal gets; `[p, 1]`.
    scale: Tensor,
    diagonal: Tensor,
    /// Lower Cholesky factor of the products of the vectors, scaled and with that diagonal, `[p, n, n]`.
    factor: Tensor,
}

impl FewVectors {
    /// Of vectors `[p, n, d]`.
    ///
    /// # Errors
    /// A covariance without an inverse: nothing is added to its diagonal.
    pub fn new(vectors: &Tensor, regular: Regular) -> Result<FewVectors> {
        let [p, n, d] = vectors.size()[..] else { panic!("vectors are [p, n, d]") };
        let vectors = vectors.contiguous();
        let about = vectors.to_kind(Kind::Double);
        let mean = about.mean_dim(1, true, None::<Kind>);
        let about = about - &mean;
        let products = about.bmm(&about.transpose(1, 2));
        let by_position = |value: f64| Tensor::full([p], value, (Kind::Double, vectors.device()));
        let (scale, diagonal) = if regular.shrink {
            let (n, d) = (n as f64, d as f64);
            let (variance, norm) = (trace(&products) / (n * d), sum_of_squares(&products) / (n * n));
            let fourth = products.diagonal(0, 1, 2).square().sum_dim_intlist(-1, false, None::<Kind>);
            let weight = shrinkage([n, d], &variance, &norm, &fourth);
            ((1.0 - &weight) / n, weight * variance + regular.ridge)
        } else {
            (by_position(1.0 / (n - 1).max(1) as f64), by_position(regular.ridge))
        };
        let identity = Tensor::eye(n, (Kind::Double, vectors.device()));
        let regular = products * scale.view([p, 1, 1]) + identity * diagonal.view([p, 1, 1]);
        let (factor, failed) = regular.linalg_cholesky_ex(false, false);
        let failed = failed.not_equal(0).logical_or(&diagonal.less_equal(0.0));
        let n_failed = failed.count_nonzero(None).int64_value(&[]);
        ensure!(n_failed == 0, "the covariance of {n} vectors is singular ({n_failed} of {p} positions)");
        let [scale, diagonal] = [scale, diagonal].map(|each| each.view([p, 1]));
        Ok(FewVectors { vectors, mean, scale, diagonal, factor })
    }

    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        let FewVectors { vectors, mean, scale, diagonal, factor } = self;
        let bytes = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        [vectors, mean, scale, diagonal, factor].map(bytes).iter().sum()
    }

    /// Mahalanobis distances (roots, not squares) of vectors `[p, m, d]`: `[p, m]`, double precision.
    pub fn distances(&self, vectors: &Tensor) -> Tensor {
        let [about, away] = [&self.vectors, vectors].map(|each| each.to_kind(Kind::Double) - &self.mean);
        let along = about.bmm(&away.transpose(1, 2));
        let white = self.factor.linalg_solve_triangular(&along, false, true, false);
        let explained = white.square().sum_dim_intlist(1, false, None::<Kind>) * &self.scale;
        let whole = away.square().sum_dim_intlist(2, false, None::<Kind>);
        ((whole - explained) / &self.diagonal).clamp_min(0.0).sqrt()
    }
}

/// Of matrices `[p, n, n]`, `[p]`.
fn sum_of_squares(matrices: &Tensor) -> Tensor {
    matrices.square().sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>)
}
