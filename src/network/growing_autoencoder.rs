//! The residual auto-encoder of the deep perceptual auto-encoder (arXiv 2006.13265), which can grow: it begins on
//! coarse pictures, and finer levels are faded in around what has been learnt.

use tch::Tensor;
use tch::nn::{Conv2D, Module, Path};

use super::layer::{convolution, of_convolution, pointwise};

/// Side of the code.
pub const CODE_SIDE: i64 = 8;

/// Sizes of the auto-encoder.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels of the pictures.
    pub channels: i64,
    /// Halvings from the finest pictures to the code of 8 x 8.
    pub levels: usize,
    /// Filters of every level.
    pub width: i64,
    /// Channels of the code.
    pub latent: i64,
    /// Whether levels below the finest have an entry and an exit of their own.
    pub grows: bool,
}

impl Shape {
    /// Floating-point operations of one picture of `level`, forward, nothing being faded in.
    pub fn operations(self, level: usize) -> f64 {
        let side = |level: usize| CODE_SIDE << level;
        let pair = |side: i64| 4.0 * of_convolution(self.width, self.width, 3, side);
        let gate = pair(side(level)) + 2.0 * of_convolution(self.channels, self.width, 3, side(level));
        let levels: f64 = (1..=level).map(|level| pair(side(level - 1)) + pair(side(level))).sum();
        let of_code = |c_in: i64, c_out: i64| of_convolution(c_in, c_out, 3, CODE_SIDE);
        let to_code = of_code(self.width, self.latent) + of_code(self.latent, self.latent);
        let from_code = of_code(self.latent, self.width) + of_code(self.width, self.width);
        gate + levels + to_code + from_code
    }
}

/// Two 3 x 3 convolutions, each after leaky ReLU, beside the input.
struct Block {
    first: Conv2D,
    second: Conv2D,
    skip: Option<Conv2D>,
    change: Change,
}

/// What a block does to the side.
#[derive(Clone, Copy)]
enum Change {
    None,
    Halve,
    Double,
}

/// From pictures of one level and back to them.
struct Gate {
    entry: Conv2D,
    entry_blocks: [Block; 2],
    exit: Conv2D,
}

/// Level 1 has twice the code's side; each further one doubles it.
pub struct GrowingAutoEncoder {
    /// By level, from 1; `None` where nothing enters.
    gates: Vec<Option<Gate>>,
    down: Vec<[Block; 2]>,
    up: Vec<[Block; 2]>,
    to_code: Block,
    from_code: Block,
}

impl GrowingAutoEncoder {
    /// Declares the variables of every size below `path`.
    pub fn new(path: &Path, shape: Shape) -> GrowingAutoEncoder {
        let Shape { channels, levels, width, latent, grows } = shape;
        let pair = |name: String, change: Change| {
            let path = path / name;
            [
                Block::new(&(&path / 0), width, width, change),
                Block::new(&(&path / 1), width, width, Change::None),
            ]
        };
        let gate = |level: usize| {
            let gate = path / format!("gate{level}");
            (grows || level == levels).then(|| Gate {
                entry: convolution(&(&gate / "entry"), channels, width, 3),
                entry_blocks: pair(format!("entry{level}"), Change::None),
                exit: convolution(&(&gate / "exit"), width, channels, 3),
            })
        };
        GrowingAutoEncoder {
            gates: (1..=levels).map(gate).collect(),
            down: (1..=levels).map(|level| pair(format!("down{level}"), Change::Halve)).collect(),
            up: (1..=levels).map(|level| pair(format!("up{level}"), Change::Double)).collect(),
            to_code: Block::new(&(path / "to_code"), width, latent, Change::None),
            from_code: Block::new(&(path / "from_code"), latent, width, Change::None),
        }
    }

    /// Pictures `[n, channels, s, s]` of `level`, `s = 8 * 2^level`, coded and decoded. `fade` below 1 mixes in the
    /// way through the level below, which must then have a gate.
    pub fn forward(&self, pictures: &Tensor, level: usize, fade: f64) -> Tensor {
        let fades = fade < 1.0 && level > 1;
        let mut x = run(&self.down[level - 1], &self.gate(level).enter(pictures));
        if fades {
            x = x * fade + self.gate(level - 1).enter(&halved(pictures)) * (1.0 - fade);
        }
        x = self.down[..level - 1].iter().rev().fold(x, |x, blocks| run(blocks, &x));
        x = self.from_code.forward(&self.to_code.forward(&x));
        x = self.up[..level - 1].iter().fold(x, |x, blocks| run(blocks, &x));
        let fine = self.gate(level).leave(&run(&self.up[level - 1], &x));
        match fades {
            true => fine * fade + doubled(&self.gate(level - 1).leave(&x)) * (1.0 - fade),
            false => fine,
        }
    }

    fn gate(&self, level: usize) -> &Gate {
        self.gates[level - 1].as_ref().expect("only levels with a gate are asked for")
    }
}

impl Gate {
    fn enter(&self, pictures: &Tensor) -> Tensor {
        run(&self.entry_blocks, &self.entry.forward(pictures))
    }

    fn leave(&self, x: &Tensor) -> Tensor {
        self.exit.forward(&leaky(x))
    }
}

impl Block {
    fn new(path: &Path, c_in: i64, c_out: i64, change: Change) -> Block {
        Block {
            first: convolution(&(path / "first"), c_in, c_out, 3),
            second: convolution(&(path / "second"), c_out, c_out, 3),
            skip: (c_in != c_out).then(|| pointwise(&(path / "skip"), c_in, c_out)),
            change,
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let change = |x: &Tensor| match self.change {
            Change::None => x.shallow_clone(),
            Change::Halve => halved(x),
            Change::Double => doubled(x),
        };
        let inner = self.second.forward(&leaky(&self.first.forward(&change(&leaky(x)))));
        let outer = change(x);
        inner + self.skip.as_ref().map_or(outer.shallow_clone(), |skip| skip.forward(&outer))
    }
}

fn run(blocks: &[Block; 2], x: &Tensor) -> Tensor {
    blocks[1].forward(&blocks[0].forward(x))
}

/// Leaky ReLU of slope 0.2.
fn leaky(x: &Tensor) -> Tensor {
    x.maximum(&(x * 0.2))
}

/// Means of 2 x 2.
pub fn halved(x: &Tensor) -> Tensor {
    x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)
}

/// Each pixel four times.
pub fn doubled(x: &Tensor) -> Tensor {
    x.upsample_nearest2d([2 * x.size()[2], 2 * x.size()[3]], None, None)
}
