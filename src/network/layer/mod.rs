//! Convolution and batch norm with torchvision's parameter names and no hidden mode.

use tch::nn::{self, Path};

pub use conv::Conv;
pub use norm::{BatchNorm, Norm};

mod conv;
mod norm;

/// Floating-point operations of one picture through a convolution that gives `side` x `side` positions; of a transposed
/// one, that is given so many. A multiplication with its addition counts two.
pub fn of_convolution(c_in: i64, c_out: i64, kernel: i64, side: i64) -> f64 {
    2.0 * (c_in * c_out * kernel * kernel * side * side) as f64
}

/// A 1 x 1 convolution with bias.
pub fn pointwise(path: &Path, c_in: i64, c_out: i64) -> nn::Conv2D {
    convolution(path, c_in, c_out, 1)
}

/// A convolution with bias and zeros around, `[n, c_in, h, w] -> [n, c_out, h, w]`, odd `kernel`.
pub fn convolution(path: &Path, c_in: i64, c_out: i64, kernel: i64) -> nn::Conv2D {
    let zero = nn::init::Init::Const(0.0);
    let config = nn::ConvConfig { ws_init: zero, bs_init: zero, padding: kernel / 2, ..Default::default() };
    nn::conv2d(path, c_in, c_out, kernel, config)
}

/// A fully connected layer with bias, `[n, from] -> [n, to]`.
pub fn linear(path: &Path, from: i64, to: i64) -> nn::Linear {
    let zero = nn::init::Init::Const(0.0);
    nn::linear(path, from, to, nn::LinearConfig { ws_init: zero, bs_init: Some(zero), bias: true })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    pub(super) fn uniform(size: [i64; 4], kind: Kind) -> Tensor {
        Tensor::empty(size, (kind, Device::Cpu)).uniform_(-1.0, 1.0)
    }

    /// Fails if numbers of threads give other bits.
    pub(super) fn in_any_number_of_threads(compute: impl Fn() -> Vec<Tensor>) {
        let threads = tch::get_num_threads();
        let found = [1, 2, 5].map(|n| {
            tch::set_num_threads(n);
            compute()
        });
        tch::set_num_threads(threads);
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
    }
}
