//! The manifold projector: a small transformer that brings tokens back to those of normals. Names are the authors'.

use tch::Tensor;
use tch::nn::Path;

use crate::method::part::direction::unit;
use crate::network::vit::block::{Activation, Attention, Block, Kind, LayerNorm, Linear, Names};

/// Added to variances by the norms.
const EPSILON: f64 = 1e-6;

const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    joint: ["attn.qkv.weight", "attn.qkv.bias"],
    projection: "attn.proj",
    factors: None,
    layers: ["mlp.fc1", "mlp.fc2"],
};

/// Sizes of the projector.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Values of a token that enters and leaves.
    pub tokens: i64,
    /// Values of a token inside.
    pub width: i64,
    /// Heads of attention.
    pub heads: i64,
    /// Blocks.
    pub blocks: usize,
    /// Tokens of a picture, if each place adds a vector of its own that does not train.
    pub table: Option<i64>,
    /// Whether tokens leave with length 1.
    pub unit: bool,
}

impl Shape {
    /// Floating-point operations of one picture of so many tokens: products of matrices, a multiplication with its
    /// addition counting two.
    pub fn operations(&self, tokens: f64) -> f64 {
        let (width, outside) = (self.width as f64, self.tokens as f64);
        let block = tokens * 24.0 * width * width + 4.0 * tokens * tokens * width;
        4.0 * tokens * outside * width + self.blocks as f64 * block
    }

    /// Values of one picture of so many tokens that a step keeps until it has gradients: of each layer what enters it,
    /// and what a derivative is made of.
    pub fn kept(&self, tokens: f64) -> f64 {
        let block = 17.0;
        tokens * (3.0 * self.tokens as f64 + self.width as f64 * (3.0 + self.blocks as f64 * block))
    }
}

/// Tokens `[n, t, d]` to as many.
pub struct Projector {
    table: Option<Tensor>,
    entrance: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    exit: Linear,
    unit: bool,
}

impl Projector {
    /// Declares its variables below `path`; [`Projector::fix_table`] comes after they were filled.
    pub fn new(path: &Path, shape: Shape) -> Projector {
        let Shape { tokens, width, heads, blocks, table, unit } = shape;
        let kind =
            Kind { width, heads, epsilon: EPSILON, activation: Activation::Gelu, attention: Attention::Full };
        Projector {
            table: table.map(|places| path.zeros("predictor_pos_embed", &[1, places, width])),
            entrance: Linear::new(&(path / "predictor_embed"), tokens, width),
            blocks: (0..blocks)
                .map(|index| Block::new(&(path / "predictor_blocks" / index), kind, &NAMES))
                .collect(),
            norm: LayerNorm::new(&(path / "predictor_norm"), width, EPSILON),
            exit: Linear::new(&(path / "predictor_proj"), width, tokens),
            unit,
        }
    }

    /// Keeps the table of places from training.
    pub fn fix_table(&self) {
        if let Some(table) = &self.table {
            let _ = table.set_requires_grad(false);
        }
    }

    /// What enters the blocks.
    pub fn entered(&self, tokens: &Tensor) -> Tensor {
        let entered = self.entrance.forward(tokens);
        match &self.table {
            Some(table) => entered + table,
            None => entered,
        }
    }

    /// After one block, counted from 0, to which what entered the first is added again.
    pub fn block(&self, index: usize, tokens: &Tensor, entered: &Tensor) -> Tensor {
        self.blocks[index].forward(tokens) + entered
    }

    /// In the kind of `tokens`.
    pub fn forward(&self, tokens: &Tensor) -> Tensor {
        let entered = self.entered(tokens);
        let inside = (0..self.blocks.len())
            .fold(entered.shallow_clone(), |inside, index| self.block(index, &inside, &entered));
        let projected = self.exit.forward(&self.norm.forward(&inside));
        if self.unit { unit(&projected, -1) } else { projected }
    }
}
