//! What learns to tell normals from what the generator makes, and keeps the slope by which it does near 1.

use tch::nn::{self, Conv2D, Module, Path};
use tch::{Kind, Tensor};

use crate::network::layer::{Conv, of_convolution};

/// Sizes of the discriminator.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels of its first layer; each further one has twice as many.
    pub width: i64,
    /// Layers that halve the side.
    pub layers: u32,
}

impl Shape {
    /// Channels before a layer, counted from 0.
    fn before(self, layer: u32) -> i64 {
        if layer == 0 { 1 } else { self.width << (layer - 1) }
    }

    /// Floating-point operations of one picture of `side` x `side` pixels, forward.
    pub fn operations(self, side: i64) -> f64 {
        let halving =
            |layer| of_convolution(self.before(layer), self.before(layer + 1), 4, side >> (layer + 1));
        let last = of_convolution(self.before(self.layers), 1, 3, side >> self.layers);
        (0..self.layers).map(halving).sum::<f64>() + last
    }
}

/// Layers that halve the side, and one that judges each place.
pub struct Discriminator {
    halvings: Vec<Conv2D>,
    last: Conv,
}

impl Discriminator {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, shape: Shape) -> Discriminator {
        let zero = nn::init::Init::Const(0.0);
        let config =
            nn::ConvConfig { stride: 2, padding: 1, ws_init: zero, bs_init: zero, ..Default::default() };
        // Between layers of a sequence stand those without variables.
        let halving = |layer: u32| {
            let path = path / "main" / (2 * layer);
            nn::conv2d(path, shape.before(layer), shape.before(layer + 1), 4, config)
        };
        Discriminator {
            halvings: (0..shape.layers).map(halving).collect(),
            last: Conv::new(&(path / "conv1"), shape.before(shape.layers), 1, 3, 1),
        }
    }

    /// What is judged of pictures `[n, 1, side, side]`: `[n, c, h, h]`, `h` being the side after all halvings.
    pub fn features(&self, pictures: &Tensor) -> Tensor {
        // Leaky with slope 0.01, libtorch's own.
        let halved = |x: Tensor, layer: &Conv2D| layer.forward(&x).leaky_relu();
        self.halvings.iter().fold(pictures.shallow_clone(), halved)
    }

    /// How normal pictures are at each place, `[n, 1, h, h]`.
    pub fn forward(&self, pictures: &Tensor) -> Tensor {
        self.last.forward(&self.features(pictures))
    }
}

/// How far the slope of a judge is from 1: the mean over `pictures` of the squared distance. A scalar through which
/// gradients flow.
pub fn penalty(judge: impl Fn(&Tensor) -> Tensor, pictures: &Tensor) -> Tensor {
    let pictures = pictures.detach().set_requires_grad(true);
    let judged = judge(&pictures).sum(None::<Kind>);
    let slopes = Tensor::run_backward(&[judged], &[pictures], true, true).remove(0);
    let lengths = slopes.flatten(1, -1).square().sum_dim_intlist(1, false, None::<Kind>).sqrt();
    (lengths - 1.0).square().mean(None::<Kind>)
}
