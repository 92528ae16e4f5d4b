//! A spatial transformer (Jaderberg et al. 2015) as RegAD has it: predicts a rotation and two scales from
//! features and resamples them by it. Parameter names are RegAD's.

use tch::nn::{Linear, Module, Path};
use tch::{Kind, Tensor};

use super::layer::{BatchNorm, Conv, Norm, linear, of_convolution};

/// Two convolutions with pooling and two fully connected layers, to three numbers.
pub struct SpatialTransformer {
    convolutions: [(Conv, BatchNorm); 2],
    hidden: Linear,
    last: Linear,
}

impl SpatialTransformer {
    /// For features of `channels` on a grid of `side x side`.
    pub fn new(path: &Path, channels: i64, side: i64) -> SpatialTransformer {
        let (conv, fc) = (path / "conv", path / "fc");
        let pooled = side.unsigned_abs().div_ceil(2).div_ceil(2) as i64;
        SpatialTransformer {
            convolutions: [
                (Conv::new(&(&conv / 0), channels, 64, 3, 1), BatchNorm::new(&(&conv / 1), 64)),
                (Conv::new(&(&conv / 4), 64, 16, 3, 1), BatchNorm::new(&(&conv / 5), 16)),
            ],
            hidden: linear(&(&fc / 0), 16 * pooled * pooled, 1024),
            last: linear(&(&fc / 2), 1024, 3),
        }
    }

    /// Sets the last layer so that every transform is the identity; call it after initial values are drawn.
    pub fn reset(&mut self) {
        tch::no_grad(|| {
            let _ = self.last.ws.zero_();
            if let Some(bias) = &mut self.last.bs {
                bias.copy_(&Tensor::from_slice(&[0.0f32, 1.0, 1.0]));
            }
        });
    }

    /// Features `[n, c, h, w]`, resampled, and the transforms `[n, 2, 3]` that did it.
    pub fn forward(&self, features: &Tensor, norm: Norm) -> (Tensor, Tensor) {
        let halved = |x: Tensor, (conv, bn): &(Conv, BatchNorm)| {
            let x = bn.forward(&conv.forward(&x), norm).relu();
            x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)
        };
        let pooled = self.convolutions.iter().fold(features.shallow_clone(), halved);
        let numbers = self.last.forward(&self.hidden.forward(&pooled.flatten(1, -1)).relu());
        let transforms = transforms(&numbers);
        (warp(features, &transforms), transforms)
    }
}

/// Floating-point operations of the features of one picture, `channels` on a grid of `side` x `side`.
pub fn operations(channels: i64, side: i64) -> f64 {
    let pooled = (side / 4).pow(2);
    of_convolution(channels, 64, 3, side)
        + of_convolution(64, 16, 3, side / 2)
        + of_convolution(16 * pooled, 1024, 1, 1)
}

/// Angle and two scales, `[n, 3]`, to transforms `[n, 2, 3]`. As published, scales stand on the diagonal alone.
fn transforms(numbers: &Tensor) -> Tensor {
    let [angle, x, y] = [0, 1, 2].map(|index| numbers.select(1, index));
    let (sin, cos) = (angle.sin(), angle.cos());
    matrices([&cos * x, -&sin, sin, cos * y])
}

/// Transforms `[n, 2, 3]` without a shift from their four entries, `[n]` each, row by row.
fn matrices([a, b, c, d]: [Tensor; 4]) -> Tensor {
    let zero = a.zeros_like();
    Tensor::stack(&[&a, &b, &zero, &c, &d, &zero], 1).view([-1, 2, 3])
}

/// The transforms that undo `transforms` `[n, 2, 3]`, which do not shift.
pub fn inverse(transforms: &Tensor) -> Tensor {
    let entry = |row: i64, column: i64| transforms.select(1, row).select(1, column).to_kind(Kind::Double);
    let (a, b, c, d) = (entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1));
    let determinant = &a * &d - &b * &c;
    let entries = [d, -b, -c, a].map(|entry| (entry / &determinant).to_kind(transforms.kind()));
    matrices(entries)
}

/// Samples features `[n, c, h, w]` at `transforms` `[n, 2, 3]` of their normalised coordinates, bilinearly,
/// reflected at the border.
pub fn warp(features: &Tensor, transforms: &Tensor) -> Tensor {
    let grid = Tensor::affine_grid_generator(transforms, features.size(), false);
    // Bilinear is 0, reflection is 2.
    features.grid_sampler(&grid, 0, 2, false)
}
