//! SAGAN's generator: a picture's four windows, each told which one it is, and what should be changed in them to make
//! them normal.

use tch::Tensor;
use tch::nn::Path;

use super::layer::{Gate, Mixing, Narrowing, Residual, Stage, Statistics};
use crate::network::layer::{Conv, of_convolution};

/// Windows along a picture's side.
const ALONG: i64 = 2;
/// Windows of a picture.
pub const WINDOWS: i64 = ALONG * ALONG;
/// Channels that tell a window's number, highest bit first; the first is always 0.
const BITS: i64 = 3;

/// Sizes of the generator.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels of its first layer; 2, 4 and 8 times as many follow.
    pub width: i64,
    /// Residual blocks at the lowest resolution.
    pub blocks: usize,
}

impl Shape {
    /// Floating-point operations of one picture of `side` x `side` pixels, forward.
    pub fn operations(self, side: i64) -> f64 {
        let (width, side) = (self.width, side / ALONG);
        let level = |level: u32| (width << level, side >> level);
        let encoder = |number: u32| {
            let ((above, _), (channels, side)) = (level(number - 1), level(number));
            of_convolution(above, channels, 4, side) + of_convolution(channels + BITS, channels, 1, side)
        };
        let decoder = |number: u32| {
            let (channels, side) = level(number);
            let gate = 2.0 * of_convolution(channels, channels / 2, 1, side)
                + of_convolution(channels / 2, 1, 1, side);
            let narrowing =
                of_convolution(2 * channels, channels, 3, side) + of_convolution(channels, channels, 3, side);
            gate + narrowing + of_convolution(channels, channels / 2, 4, side)
        };
        let up = |number: u32| of_convolution(width << number, width << (number - 1), 4, side >> number);
        let (deep, grid) = level(3);
        let blocks = 2.0 * self.blocks as f64 * of_convolution(deep, deep, 3, grid);
        let outer = 2.0 * of_convolution(1, width, 7, side);
        let merging = of_convolution(3 * width, width, 3, side) + of_convolution(width, width, 3, side);
        let levels: f64 = (1..=3).map(|number| encoder(number) + decoder(number)).sum();
        WINDOWS as f64 * (outer + levels + blocks + up(2) + 2.0 * up(1) + merging)
    }
}

/// Gate, narrowing and doubling of one level of the decoder.
struct Level {
    gate: Gate,
    narrowing: Narrowing,
    doubling: Stage,
}

impl Level {
    fn new(path: &Path, number: u32, channels: i64) -> Level {
        let named = |name: &str| path / format!("{name}{number}");
        Level {
            gate: Gate::new(&named("gate"), channels),
            narrowing: Narrowing::new(&named("dec_bn"), 2 * channels, channels),
            doubling: Stage::doubling(&named("dec_layer"), 0, channels),
        }
    }

    fn forward(&self, x: &Tensor, skipped: &Tensor, statistics: Statistics) -> Tensor {
        let both = Tensor::cat(&[x, &self.gate.forward(x, skipped)], 1);
        self.doubling.forward(&self.narrowing.forward(&both, statistics), statistics)
    }
}

/// From pictures to what they would be if they were normal.
pub struct Generator {
    first: Stage,
    halvings: [Stage; 3],
    mixings: [Mixing; 3],
    blocks: Vec<Residual>,
    levels: [Level; 3],
    /// What brings the decoder's first two outcomes to the windows' side.
    upwards: [Vec<Stage>; 2],
    merging: Narrowing,
    last: Conv,
    /// `[windows, bits, 1, 1]`
    places: Tensor,
}

