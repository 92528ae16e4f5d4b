//! Mean and scatter of many vectors, in parts that are put together in any number of sets.

use tch::{Kind, Tensor};

/// How vectors lie about their mean, in double precision.
pub struct Scatter {
    count: i64,
    /// `[d]`.
    mean: Tensor,
    /// Sum of outer products about the mean, `[d, d]`.
    about: Tensor,
}

impl Scatter {
    /// Of vectors `[n, d]`.
    pub fn of(vectors: &Tensor) -> Scatter {
        let vectors = vectors.to_kind(Kind::Double);
        let mean = vectors.mean_dim(0, false, None::<Kind>);
        let away = vectors - &mean;
        Scatter { count: away.size()[0], mean, about: away.tr().matmul(&away) }
    }

    /// Of no vectors yet, like those of `other`.
    pub fn empty(other: &Scatter) -> Scatter {
        Scatter { count: 0, mean: other.mean.zeros_like(), about: other.about.zeros_like() }
    }

    /// Takes up another part (Chan, Golub and `LeVeque`, 1979).
    pub fn add(&mut self, other: &Scatter) {
        let (count, others) = (self.count as f64, other.count as f64);
        let together = (count + others).max(1.0);
        let shift = &other.mean - &self.mean;
        self.about += &other.about;
        let _ = self.about.addr_(&shift, &(&shift * (count * others / together)));
        self.mean += shift * (others / together);
        self.count += other.count;
    }

    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        size_of::<f64>() * (self.mean.numel() + self.about.numel())
    }

    /// `[d]`.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// `[d, d]`, over the count less one, or over one if there is one vector alone.
    pub fn covariance(&self) -> Tensor {
        &self.about / (self.count - 1).max(1) as f64
    }
}
