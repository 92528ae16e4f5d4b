//! Residual encoders (He et al. 2016; wide: Zagoruyko and Komodakis 2016) under torchvision's names.
//!
//! As in torchvision, a bottleneck's stride sits on its 3 x 3 convolution.

use tch::Tensor;
use tch::nn::Path;

use super::layer::{BatchNorm, Conv, Norm};
use super::{Backbone, Features};

/// Stem and four stages; no classifier.
pub struct Encoder {
    conv1: Conv,
    bn1: BatchNorm,
    stages: [Vec<Block>; 4],
}

/// Two or three convolutions round a skip.
struct Block {
    layers: Vec<(Conv, BatchNorm)>,
    skip: Option<(Conv, BatchNorm)>,
}

impl Encoder {
    pub fn new(path: &Path, backbone: Backbone) -> Encoder {
        let mut c_in = 64;
        let stages = [0, 1, 2, 3].map(|stage| {
            let path = path / format!("layer{}", stage + 1);
            let planes = 64 << stage;
            let block = |index: usize| {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let block = Block::new(&(&path / index), backbone, c_in, planes, stride);
                c_in = planes * backbone.expansion();
                block
            };
            (0..backbone.blocks()[stage]).map(block).collect()
        });
        Encoder {
            conv1: Conv::new(&(path / "conv1"), 3, 64, 7, 2),
            bn1: BatchNorm::new(&(path / "bn1"), 64),
            stages,
        }
    }

    /// `[n, 3, h, w]` of 0 to 1 to three scales and the deepest stage.
    pub fn forward(&self, pictures: &Tensor, norm: Norm) -> Features {
        let stem = self.bn1.forward(&self.conv1.forward(pictures), norm).relu();
        let stem = stem.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        let run =
            |x: &Tensor, stage: &[Block]| stage.iter().fold(x.shallow_clone(), |x, b| b.forward(&x, norm));
        let first = run(&stem, &self.stages[0]);
        let second = run(&first, &self.stages[1]);
        let third = run(&second, &self.stages[2]);
        let deep = run(&third, &self.stages[3]);
        Features { scales: [first, second, third], deep }
    }
}

impl Block {
    fn new(path: &Path, backbone: Backbone, c_in: i64, planes: i64, stride: i64) -> Block {
        let c_out = planes * backbone.expansion();
        let width = backbone.width(planes);
        // Kernel, output channels and stride of each convolution.
        let plan: &[(i64, i64, i64)] = if backbone.has_bottlenecks() {
            &[(1, width, 1), (3, width, stride), (1, c_out, 1)]
        } else {
            &[(3, planes, stride), (3, planes, 1)]
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

    fn forward(&self, x: &Tensor, norm: Norm) -> Tensor {
        residual(x, &self.layers, self.skip.as_ref(), norm)
    }
}

/// Convolution and norm in turn with ReLU between, the skip added before the last ReLU.
pub(super) fn residual(
    x: &Tensor,
    layers: &[(Conv, BatchNorm)],
    skip: Option<&(Conv, BatchNorm)>,
    norm: Norm,
) -> Tensor {
    let mut y = x.shallow_clone();
    for (index, (conv, bn)) in layers.iter().enumerate() {
        y = bn.forward(&conv.forward(&y), norm);
        if index + 1 < layers.len() {
            y = y.relu();
        }
    }
    let identity = match skip {
        Some((conv, bn)) => bn.forward(&conv.forward(x), norm),
        None => x.shallow_clone(),
    };
    (y + identity).relu()
}
