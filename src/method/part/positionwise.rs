//! One Gaussian per position of a feature grid, and Mahalanobis distances to it (PaDiM, RegAD).

use tch::{Kind, Tensor};

/// Positions worked on at once: 32 covariances of 448 channels are 51 MB in double precision.
const CHUNK: i64 = 32;

/// Mean and covariance of every position.
pub struct Positionwise {
    /// `[h * w, c]`
    mean: Tensor,
    /// Cholesky factors of the covariances, `[h * w, c, c]`, single precision to save half the memory.
    factors: Vec<Tensor>,
}

impl Positionwise {
    /// Fits features `[n, c, h, w]`; the covariance is over `n - 1`, with `ridge` added to its diagonal.
    pub fn fit(features: &Tensor, ridge: f64) -> Positionwise {
        let (n, c) = (features.size()[0], features.size()[1]);
        let samples = by_position(features);
        let mean = samples.to_kind(Kind::Double).mean_dim(1, false, None::<Kind>);
        let diagonal = Tensor::eye(c, (Kind::Double, features.device())) * ridge;
        let factor = |(start, size)| {
            let centred = samples.narrow(0, start, size).to_kind(Kind::Double)
                - mean.narrow(0, start, size).unsqueeze(1);
            let covariance = centred.transpose(1, 2).bmm(&centred) / (n - 1).max(1) as f64 + &diagonal;
            covariance.linalg_cholesky(false).to_kind(Kind::Float)
        };
        Positionwise { factors: chunks(samples.size()[0]).map(factor).collect(), mean }
    }

    /// Mahalanobis distances `[b, h, w]` of features `[b, c, h, w]`, in double precision throughout, so that a
    /// distance does not depend on what stands beside it.
    pub fn distance(&self, features: &Tensor) -> Tensor {
        let [b, _, h, w] = features.size()[..] else { panic!("features are [b, c, h, w]") };
        let samples = by_position(features);
        let part = |((start, size), factor): ((i64, i64), &Tensor)| {
            let offset = samples.narrow(0, start, size).to_kind(Kind::Double)
                - self.mean.narrow(0, start, size).unsqueeze(1);
            let white = factor.to_kind(Kind::Double).linalg_solve_triangular(
                &offset.transpose(1, 2),
                false,
                true,
                false,
            );
            white.square().sum_dim_intlist(1, false, None::<Kind>).sqrt()
        };
        let parts: Vec<Tensor> = chunks(h * w).zip(&self.factors).map(part).collect();
        Tensor::cat(&parts, 0).transpose(0, 1).reshape([b, h, w]).to_kind(Kind::Float)
    }
}

/// `[n, c, h, w]` to `[h * w, n, c]`.
fn by_position(features: &Tensor) -> Tensor {
    features.flatten(2, 3).permute([2, 0, 1]).contiguous()
}

/// Starts and sizes of the chunks of `n_positions`.
fn chunks(n_positions: i64) -> impl Iterator<Item = (i64, i64)> {
    (0..n_positions).step_by(CHUNK as usize).map(move |start| (start, CHUNK.min(n_positions - start)))
}
