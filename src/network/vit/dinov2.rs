//! DINOv2 (Oquab et al. 2024, arXiv 2304.07193), with registers or without (Darcet et al. 2024, arXiv 2309.16588), under
//! Facebook's names.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use anyhow::{Context as _, Result};
use tch::Tensor;
use tch::nn::{Path, VarStore};

use super::block::{Activation, Attention, Block, Kind, LayerNorm, Names};
use super::{Interpolation, Plan, hugging_face};
use crate::network::weights;

/// Added to variances by its norms.
const EPSILON: f64 = 1e-6;

const NAMES: Names = Names {
    norms: ["norm1", "norm2"],
    joint: ["attn.qkv.weight", "attn.qkv.bias"],
    projection: "attn.proj",
    factors: Some(["ls1.gamma", "ls2.gamma"]),
    layers: ["mlp.fc1", "mlp.fc2"],
};

/// From prepared pictures to tokens.
pub struct Dinov2 {
    plan: Plan,
    class: Tensor,
    /// `[1, 1 + table^2, width]`: the class token's row first.
    table: Tensor,
    registers: Option<Tensor>,
    patch_weight: Tensor,
    patch_bias: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Dinov2 {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, plan: Plan) -> Dinov2 {
        let Plan { width, depth, heads, patch, table, registers } = plan;
        let kind =
            Kind { width, heads, epsilon: EPSILON, activation: Activation::Gelu, attention: Attention::Full };
        let patches = path / "patch_embed" / "proj";
        let block = |index: usize| Block::new(&(path / "blocks" / index), kind, &NAMES);
        Dinov2 {
            plan,
            class: path.zeros("cls_token", &[1, 1, width]),
            table: path.zeros("pos_embed", &[1, 1 + table * table, width]),
            registers: (registers > 0).then(|| path.zeros("register_tokens", &[1, registers, width])),
            patch_weight: patches.zeros("weight", &[width, 3, patch, patch]),
            patch_bias: patches.zeros("bias", &[width]),
            blocks: (0..depth).map(block).collect(),
            norm: LayerNorm::new(&(path / "norm"), width, EPSILON),
        }
    }

    /// Its sizes.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Tokens that enter the first block, `[n, 1 + registers + h w, width]` in the kind of `pictures` `[n, 3, 14 h, 14 w]`:
    /// class, registers, patches row by row. Registers have no position.
    pub fn embed(&self, pictures: &Tensor, interpolation: Interpolation) -> Tensor {
        let (kind, n, patch) = (pictures.kind(), pictures.size()[0], self.plan.patch);
        let [weight, bias] = [&self.patch_weight, &self.patch_bias].map(|values| values.to_kind(kind));
        let grid = pictures.conv2d(&weight, Some(&bias), [patch, patch], [0, 0], [1, 1], 1);
        let [h, w] = [grid.size()[2], grid.size()[3]];
        let repeated = |token: &Tensor| token.to_kind(kind).expand([n, -1, -1], false);
        let patches = grid.flatten(2, 3).transpose(1, 2);
        let tokens = Tensor::cat(&[repeated(&self.class), patches], 1);
        let tokens = tokens + self.positions([h, w], interpolation).to_kind(kind);
        match &self.registers {
            None => tokens,
            Some(registers) => {
                let (class, patches) = (tokens.narrow(1, 0, 1), tokens.narrow(1, 1, h * w));
                Tensor::cat(&[class, repeated(registers), patches], 1)
            }
        }
    }

    /// The position table for a grid of patches, `[1, 1 + h w, width]`.
    pub fn positions(&self, grid: [i64; 2], interpolation: Interpolation) -> Tensor {
        interpolation.apply(&self.table, 1, grid)
    }

    /// Tokens after one block, counted from 0.
    pub fn block(&self, index: usize, tokens: &Tensor) -> Tensor {
        self.blocks[index].forward(tokens)
    }

    /// The norm after the last block.
    pub fn norm(&self, tokens: &Tensor) -> Tensor {
        self.norm.forward(tokens)
    }

    /// The patches among tokens as a grid, `[n, width, h, w]`.
    pub fn grid(&self, tokens: &Tensor, [h, w]: [i64; 2]) -> Tensor {
        let patches = tokens.narrow(1, 1 + self.plan.registers, h * w);
        patches.transpose(1, 2).reshape([-1, self.plan.width, h, w])
    }

    /// What comes before the patches, class token and registers: `[n, width, 1 + registers, 1]`.
    pub fn prefix(&self, tokens: &Tensor) -> Tensor {
        tokens.narrow(1, 0, 1 + self.plan.registers).transpose(1, 2).unsqueeze(3)
    }
}

/// Names that published files hold beside these: the token that stands for hidden patches in training.
fn is_unused(name: &str) -> bool {
    name == "mask_token"
}

/// Fills a store that holds one DINOv2 from a file with Facebook's or Hugging Face's names.
///
/// # Errors
/// Names the file and every missing, unknown or misshapen tensor.
pub fn load(store: &VarStore, path: &FilePath) -> Result<()> {
    fill(store, weights::read(path)?).with_context(|| format!("weights {}", path.display()))
}

/// As [`load`], from tensors by name.
///
/// # Errors
/// As [`load`].
pub fn fill(store: &VarStore, tensors: BTreeMap<String, Tensor>) -> Result<()> {
    weights::fill(store, hugging_face::renamed(tensors)?, is_unused)
}

/// Whether tensors by name have a class token of that width, and as many registers: what no file of another network has.
pub fn resembles(tensors: &BTreeMap<String, Tensor>, plan: Plan) -> bool {
    let size = |name: &str| {
        let tensor = tensors.get(name).or_else(|| tensors.get(&format!("embeddings.{name}")));
        tensor.map(Tensor::size)
    };
    let registers = (plan.registers > 0).then(|| vec![1, plan.registers, plan.width]);
    size("cls_token") == Some(vec![1, 1, plan.width]) && size("register_tokens") == registers
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::network::vit::Transformer;

    #[test]
    fn it_has_the_published_parameters() {
        let published = [
            (Transformer::Dinov2Small, 22_056_576),
            (Transformer::Dinov2SmallRegisters, 22_058_112),
            (Transformer::Dinov2Base, 86_580_480),
            (Transformer::Dinov2BaseRegisters, 86_583_552),
        ];
        for (transformer, parameters) in published {
            let (store, plan) = (VarStore::new(Device::Cpu), transformer.plan());
            Dinov2::new(&store.root(), plan);
            // The token for hidden patches is among those that are published.
            assert_eq!(weights::n_trainable(&store) + plan.width, parameters, "{}", transformer.name());
        }
    }
}
