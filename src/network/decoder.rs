//! The student: a residual network run backwards, from the encoder's stage 4 up to its stage 1.
//!
//! Deng and Li 2022 (RD4AD), reused by D2-4FAD; parameter names are the published ones. For an encoder that is no residual
//! network, blocks of the same form with the encoder's channels, which is an extension of ours.

use tch::Tensor;
use tch::nn::Path;

use super::layer::{BatchNorm, Conv, Norm};
use super::resnet::residual;
use super::{Backbone, Scales};

/// Three doubling stages, no stem and no head.
pub struct Decoder {
    stages: [Vec<Block>; 3],
}

struct Block {
    layers: Vec<(Conv, BatchNorm)>,
    skip: Option<(Conv, BatchNorm)>,
}

impl Decoder {
    /// Declares its variables below `path`, of widths that fit the backbone.
    pub fn new(path: &Path, backbone: Backbone) -> Decoder {
        let mut c_in = backbone.channels()[3];
        let stages = [0, 1, 2].map(|stage| {
            let path = path / format!("layer{}", stage + 1);
            let c_out = backbone.channels()[2 - stage];
            let block = |index: usize| {
                let block = Block::new(&(&path / index), backbone, c_in, c_out, index == 0);
                c_in = c_out;
                block
            };
            (0..backbone.blocks()[stage]).map(block).collect()
        });
        Decoder { stages }
    }

    /// Stage 4 features `[n, c4, h/32, w/32]` to the encoder's three scales, shallow first.
    pub fn forward(&self, deep: &Tensor, norm: Norm) -> Scales {
        let third = self.stage(0, deep, norm);
        let second = self.stage(1, &third, norm);
        [self.stage(2, &second, norm), second, third]
    }

    /// As [`Decoder::forward`] on each batch of `[b, c4, h/32, w/32]` in turn with its own statistics, faster: kernels
    /// of the stages that hold most parameters are read, and their gradients added up, once for all batches. The last
    /// stage holds few, and positions enough to crowd the caches.
    pub fn forward_batches(&self, batches: &[&Tensor]) -> Vec<Scales> {
        let count = batches.len() as i64;
        let third = self.stage(0, &Tensor::cat(batches, 0), Norm::Batches(count));
        let second = self.stage(1, &third, Norm::Batches(count));
        let last = |(second, third)| [self.stage(2, &second, Norm::Batch), second, third];
        second.chunk(count, 0).into_iter().zip(third.chunk(count, 0)).map(last).collect()
    }

    fn stage(&self, stage: usize, x: &Tensor, norm: Norm) -> Tensor {
        let through = |x: Tensor, block: &Block| residual(&x, &block.layers, block.skip.as_ref(), norm);
        self.stages[stage].iter().fold(x.shallow_clone(), through)
    }
}

impl Block {
    fn new(path: &Path, backbone: Backbone, c_in: i64, c_out: i64, doubles: bool) -> Block {
        let spatial = |name: &str, from: i64, to: i64| {
            let path = path / name;
            if doubles { Conv::doubling(&path, from, to) } else { Conv::new(&path, from, to, 3, 1) }
        };
        let bn = |name: &str, channels: i64| BatchNorm::new(&(path / name), channels);
        let layers = if backbone.has_bottlenecks() {
            let width = backbone.width(c_out);
            vec![
                (Conv::new(&(path / "conv1"), c_in, width, 1, 1), bn("bn1", width)),
                (spatial("conv2", width, width), bn("bn2", width)),
                (Conv::new(&(path / "conv3"), width, c_out, 1, 1), bn("bn3", c_out)),
            ]
        } else {
            vec![
                (spatial("conv1", c_in, c_out), bn("bn1", c_out)),
                (Conv::new(&(path / "conv2"), c_out, c_out, 3, 1), bn("bn2", c_out)),
            ]
        };
        let skip = doubles.then(|| {
            let path = path / "upsample";
            (Conv::doubling(&(&path / 0), c_in, c_out), BatchNorm::new(&(&path / 1), c_out))
        });
        Block { layers, skip }
    }
}
