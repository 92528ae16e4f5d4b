//! What methods compute, counted in floating-point operations: a multiplication with its addition counts two.
//!
//! Convolutions count, and products of matrices where they are large; norms, sums and what a processor does beside a
//! card (drawing noise, pasting patches, solving for a support vector machine) do not.

use super::train_on::TrainOn;
use super::views;
use crate::network::layer::of_convolution;
use crate::network::{Backbone, Extractor, efficientnet};

/// Times the way forward that a training step takes: the gradient by the input and the one by the kernel each take as
/// much again.
pub const TRAINING: f64 = 3.0;

/// What a method is given.
#[derive(Clone, Copy, Debug)]
pub struct CellSize {
    /// Side of the pictures in pixels.
    pub size: i64,
    /// Supports.
    pub shots: usize,
    /// Train normals, of the tasks that its regime names together.
    pub n_train: usize,
    /// Pictures of the test set.
    pub n_test: usize,
}

impl CellSize {
    /// Pictures that are learnt from: normals or supports, each as so many views where `views` are asked for.
    pub fn learnt_from(&self, train_on: TrainOn, views: bool) -> usize {
        let normals = match train_on {
            TrainOn::Supports => self.shots,
            TrainOn::Normals => self.n_train,
        };
        normals.max(1) * if views { views::COUNT } else { 1 }
    }

    /// Positions of a grid whose cells are `stride` pixels wide.
    pub fn positions(&self, stride: i64) -> f64 {
        (self.size / stride).pow(2) as f64
    }
}

/// Floating-point operations by what they belong to; a device is not as fast at one as at the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Operations {
    /// Of pictures that pass forward, and of statistics over them.
    pub forward: f64,
    /// Of steps of training, forward and backward.
    pub training: f64,
}

/// What a method does for one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Before any supports are known; cells of one training share it.
    pub fit: Operations,
    /// Taking in the supports, once.
    pub adapt: Operations,
    /// Operations of scoring one picture.
    pub query: f64,
    /// Of these, what does not depend on supports: done once for all draws.
    pub encode: f64,
    /// And of these, what a frozen teacher does, whose features a CPU keeps.
    pub teacher: f64,
    /// Times that supports are taken in and the test set is scored: once, or whenever a training is looked at.
    pub evaluations: u64,
    /// Whether it gives maps, which are smoothed.
    pub maps: bool,
    /// Bytes of memory that grow with what it is given: kept features, banks, covariances, steps of transformers.
    pub bytes: f64,
}

/// Nothing, once.
impl Default for Work {
    fn default() -> Work {
        let none = Operations::default();
        Work {
            fit: none,
            adapt: none,
            query: 0.0,
            encode: 0.0,
            teacher: 0.0,
            evaluations: 1,
            maps: false,
            bytes: 0.0,
        }
    }
}

impl Work {
    /// Of a learner whose learning stands under `fit`: where it learns from supports, each cell does, unobserved.
    pub fn on(self, train_on: TrainOn) -> Work {
        match train_on {
            TrainOn::Normals => self,
            TrainOn::Supports => Work { fit: Operations::default(), adapt: self.fit, evaluations: 1, ..self },
        }
    }
}

/// One picture of `size` x `size` pixels through all of an encoder.
pub fn encoder(extractor: impl Into<Extractor>, size: i64) -> f64 {
    match extractor.into() {
        Extractor::Pyramid(backbone) => stages(backbone, size, 4),
        Extractor::Transformer(transformer) => {
            let plan = transformer.plan();
            plan.operations(size, plan.depth)
        }
    }
}

/// One picture up to an encoder's third stage.
pub fn to_stage_three(backbone: Backbone, size: i64) -> f64 {
    stages(backbone, size, 3)
}

