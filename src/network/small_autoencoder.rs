//! The small auto-encoder of the experiments with one-class guidance (arXiv 2507.21164): two halvings to a code.

use tch::nn::{Conv2D, Linear, Module, Path};
use tch::{Tensor, nn};

use super::layer::{BatchNorm, Norm, convolution, linear, of_convolution};

/// Filters at full, half and quarter resolution.
const WIDTHS: [i64; 2] = [4, 8];

/// 5 x 5 convolutions, maxima on the way down, nearest neighbours on the way up.
pub struct SmallAutoEncoder {
    /// A quarter of the pictures' side.
    grid: i64,
    encoder: [(Conv2D, BatchNorm); 2],
    to_code: Linear,
    from_code: Linear,
    decoder: [(nn::ConvTranspose2D, BatchNorm); 2],
    last: nn::ConvTranspose2D,
}

impl SmallAutoEncoder {
    /// For pictures `[n, channels, side, side]`, `side` a multiple of 4, and codes `[n, latent]`.
    pub fn new(path: &Path, channels: i64, side: i64, latent: i64) -> SmallAutoEncoder {
        let [shallow, deep] = WIDTHS;
        let grid = side / 4;
        let bn = |name: &str, width: i64| BatchNorm::new(&(path / name), width);
        SmallAutoEncoder {
            grid,
            encoder: [
                (convolution(&(path / "encoder0"), channels, shallow, 5), bn("encoder0_bn", shallow)),
                (convolution(&(path / "encoder1"), shallow, deep, 5), bn("encoder1_bn", deep)),
            ],
            to_code: linear(&(path / "to_code"), deep * grid * grid, latent),
            from_code: linear(&(path / "from_code"), latent, deep * grid * grid),
            decoder: [
                (transposed(&(path / "decoder0"), deep, deep), bn("decoder0_bn", deep)),
                (transposed(&(path / "decoder1"), deep, shallow), bn("decoder1_bn", shallow)),
            ],
            last: transposed(&(path / "last"), shallow, channels),
        }
    }

    /// Codes `[n, latent]` of pictures `[n, channels, side, side]`.
    pub fn encode(&self, pictures: &Tensor, norm: Norm) -> Tensor {
        let step = |x: Tensor, (conv, bn): &(Conv2D, BatchNorm)| {
            let x = bn.forward(&conv.forward(&x), norm).leaky_relu();
            x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)
        };
        let deep = self.encoder.iter().fold(pictures.shallow_clone(), step);
        self.to_code.forward(&deep.flatten(1, -1))
    }

    /// Pictures of 0 to 1.
    pub fn decode(&self, codes: &Tensor, norm: Norm) -> Tensor {
        let mut x = self.from_code.forward(codes).view([-1, WIDTHS[1], self.grid, self.grid]);
        for (index, (conv, bn)) in self.decoder.iter().enumerate() {
            let side = self.grid << (index + 1);
            x = conv.forward(&x.upsample_nearest2d([side, side], None, None));
            x = bn.forward(&x, norm).leaky_relu();
        }
        self.last.forward(&x).sigmoid()
    }
}

/// Floating-point operations of one picture of `side` x `side` pixels, forward.
pub fn operations(channels: i64, side: i64, latent: i64) -> f64 {
    let [shallow, deep] = WIDTHS;
    let (half, quarter) = (side / 2, side / 4);
    let outer = of_convolution(channels, shallow, 5, side);
    let encoder = outer + of_convolution(shallow, deep, 5, half);
    let decoder = of_convolution(deep, deep, 5, half) + of_convolution(deep, shallow, 5, side) + outer;
    encoder + decoder + 2.0 * of_convolution(deep * quarter * quarter, latent, 1, 1)
}

/// 5 x 5 transposed of stride 1.
fn transposed(path: &Path, c_in: i64, c_out: i64) -> nn::ConvTranspose2D {
    let zero = nn::init::Init::Const(0.0);
    let config = nn::ConvTransposeConfig { padding: 2, ws_init: zero, bs_init: zero, ..Default::default() };
    nn::conv_transpose2d(path, c_in, c_out, 5, config)
}
