//! Convolution and batch norm with torchvision's parameter names and no hidden mode.

use tch::Tensor;
use tch::nn::{self, Path};

/// Which statistics a batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Stored statistics; nothing changes.
    Stored,
    /// The batch's own, blended into the stored ones with momentum 0.1.
    Batch,
    /// Those of this many batches of equal size, given one after another along `n`: each its own, blended into the
    /// stored ones in turn, as if they came one by one.
    Batches(i64),
    /// The batch's own, which replace the stored ones.
    Calibrate,
}

/// Batch norm over channels, eps 1e-5.
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    pub fn new(path: &Path, channels: i64) -> BatchNorm {
        BatchNorm {
            weight: path.ones("weight", &[channels]),
            bias: path.zeros("bias", &[channels]),
            running_mean: path.zeros_no_train("running_mean", &[channels]),
            running_var: path.ones_no_train("running_var", &[channels]),
        }
    }

    /// `[n, c, h, w] -> [n, c, h, w]`
    pub fn forward(&self, x: &Tensor, norm: Norm) -> Tensor {
        let (own_statistics, momentum) = match norm {
            Norm::Stored => (false, 0.0),
            Norm::Batch => (true, 0.1),
            Norm::Batches(count) => {
                let batches: Vec<Tensor> =
                    x.chunk(count, 0).iter().map(|batch| self.forward(batch, Norm::Batch)).collect();
                return Tensor::cat(&batches, 0);
            }
            Norm::Calibrate => (true, 1.0),
        };
        let [weight, bias, mean, var] =
            [&self.weight, &self.bias, &self.running_mean, &self.running_var].map(Some);
        x.batch_norm(weight, bias, mean, var, own_statistics, momentum, 1e-5, false)
    }
}

/// A convolution without bias, or its transpose, with "same" padding for its kernel.
pub struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
    transposed: bool,
}

impl Conv {
    /// `[n, c_in, h, w] -> [n, c_out, h / stride, w / stride]`, odd `kernel`.
    pub fn new(path: &Path, c_in: i64, c_out: i64, kernel: i64, stride: i64) -> Conv {
        let weight = path.zeros("weight", &[c_out, c_in, kernel, kernel]);
        Conv { weight, stride, padding: kernel / 2, transposed: false }
    }

    /// 2 x 2 transposed, `[n, c_in, h, w] -> [n, c_out, 2 h, 2 w]`.
    pub fn doubling(path: &Path, c_in: i64, c_out: i64) -> Conv {
        let weight = path.zeros("weight", &[c_in, c_out, 2, 2]);
        Conv { weight, stride: 2, padding: 0, transposed: true }
    }

    /// 4 x 4, `[n, c_in, h, w] -> [n, c_out, h / 2, w / 2]`.
    pub fn halving(path: &Path, c_in: i64, c_out: i64) -> Conv {
        let weight = path.zeros("weight", &[c_out, c_in, 4, 4]);
        Conv { weight, stride: 2, padding: 1, transposed: false }
    }

    /// The mirror of [`Conv::halving`]: 4 x 4 transposed, `[n, c_in, h, w] -> [n, c_out, 2 h, 2 w]`.
    pub fn unhalving(path: &Path, c_in: i64, c_out: i64) -> Conv {
        let weight = path.zeros("weight", &[c_in, c_out, 4, 4]);
        Conv { weight, stride: 2, padding: 1, transposed: true }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.to_kind(x.kind());
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        if self.transposed {
            return x.conv_transpose2d(&weight, None::<&Tensor>, stride, padding, [0, 0], 1, [1, 1]);
        }
        x.conv2d(&weight, None::<&Tensor>, stride, padding, [1, 1], 1)
    }
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
