//! What Dinomaly trains: a bottleneck that drops values, and a decoder whose attention cannot focus. Names are the authors'.

use tch::Tensor;
use tch::nn::Path;

use crate::method::part::rebuilding::halves;
use crate::network::vit::block::{Activation, Attention, Block, Kind, Linear, Names};

/// Added to variances by the norms.
const EPSILON: f64 = 1e-8;

const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    joint: ["attn.qkv.weight", "attn.qkv.bias"],
    projection: "attn.proj",
    factors: None,
    layers: ["mlp.fc1", "mlp.fc2"],
};

/// Sizes of the network.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Values of a token.
    pub width: i64,
    /// Heads of attention.
    pub heads: i64,
    /// Blocks of the decoder, in two groups of equal size.
    pub blocks: usize,
}

impl Shape {
    /// Floating-point operations of one picture of so many tokens: products of matrices, a multiplication with its
    /// addition counting two.
    pub fn operations(&self, tokens: f64) -> f64 {
        let width = self.width as f64;
        let square = 2.0 * width * width;
        // Each head brings keys and values together, and queries to that.
        let attention = 4.0 * tokens * width * width / self.heads as f64;
        square * 8.0 * tokens + self.blocks as f64 * (square * 12.0 * tokens + attention)
    }

    /// Values of one picture of so many tokens that a step keeps until it has gradients: of each layer what enters it,
    /// and what a derivative is made of.
    pub fn kept(&self, tokens: f64) -> f64 {
        let (bottleneck, block) = (15.0, 20.0);
        tokens * self.width as f64 * (bottleneck + self.blocks as f64 * block)
    }
}

/// From two groups of a frozen transformer's tokens to the same, rebuilt.
pub struct Dinomaly {
    bottleneck: [Linear; 2],
    decoder: Vec<Block>,
}

/// All that the network makes of pictures; tokens are `[n, t, width]`.
pub struct Pass {
    /// What enters: the mean of both groups.
    pub fused: Tensor,
    /// After the bottleneck.
    pub narrowed: Tensor,
    /// After each block of the decoder.
    pub decoded: Vec<Tensor>,
}

impl Dinomaly {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, shape: Shape) -> Dinomaly {
        let Shape { width, heads, blocks } = shape;
        let (activation, attention) = (Activation::Gelu, Attention::Linear);
        let kind = Kind { width, heads, epsilon: EPSILON, activation, attention };
        let bottleneck = path / "bottleneck" / 0;
        Dinomaly {
            bottleneck: [
                Linear::new(&(&bottleneck / "fc1"), width, 4 * width),
                Linear::new(&(&bottleneck / "fc2"), 4 * width, width),
            ],
            decoder: (0..blocks).map(|index| Block::new(&(path / "decoder" / index), kind, &NAMES)).collect(),
        }
    }

    /// `groups` are two means of a transformer's tokens, class token and registers among them. `drop` is called three times;
    /// outside training it gives back what it is given.
    pub fn forward(&self, groups: &[Tensor; 2], mut drop: impl FnMut(&Tensor) -> Tensor) -> Pass {
        let fused = (&groups[0] + &groups[1]) / 2.0;
        let [first, second] = &self.bottleneck;
        let entered = drop(&fused);
        let inside = drop(&first.forward(&entered).gelu("none"));
        let narrowed = drop(&second.forward(&inside));
        let mut decoded = Vec::with_capacity(self.decoder.len());
        for block in &self.decoder {
            let tokens = block.forward(decoded.last().unwrap_or(&narrowed));
            decoded.push(tokens);
        }
        Pass { fused, narrowed, decoded }
    }
}

impl Pass {
    /// The rebuilt patches of both groups, the last `patches` tokens.
    pub fn rebuilt(&self, patches: i64) -> [Tensor; 2] {
        halves(&self.decoded).map(|tokens| last(&tokens, patches))
    }
}

/// The last so many tokens.
pub fn last(tokens: &Tensor, n: i64) -> Tensor {
    tokens.narrow(1, tokens.size()[1] - n, n).contiguous()
}