/// The same up to the end of stage `count`, counted from 1.
pub fn stages(backbone: Backbone, size: i64, count: usize) -> f64 {
    if backbone == Backbone::EfficientNetLite0 {
        return efficientnet::operations(size, count);
    }
    let mut operations = of_convolution(3, 64, 7, size / 2);
    let mut c_in = 64;
    for stage in 0..count {
        let (c_out, side) = (backbone.channels()[stage], (size / 4) >> stage);
        let before = if stage == 0 { side } else { 2 * side };
        operations += residual(backbone, c_in, c_out, [before, side], backbone.blocks()[stage]);
        c_in = c_out;
    }
    operations
}

/// `count` residual blocks, the first of which brings `c_in` channels to the stage's and one side to another.
fn residual(backbone: Backbone, c_in: i64, c_out: i64, [before, side]: [i64; 2], count: usize) -> f64 {
    let width = backbone.width(c_out);
    let block = |c_in: i64, before: i64| match backbone.has_bottlenecks() {
        true => {
            of_convolution(c_in, width, 1, before)
                + of_convolution(width, width, 3, side)
                + of_convolution(width, c_out, 1, side)
        }
        false => of_convolution(c_in, c_out, 3, side) + of_convolution(c_out, c_out, 3, side),
    };
    let skip = if c_in == c_out { 0.0 } else { of_convolution(c_in, c_out, 1, side) };
    block(c_in, before) + skip + (count - 1) as f64 * block(c_out, side)
}

/// One picture of `size` x `size` pixels through the mirrored decoder.
pub fn decoder(backbone: Backbone, size: i64) -> f64 {
    let mut c_in = backbone.channels()[3];
    let stage = |stage: usize| {
        let (c_out, before) = (backbone.channels()[2 - stage], (size / 32) << stage);
        let (width, side) = (backbone.width(c_out), 2 * before);
        let doubling = match backbone.has_bottlenecks() {
            true => {
                of_convolution(c_in, width, 1, before)
                    + of_convolution(width, width, 2, before)
                    + of_convolution(width, c_out, 1, side)
            }
            false => of_convolution(c_in, c_out, 2, before) + of_convolution(c_out, c_out, 3, side),
        };
        let skip = of_convolution(c_in, c_out, 2, before);
        c_in = c_out;
        doubling + skip + residual(backbone, c_out, c_out, [side, side], backbone.blocks()[stage] - 1)
    };
    (0..3).map(stage).sum()
}

/// One picture of `size` x `size` pixels through the one-class bottleneck, its features being given.
pub fn bottleneck(backbone: Backbone, size: i64) -> f64 {
    let [c1, c2, c3, c4] = backbone.channels();
    of_convolution(c1, c2, 3, size / 8)
        + 2.0 * of_convolution(c2, c3, 3, size / 16)
        + residual(backbone, 3 * c3, c4, [size / 16, size / 32], backbone.blocks()[3])
}

/// Bytes of a picture of `size` x `size` pixels with the features of all four stages, single precision.
pub fn kept(backbone: Backbone, size: i64) -> f64 {
    let of_stage = |(stage, channels): (usize, i64)| channels * ((size / 4) >> stage).pow(2);
    let features: i64 = backbone.channels().into_iter().enumerate().map(of_stage).sum();
    (4 * features + 3 * size * size) as f64
}

/// What covariances and distances by them take.
pub struct Covariances {
    /// Operations for each vector, over all positions.
    pub each: f64,
    /// Operations of the factorisation, over all positions.
    pub factoring: f64,
    /// Operations of one distance at every position.
    pub distance: f64,
    /// Bytes, at most.
    pub bytes: f64,
}

impl Covariances {
    /// Sums of outer products of vectors of `length` and their factors, at each of `positions`.
    pub fn new(positions: f64, length: i64) -> Covariances {
        let length = length as f64;
        let square = positions * length * length;
        Covariances {
            each: 2.0 * square,
            factoring: square * length / 3.0,
            distance: square,
            bytes: 8.0 * square,
        }
    }
}