impl Generator {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, shape: Shape) -> Generator {
        let Shape { width, blocks } = shape;
        let halving =
            |number: u32| Stage::halving(&(path / format!("enc_layer{number}")), width << (number - 1));
        let mixing = |name: &str, level: u32| Mixing::new(&(path / name), width << level, BITS);
        let deep = path / "bn2";
        let up = [path / "up_conv1", path / "up_conv2"];
        let bits: Vec<f32> = (0..WINDOWS)
            .flat_map(|window| (0..BITS).rev().map(move |bit| ((window >> bit) & 1) as f32))
            .collect();
        Generator {
            first: Stage::first(&(path / "layer1"), width),
            halvings: [1, 2, 3].map(halving),
            mixings: [mixing("p_bn1", 1), mixing("p_bn2", 2), mixing("bn2", 3)],
            blocks: (0..blocks).map(|index| Residual::new(&(&deep / (index + 3)), 8 * width)).collect(),
            levels: [1, 2, 3].map(|number| Level::new(path, number, width << (4 - number))),
            upwards: [
                vec![Stage::doubling(&up[0], 0, 4 * width), Stage::doubling(&up[0], 3, 2 * width)],
                vec![Stage::doubling(&up[1], 0, 2 * width)],
            ],
            merging: Narrowing::new(&(path / "bn3"), 3 * width, width),
            last: Conv::new(&(path / "conv"), width, 1, 7, 1),
            places: Tensor::from_slice(&bits).view([WINDOWS, BITS, 1, 1]).to_device(path.device()),
        }
    }

    /// Pictures `[n, 1, side, side]` of -1 to 1 as the generator would have them. Where `kept`
    /// (`[windows n, 1, side / 2, side / 2]`) is 0, what it would change is replaced by the picture, as in training.
    pub fn forward(&self, pictures: &Tensor, statistics: Statistics, kept: Option<&Tensor>) -> Tensor {
        let windows = split(pictures);
        let change = self.change(&windows, statistics);
        let change = match kept {
            Some(kept) => {
                let kept = kept.to_kind(change.kind());
                &kept * change + (1.0 - &kept) * &windows
            }
            None => change,
        };
        joined(&(change + windows).tanh())
    }

    /// What tells windows apart, `[windows, bits, 1, 1]`.
    pub fn places(&self) -> &Tensor {
        &self.places
    }

    /// What is added to windows `[windows n, 1, h, h]`.
    fn change(&self, windows: &Tensor, statistics: Statistics) -> Tensor {
        let mut x = self.first.forward(windows, statistics);
        let mut encoded = Vec::with_capacity(3);
        for (halving, mixing) in self.halvings.iter().zip(&self.mixings) {
            x = mixing.forward(&self.placed(&halving.forward(&x, statistics)));
            encoded.push(x.shallow_clone());
        }
        let deep = self.blocks.iter().fold(x, |x, block| block.forward(&x, statistics));
        // The first gate asks the deepest features for themselves.
        let [first, second, third] = &self.levels;
        let coarse = first.forward(&deep, &deep, statistics);
        let middle = second.forward(&coarse, &encoded[1], statistics);
        let fine = third.forward(&middle, &encoded[0], statistics);
        let up = |x: &Tensor, stages: &[Stage]| {
            stages.iter().fold(x.shallow_clone(), |x, stage| stage.forward(&x, statistics))
        };
        let [from_coarse, from_middle] = &self.upwards;
        let all = Tensor::cat(&[up(&coarse, from_coarse), up(&middle, from_middle), fine], 1);
        self.last.forward(&self.merging.forward(&all, statistics))
    }

    /// With channels that tell each window's place.
    fn placed(&self, x: &Tensor) -> Tensor {
        let (n, _, height, width) = x.size4().expect("features are [n, c, h, w]");
        let places = self.places.to_kind(x.kind()).repeat([n / WINDOWS, 1, 1, 1]);
        Tensor::cat(&[x, &places.expand([-1, -1, height, width], false)], 1)
    }
}

/// The windows of pictures `[n, 1, side, side]`, row by row, picture after picture: `[windows n, 1, side / 2, side / 2]`.
pub fn split(pictures: &Tensor) -> Tensor {
    let side = pictures.size()[3] / ALONG;
    let parts = pictures.reshape([-1, ALONG, side, ALONG, side]);
    parts.permute([0, 1, 3, 2, 4]).reshape([-1, 1, side, side])
}

/// The pictures of such windows.
pub fn joined(windows: &Tensor) -> Tensor {
    let side = windows.size()[3];
    let parts = windows.reshape([-1, ALONG, ALONG, side, side]);
    parts.permute([0, 1, 3, 2, 4]).reshape([-1, 1, ALONG * side, ALONG * side])
}
