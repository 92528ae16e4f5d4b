//! The U-Net of the denoising auto-encoder (Kascenas et al., MIDL 2022): standardised weights, Swish, group norm.

use tch::Tensor;
use tch::nn::{self, Conv2D, ConvTranspose2D, Module, Path};

use super::layer::{of_convolution, pointwise};

/// Sizes of a U-Net.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels in and out.
    pub channels: i64,
    /// Filters of the first level; they double with every level.
    pub width: i64,
    /// Levels.
    pub depth: i64,
}

impl Shape {
    /// Pictures are brought to a multiple of this: the finest grid a pixel of the last level stands for.
    pub fn multiple(self) -> i64 {
        1 << (self.depth - 1)
    }

    /// Floating-point operations of one picture of `side` x `side` pixels, forward.
    pub fn operations(self, side: i64) -> f64 {
        let width = |level: i64| self.width << level;
        let block = |level: i64, from: i64| {
            let side = side >> level;
            of_convolution(from, width(level), 3, side) + of_convolution(width(level), width(level), 3, side)
        };
        let down = |level: i64| block(level, if level == 0 { self.channels } else { width(level - 1) });
        let doubling = |level: i64| of_convolution(width(level + 1), width(level), 2, side >> (level + 1));
        let up = |level: i64| doubling(level) + block(level, width(level + 1));
        let last = of_convolution(self.width, self.channels, 1, side);
        (0..self.depth).map(down).sum::<f64>() + (0..self.depth - 1).map(up).sum::<f64>() + last
    }
}

/// Levels down, levels up with what passed by on the way down, a 1 x 1 convolution at last.
pub struct UNet {
    multiple: i64,
    down: Vec<Block>,
    /// From the deepest up.
    up: Vec<(ConvTranspose2D, Block)>,
    last: Conv2D,
}

impl UNet {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, shape: Shape) -> UNet {
        let width = |level: i64| shape.width << level;
        let down = |level: i64| {
            let from = if level == 0 { shape.channels } else { width(level - 1) };
            Block::new(&(path / format!("down{level}")), from, width(level))
        };
        let up = |level: i64| {
            let path = path / format!("up{level}");
            let doubled = doubling(&(&path / "up"), width(level + 1), width(level));
            (doubled, Block::new(&(&path / "block"), width(level + 1), width(level)))
        };
        UNet {
            multiple: shape.multiple(),
            down: (0..shape.depth).map(down).collect(),
            up: (0..shape.depth - 1).rev().map(up).collect(),
            last: pointwise(&(path / "last"), shape.width, shape.channels),
        }
    }

    /// `[n, channels, h, w]` to the same shape. Sides that do not halve evenly are continued with their last row
    /// and column, and what they bring is cut off again.
    pub fn forward(&self, pictures: &Tensor) -> Tensor {
        let (height, width) = (pictures.size()[2], pictures.size()[3]);
        let missing = |side: i64| (self.multiple - side % self.multiple) % self.multiple;
        let mut x = pictures.replication_pad2d([0, missing(width), 0, missing(height)]);
        let mut passed = Vec::new();
        for (level, block) in self.down.iter().enumerate() {
            if level > 0 {
                x = x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
            }
            x = block.forward(&x);
            passed.push(x.shallow_clone());
        }
        for ((doubling, block), passed) in self.up.iter().zip(passed.iter().rev().skip(1)) {
            x = block.forward(&Tensor::cat(&[&doubling.forward(&x), passed], 1));
        }
        self.last.forward(&x).narrow(2, 0, height).narrow(3, 0, width)
    }
}

/// 2 x 2 transposed, with bias.
fn doubling(path: &Path, c_in: i64, c_out: i64) -> ConvTranspose2D {
    let zero = nn::init::Init::Const(0.0);
    let config = nn::ConvTransposeConfig { stride: 2, ws_init: zero, bs_init: zero, ..Default::default() };
    nn::conv_transpose2d(path, c_in, c_out, 2, config)
}

/// Twice: convolution, Swish, group norm.
struct Block {
    layers: [Layer; 2],
}

impl Block {
    fn new(path: &Path, c_in: i64, c_out: i64) -> Block {
        Block { layers: [Layer::new(&(path / 0), c_in, c_out), Layer::new(&(path / 1), c_out, c_out)] }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.layers.iter().fold(x.shallow_clone(), |x, layer| layer.forward(&x))
    }
}

struct Layer {
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
}

impl Layer {
    fn new(path: &Path, c_in: i64, c_out: i64) -> Layer {
        let norm = path / "norm";
        Layer {
            weight: path.zeros("weight", &[c_out, c_in, 3, 3]),
            bias: path.zeros("bias", &[c_out]),
            scale: norm.ones("weight", &[c_out]),
            shift: norm.zeros("bias", &[c_out]),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let centred = &self.weight - self.weight.mean_dim([1i64, 2, 3].as_slice(), true, None);
        let deviation = centred.std_dim([1i64, 2, 3].as_slice(), true, true) + 1e-5;
        let x = x.reflection_pad2d([1, 1, 1, 1]);
        let x = x.conv2d(&(centred / deviation), Some(&self.bias), [1, 1], [0, 0], [1, 1], 1).silu();
        x.group_norm(groups(self.bias.numel() as i64), Some(&self.scale), Some(&self.shift), 1e-5, false)
    }
}

/// The divisor of `channels` in the middle of all its divisors, the upper of two.
fn groups(channels: i64) -> i64 {
    let divisors: Vec<i64> = (1..=channels).filter(|divisor| channels % divisor == 0).collect();
    divisors[divisors.len() / 2]
}
