//! Residual encoders (He et al. 2016; wide: Zagoruyko and Komodakis 2016) under torchvision's names.
//!
//! As in torchvision, a bottleneck's stride sits on its 3 x 3 convolution.

use tch::Tensor;
use tch::nn::Path;

use super::Backbone;
use super::layer::{BatchNorm, Conv, Norm};

/// Stem and four stages; no classifier.
pub struct Encoder {
    conv1: Conv,
    bn1: BatchNorm,
    stages: [Vec<Block>; 4],
}

/// Two or three convolutions round a skip.
pub(super) struct Block {
    layers: Vec<(Conv, BatchNorm)>,
    skip: Option<(Conv, BatchNorm)>,
}

impl Encoder {
    /// Declares its variables below `path`; `backbone` is a residual network.
    pub fn new(path: &Path, backbone: Backbone) -> Encoder {
        let mut c_in = 64;
        let stages = [0, 1, 2, 3].map(|stage| {
            let path = path / format!("layer{}", stage + 1);
            let (c_out, stride) = (backbone.channels()[stage], if stage > 0 { 2 } else { 1 });
            let blocks = blocks(&path, backbone, c_in, c_out, stride, backbone.blocks()[stage]);
            c_in = c_out;
            blocks
        });
        Encoder {
            conv1: Conv::new(&(path / "conv1"), 3, 64, 7, 2),
            bn1: BatchNorm::new(&(path / "bn1"), 64),
            stages,
        }
    }

    /// What comes before the first stage: prepared pictures `[n, 3, h, w] -> [n, 64, h/4, w/4]`.
    pub fn stem(&self, pictures: &Tensor, norm: Norm) -> Tensor {
        let stem = self.bn1.activated(&self.conv1.forward(pictures), None, norm);
        stem.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)
    }

    /// One stage, counted from 0.
    pub fn stage(&self, stage: usize, x: &Tensor, norm: Norm) -> Tensor {
        through(&self.stages[stage], x, norm)
    }
}

/// A stage: `count` blocks, the first of which brings channels and stride.
pub(super) fn blocks(
    path: &Path,
    backbone: Backbone,
    c_in: i64,
    c_out: i64,
    stride: i64,
    count: usize,
) -> Vec<Block> {
    let block = |index: usize| {
        let (c_in, stride) = if index == 0 { (c_in, stride) } else { (c_out, 1) };
        Block::new(&(path / index), backbone, c_in, c_out, stride)
    };
    (0..count).map(block).collect()
}

/// Blocks one after another.
pub(super) fn through(blocks: &[Block], x: &Tensor, norm: Norm) -> Tensor {
    blocks.iter().fold(x.shallow_clone(), |x, block| residual(&x, &block.layers, block.skip.as_ref(), norm))
}

impl Block {
    fn new(path: &Path, backbone: Backbone, c_in: i64, c_out: i64, stride: i64) -> Block {
        let width = backbone.width(c_out);
        // Kernel, output channels and stride of each convolution.
        let plan: &[(i64, i64, i64)] = if backbone.has_bottlenecks() {
            &[(1, width, 1), (3, width, stride), (1, c_out, 1)]
        } else {
            &[(3, c_out, stride), (3, c_out, 1)]
        };
        let mut from = c_in;
        let layer = |(index, &(kernel, to, stride)): (usize, &(i64, i64, i64))| {
            let conv = Conv::new(&(path / format!("conv{}", index + 1)), from, to, kernel, stride);
            from = to;
            (conv, BatchNorm::new(&(path / format!("bn{}", index + 1)), to))
        };
        let layers = plan.iter().enumerate().map(layer).collect();
        let skip = (stride != 1 || c_in != c_out).then(|| {
            let path = path / "downsample";
            (Conv::new(&(&path / 0), c_in, c_out, 1, stride), BatchNorm::new(&(&path / 1), c_out))
        });
        Block { layers, skip }
    }
}

/// Convolution and norm in turn with ReLU between, the skip added before the last ReLU.
pub(super) fn residual(
    x: &Tensor,
    layers: &[(Conv, BatchNorm)],
    skip: Option<&(Conv, BatchNorm)>,
    norm: Norm,
) -> Tensor {
    let ((last, last_bn), before) = layers.split_last().expect("blocks have layers");
    let step = |y: Tensor, (conv, bn): &(Conv, BatchNorm)| bn.activated(&conv.forward(&y), None, norm);
    let inside = before.iter().fold(x.shallow_clone(), step);
    let identity = match skip {
        Some((conv, bn)) => bn.forward(&conv.forward(x), norm),
        None => x.shallow_clone(),
    };
    last_bn.activated(&last.forward(&inside), Some(&identity), norm)
}
