//! Gaussians, one or one per position: running moments, Ledoit-Wolf shrinkage, Mahalanobis distances.
//!
//! Everything is computed in double precision; only factors are kept in single precision if asked to.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

/// Moments of `p` positions' vectors of length `d`, taken up batch by batch.
///
/// Sums are of vectors less the first batch's mean, so that a constant added to all of them changes nothing.
pub struct Moments {
    count: i64,
    /// `[p, 1, d]`.
    origin: Tensor,
    /// Sum of vectors, `[p, d]`.
    first: Tensor,
    /// Sum of outer products, `[p, d, d]`.
    second: Tensor,
    /// Sum of vectors times their squared lengths, `[p, d]`.
    third: Tensor,
    /// Sum of the squares of squared lengths, `[p]`.
    fourth: Tensor,
}

/// How a covariance is made invertible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regular {
    /// Ledoit and Wolf's shrinkage of the biased covariance (as scikit-learn has it), rather than the unbiased
    /// covariance as it is.
    pub shrink: bool,
    /// Added to the diagonal.
    pub ridge: f64,
}

impl Moments {
    /// Begins with vectors `[p, n, d]`.
    pub fn new(vectors: &Tensor) -> Moments {
        let vectors = vectors.to_kind(Kind::Double);
        let (p, d) = (vectors.size()[0], vectors.size()[2]);
        let options = (Kind::Double, vectors.device());
        let mut moments = Moments {
            count: 0,
            origin: vectors.mean_dim(1, true, None::<Kind>),
            first: Tensor::zeros([p, d], options),
            second: Tensor::zeros([p, d, d], options),
            third: Tensor::zeros([p, d], options),
            fourth: Tensor::zeros([p], options),
        };
        moments.add(&vectors);
        moments
    }

    /// Takes up vectors `[p, n, d]`.
    pub fn add(&mut self, vectors: &Tensor) {
        let vectors = vectors.to_kind(Kind::Double) - &self.origin;
        let squares = vectors.square().sum_dim_intlist(2, false, None::<Kind>);
        self.count += vectors.size()[1];
        self.first += vectors.sum_dim_intlist(1, false, None::<Kind>);
        let _ = self.second.baddbmm_(&vectors.transpose(1, 2), &vectors);
        self.third += squares.unsqueeze(1).bmm(&vectors).squeeze_dim(1);
        self.fourth += squares.square().sum_dim_intlist(1, false, None::<Kind>);
    }

    /// Vectors taken up at each position.
    pub fn count(&self) -> i64 {
        self.count
    }

    /// `[p, d]`.
    pub fn mean(&self) -> Tensor {
        self.offset() + self.origin.squeeze_dim(1)
    }

    /// The mean from the origin, `[p, d]`.
    fn offset(&self) -> Tensor {
        &self.first / self.count as f64
    }

    /// `[p, d, d]`, over the count less one, or over one if there is one vector alone.
    pub fn covariance(&self) -> Tensor {
        self.scatter() / (self.count - 1).max(1) as f64
    }

    /// Sum of outer products about the mean, `[p, d, d]`.
    fn scatter(&self) -> Tensor {
        let offset = self.offset();
        &self.second - offset.unsqueeze(2) * offset.unsqueeze(1) * self.count as f64
    }

    /// Ledoit and Wolf (2004): the biased covariance and a multiple of the identity, weighed so that the
    /// expected squared error is least; `[p, d, d]`, and the weight of the identity, `[p]`.
    pub fn shrunk(&self) -> (Tensor, Tensor) {
        let (n, d) = (self.count as f64, self.first.size()[1]);
        let biased = self.scatter() / n;
        let scale = trace(&biased) / d as f64;
        let norm = biased.square().sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>);
        let weight = shrinkage([n, d as f64], &scale, &norm, &self.fourth_about_mean());
        let by = |tensor: &Tensor| tensor.view([-1, 1, 1]);
        let identity = Tensor::eye(d, (Kind::Double, biased.device()));
        (biased * by(&(1.0 - &weight)) + identity * by(&(&weight * scale)), weight)
    }

    /// Sum of the fourth powers of lengths about the mean, `[p]`.
    fn fourth_about_mean(&self) -> Tensor {
        let (n, mean) = (self.count as f64, self.offset());
        let dot = |a: &Tensor, b: &Tensor| (a * b).sum_dim_intlist(1, false, None::<Kind>);
        let length = dot(&mean, &mean);
        let along = dot(&mean, &mean.unsqueeze(1).bmm(&self.second).squeeze_dim(1));
        // Of (|x|^2 - 2 m x + |m|^2)^2, term by term; the sum of x is n m.
        &self.fourth + along * 4.0 + length.square() * n - dot(&mean, &self.third) * 4.0
            + trace(&self.second) * &length * 2.0
            - length.square() * (4.0 * n)
    }

    /// Mean and factored covariance; factors kept as `kept`.
    ///
    /// # Errors
    /// A covariance without an inverse.
    pub fn gaussian(&self, regular: Regular, kept: Kind) -> Result<Gaussian> {
        let covariance = if regular.shrink { self.shrunk().0 } else { self.covariance() };
        let ridge = Tensor::eye(covariance.size()[1], (Kind::Double, covariance.device())) * regular.ridge;
        let (factor, failed) = (covariance + ridge).linalg_cholesky_ex(false, false);
        let n_failed = failed.count_nonzero(None).int64_value(&[]);
        ensure!(
            n_failed == 0,
            "the covariance of {} vectors is singular ({n_failed} of {} positions)",
            self.count,
            failed.size()[0]
        );
        Ok(Gaussian { mean: self.mean().unsqueeze(1), factor: factor.to_kind(kept) })
    }
}

/// Ledoit and Wolf's weight of the identity for `n` vectors of length `d`: of their mean variance, the sum of the
/// squares of their biased covariance and the sum of the fourth powers of their lengths about the mean, all `[p]`.
pub fn shrinkage([n, d]: [f64; 2], variance: &Tensor, norm: &Tensor, fourth: &Tensor) -> Tensor {
    let spread = (norm - variance.square() * d).clamp_min(0.0);
    let error = ((fourth / n - norm) / n).clamp_min(0.0).minimum(&spread);
    (error / spread.clamp_min(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
}

/// Sum of the diagonal, `[p, d, d]` to `[p]`.
pub fn trace(matrices: &Tensor) -> Tensor {
    matrices.diagonal(0, 1, 2).sum_dim_intlist(-1, false, None::<Kind>)
}

/// A normal distribution at each of `p` positions.
pub struct Gaussian {
    /// `[p, 1, d]`.
    mean: Tensor,
    /// Lower Cholesky factor of the covariance, `[p, d, d]`.
    factor: Tensor,
}

impl Gaussian {
    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        bytes(&self.mean) + bytes(&self.factor)
    }

    /// Mahalanobis distances (roots, not squares) of vectors `[p, n, d]`: `[p, n]`, double precision.
    pub fn distances(&self, vectors: &Tensor) -> Tensor {
        let differences = (vectors.to_kind(Kind::Double) - &self.mean).transpose(1, 2);
        let factor = self.factor.to_kind(Kind::Double);
        let white = factor.linalg_solve_triangular(&differences, false, true, false);
        white.square().sum_dim_intlist(1, false, None::<Kind>).sqrt()
    }
}
