//! The plain and the variational auto-encoder of MedIAnomaly (arXiv 2404.04518): four halvings to a short code.

use tch::nn::{Linear, Module, Path};
use tch::{Kind, Tensor};

use super::layer::{BatchNorm, Conv, Norm, linear, of_convolution};

/// Sizes of an auto-encoder.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels of the pictures.
    pub channels: i64,
    /// Side of the pictures, a multiple of 16.
    pub side: i64,
    /// Filters of the outermost layer.
    pub width: i64,
    /// Width of the fully connected layers.
    pub hidden: i64,
    /// Length of the code.
    pub latent: i64,
    /// Whether the encoder tells a distribution of codes.
    pub variational: bool,
}

impl Shape {
    /// Channels before the first halving and after each.
    fn widths(self) -> [i64; 5] {
        [self.channels, self.width, 2 * self.width, 4 * self.width, 4 * self.width]
    }

    /// Values of a picture after the last halving.
    fn flat(self) -> i64 {
        4 * self.width * (self.side / 16).pow(2)
    }

    /// Floating-point operations of one picture, forward.
    pub fn operations(self) -> f64 {
        let widths = self.widths();
        let halving =
            |index: usize| of_convolution(widths[index], widths[index + 1], 4, self.side >> (index + 1));
        let to_code =
            of_convolution(self.flat(), self.hidden, 1, 1) + of_convolution(self.hidden, self.latent, 1, 1);
        2.0 * ((0..4).map(halving).sum::<f64>() + to_code)
    }
}

/// Encoder, code and mirrored decoder.
pub struct AutoEncoder {
    shape: Shape,
    encoder: Vec<(Conv, BatchNorm)>,
    to_hidden: (Linear, BatchNorm),
    to_code: Linear,
    from_code: (Linear, BatchNorm),
    from_hidden: Linear,
    /// The last layer has no norm.
    decoder: Vec<(Conv, Option<BatchNorm>)>,
}

/// What the encoder says of pictures, `[n, latent]` each.
pub struct Code {
    /// The code; of a variational encoder, its mean.
    pub mean: Tensor,
    /// Of a variational encoder, the logarithm of the code's variance.
    pub log_variance: Option<Tensor>,
}

impl Code {
    /// The code displaced by standard normal `noise`, `[n, latent]`, as far as its deviation goes.
    pub fn sample(&self, noise: &Tensor) -> Tensor {
        match &self.log_variance {
            Some(log_variance) => &self.mean + noise * (log_variance * 0.5).exp(),
            None => self.mean.shallow_clone(),
        }
    }

    /// Kullback-Leibler divergence from the standard normal, mean over pictures and dimensions; 0 without variance.
    pub fn divergence(&self) -> Tensor {
        match &self.log_variance {
            Some(log_variance) => {
                let inside = log_variance.exp() + self.mean.square() - log_variance - 1.0;
                inside.mean(None::<Kind>) * 0.5
            }
            None => Tensor::zeros([], (Kind::Float, self.mean.device())),
        }
    }
}

impl AutoEncoder {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, shape: Shape) -> AutoEncoder {
        let Shape { hidden, latent, variational, .. } = shape;
        let (widths, flat) = (shape.widths(), shape.flat());
        let halving = |index: usize| {
            let path = path / format!("encoder{index}");
            let conv = Conv::halving(&(&path / "conv"), widths[index], widths[index + 1]);
            (conv, BatchNorm::new(&(&path / "bn"), widths[index + 1]))
        };
        let upsampling = |index: usize| {
            let path = path / format!("decoder{index}");
            let conv = Conv::upsampling(&(&path / "conv"), widths[index + 1], widths[index]);
            (conv, (index > 0).then(|| BatchNorm::new(&(&path / "bn"), widths[index])))
        };
        let hidden_norm = |name: &str| BatchNorm::new(&(path / name), hidden);
        AutoEncoder {
            shape,
            encoder: (0..4).map(halving).collect(),
            to_hidden: (linear(&(path / "to_hidden"), flat, hidden), hidden_norm("to_hidden_bn")),
            to_code: linear(&(path / "to_code"), hidden, if variational { 2 * latent } else { latent }),
            from_code: (linear(&(path / "from_code"), latent, hidden), hidden_norm("from_code_bn")),
            from_hidden: linear(&(path / "from_hidden"), hidden, flat),
            decoder: (0..4).rev().map(upsampling).collect(),
        }
    }

    /// Codes of pictures `[n, channels, side, side]`.
    pub fn encode(&self, pictures: &Tensor, norm: Norm) -> Code {
        let step = |x: Tensor, (conv, bn): &(Conv, BatchNorm)| bn.forward(&conv.forward(&x), norm).relu();
        let deep = self.encoder.iter().fold(pictures.shallow_clone(), step).flatten(1, -1);
        let (layer, bn) = &self.to_hidden;
        let code = self.to_code.forward(&bn.forward(&layer.forward(&deep), norm).relu());
        if !self.shape.variational {
            return Code { mean: code, log_variance: None };
        }
        let half = |start: i64| code.narrow(1, start, self.shape.latent);
        Code { mean: half(0), log_variance: Some(half(self.shape.latent)) }
    }

    /// Pictures `[n, channels, side, side]` of codes `[n, latent]`.
    pub fn decode(&self, codes: &Tensor, norm: Norm) -> Tensor {
        let (layer, bn) = &self.from_code;
        let hidden = bn.forward(&layer.forward(codes), norm).relu();
        let side = self.shape.side / 16;
        let deep = self.from_hidden.forward(&hidden).view([-1, 4 * self.shape.width, side, side]);
        self.decoder.iter().fold(deep, |x, (conv, bn)| match bn {
            Some(bn) => bn.forward(&conv.forward(&x), norm).relu(),
            None => conv.forward(&x),
        })
    }
}
