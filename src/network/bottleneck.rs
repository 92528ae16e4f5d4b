//! The one-class bottleneck of reverse distillation (Deng and Li 2022): three scales fused and squeezed to a
//! stage 4, from which the decoder must rebuild them. Parameter names are the published ones, without the
//! published `conv4` and `bn4`, which nothing uses.

use tch::Tensor;
use tch::nn::Path;

use super::layer::{BatchNorm, Conv, Norm};
use super::resnet::{Block, blocks, through};
use super::{Backbone, Scales};

/// Strided convolutions that bring all scales to the third's grid, and a stage over their channels.
pub struct Bottleneck {
    first: [(Conv, BatchNorm); 2],
    second: (Conv, BatchNorm),
    stage: Vec<Block>,
}

impl Bottleneck {
    /// Declares its variables below `path`, of widths that fit the backbone.
    pub fn new(path: &Path, backbone: Backbone) -> Bottleneck {
        let [c1, c2, c3, c4] = backbone.channels();
        let halving = |index: usize, c_in: i64, c_out: i64| {
            let conv = Conv::new(&(path / format!("conv{index}")), c_in, c_out, 3, 2);
            (conv, BatchNorm::new(&(path / format!("bn{index}")), c_out))
        };
        Bottleneck {
            first: [halving(1, c1, c2), halving(2, c2, c3)],
            second: halving(3, c2, c3),
            stage: blocks(&(path / "bn_layer"), backbone, 3 * c3, c4, 2, backbone.blocks()[3]),
        }
    }

    /// Three scales to `[n, c4, h/32, w/32]`.
    pub fn forward(&self, scales: &Scales, norm: Norm) -> Tensor {
        let halved = |(conv, bn): &(Conv, BatchNorm), x: &Tensor| bn.activated(&conv.forward(x), None, norm);
        let first = halved(&self.first[1], &halved(&self.first[0], &scales[0]));
        let second = halved(&self.second, &scales[1]);
        through(&self.stage, &Tensor::cat(&[&first, &second, &scales[2]], 1), norm)
    }
}
