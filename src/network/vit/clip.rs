//! CLIP (Radford et al. 2021, arXiv 2103.00020): a tower for pictures and one for texts that end in the same space, under
//! the names of OpenAI's state dictionaries, which open_clip's have too.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tch::nn::{Path, VarStore};
use tch::{Kind as Number, Tensor};

use super::Interpolation;
use super::block::{Activation, Attention, Block, Kind, LayerNorm, Names};
use super::tokenizer::{self, Dialect, Tokenizer};
use crate::names;
use crate::network::weights;

/// Added to variances by all norms.
const EPSILON: f64 = 1e-5;

const NAMES: Names = Names {
    norms: ["ln_1", "ln_2"],
    joint: ["attn.in_proj_weight", "attn.in_proj_bias"],
    projection: "attn.out_proj",
    factors: None,
    layers: ["mlp.c_fc", "mlp.c_proj"],
};

/// Sizes of one tower's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tower {
    /// Values of a token.
    pub width: i64,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention.
    pub heads: i64,
}

/// Sizes of both towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For pictures.
    pub image: Tower,
    /// Side of a patch in pixels.
    pub patch: i64,
    /// Patches along a side of the pictures that the position table was learnt on.
    pub table: i64,
    /// For texts.
    pub text: Tower,
    /// Tokens of a text, start and end among them.
    pub context: i64,
    /// Known tokens.
    pub vocabulary: i64,
    /// Values of a picture or text where both meet.
    pub joint: i64,
    /// What lies between the two layers of a block.
    pub activation: Activation,
}

/// A CLIP that methods can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Clip {
    /// OpenAI's ViT-B/16, pictures of 224 pixels.
    Base16,
    /// OpenAI's ViT-L/14, pictures of 224 pixels.
    Large14,
    /// OpenAI's ViT-L/14, pictures of 336 pixels.
    Large14At336,
    /// open_clip's ViT-B/16-plus, pictures of 240 pixels, of LAION's weights.
    Base16PlusAt240,
    /// CLIP's form, as small as it can be, pictures of 64 pixels; it reads texts byte by byte, so it needs no vocabulary.
    /// Nobody publishes weights of it: it is for tests, and for quick runs on random weights.
    Tiny,
}

impl Clip {
    /// Every one.
    pub const ALL: [Clip; 5] =
        [Clip::Base16, Clip::Large14, Clip::Large14At336, Clip::Base16PlusAt240, Clip::Tiny];

    /// By the name that [`Clip::name`] gives.
    ///
    /// # Errors
    /// Lists the known ones.
    pub fn parse(name: &str) -> Result<Clip> {
        let found = Clip::ALL.into_iter().find(|clip| clip.name() == name);
        found.ok_or_else(|| names::unknown("CLIP", name, Clip::ALL.map(Clip::name)))
    }

    /// Its owner's name in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Clip::Base16 => "clip_vitb16",
            Clip::Large14 => "clip_vitl14",
            Clip::Large14At336 => "clip_vitl14_336",
            Clip::Base16PlusAt240 => "open_clip_vitb16_plus_240",
            Clip::Tiny => "clip_tiny16",
        }
    }

    /// What it reads texts with.
    ///
    /// # Errors
    /// Says how to get the vocabulary, if it is not there.
    pub fn tokenizer(self) -> Result<Tokenizer> {
        match self {
            Clip::Tiny => Tokenizer::of_bytes(),
            Clip::Base16PlusAt240 => tokenizer::kept_one(Dialect::OpenClip),
            Clip::Base16 | Clip::Large14 | Clip::Large14At336 => tokenizer::kept_one(Dialect::OpenAi),
        }
    }

    /// Its sizes.
    pub fn plan(self) -> Plan {
        let plan =
            |image: [i64; 3], table: i64, patch: i64, text: [i64; 2], joint: i64, activation: Activation| {
                let [width, depth, heads] = image;
                Plan {
                    image: Tower { width, depth: depth as usize, heads },
                    patch,
                    table,
                    text: Tower { width: text[0], depth: 12, heads: text[1] },
                    context: 77,
                    vocabulary: 49408,
                    joint,
                    activation,
                }
            };
        let quick = Activation::QuickGelu;
        match self {
            Clip::Base16 => plan([768, 12, 12], 14, 16, [512, 8], 512, quick),
            Clip::Large14 => plan([1024, 24, 16], 16, 14, [768, 12], 768, quick),
            Clip::Large14At336 => plan([1024, 24, 16], 24, 14, [768, 12], 768, quick),
            Clip::Base16PlusAt240 => plan([896, 12, 14], 15, 16, [640, 10], 640, Activation::Gelu),
            Clip::Tiny => Plan {
                text: Tower { width: 32, depth: 2, heads: 2 },
                context: 128,
                vocabulary: tokenizer::BYTES,
                ..plan([64, 4, 4], 4, 16, [32, 2], 32, Activation::Gelu)
            },
        }
    }
}

impl TryFrom<String> for Clip {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Clip> {
        Clip::parse(&name)
    }
}

impl From<Clip> for String {
    fn from(clip: Clip) -> String {
        clip.name().to_owned()
    }
}

impl Plan {
    /// Side in pixels of the pictures that the position table was learnt on.
    pub fn side(&self) -> i64 {
        self.patch * self.table
    }

    /// Floating-point operations that bring a picture's `patches` to tokens.
    pub fn embedding_operations(&self, patches: i64) -> f64 {
        2.0 * (patches * self.image.width * 3 * self.patch * self.patch) as f64
    }
}

impl Tower {
    /// Floating-point operations of so many `tokens` that look at one another, through the first `blocks` blocks.
    pub fn operations(&self, tokens: i64, blocks: usize) -> f64 {
        let (width, tokens) = (self.width as f64, tokens as f64);
        blocks as f64 * (tokens * 2.0 * 12.0 * width * width + 4.0 * tokens * tokens * width)
    }
}

fn blocks(path: &Path, tower: Tower, activation: Activation, attention: Attention) -> Vec<Block> {
    let Tower { width, depth, heads } = tower;
    let kind = Kind { width, heads, epsilon: EPSILON, activation, attention };
    let path = path / "transformer" / "resblocks";
    (0..depth).map(|index| Block::new(&(&path / index), kind, &NAMES)).collect()
}

/// The tower for pictures.
pub struct ImageTower {
    patch: i64,
    class: Tensor,
    /// `[1 + table^2, width]`: the class token's row first.
    table: Tensor,
    patches: Tensor,
    before: LayerNorm,
    blocks: Vec<Block>,
    after: LayerNorm,
    /// `[width, joint]`.
    projection: Tensor,
}

impl ImageTower {
    /// Declares its variables below `path / "visual"`.
    pub fn new(path: &Path, plan: Plan) -> ImageTower {
        let (path, width) = (path / "visual", plan.image.width);
        ImageTower {
            patch: plan.patch,
            class: path.zeros("class_embedding", &[width]),
            table: path.zeros("positional_embedding", &[1 + plan.table * plan.table, width]),
            patches: (&path / "conv1").zeros("weight", &[width, 3, plan.patch, plan.patch]),
            before: LayerNorm::new(&(&path / "ln_pre"), width, EPSILON),
            blocks: blocks(&path, plan.image, plan.activation, Attention::Full),
            after: LayerNorm::new(&(&path / "ln_post"), width, EPSILON),
            projection: path.zeros("proj", &[width, plan.joint]),
        }
    }

    /// Tokens before the first norm, `[n, 1 + h w, width]` in the kind of `pictures` `[n, 3, patch h, patch w]`: class,
    /// then patches row by row. A table of another grid is fitted as open_clip does.
    pub fn embed(&self, pictures: &Tensor) -> Tensor {
        let kind = pictures.kind();
        let weight = self.patches.to_kind(kind);
        let stride = [self.patch, self.patch];
        let grid = pictures.conv2d(&weight, None::<&Tensor>, stride, [0, 0], [1, 1], 1);
        let class = self.class.to_kind(kind).view([1, 1, -1]).expand([grid.size()[0], -1, -1], false);
        let tokens = Tensor::cat(&[class, grid.flatten(2, 3).transpose(1, 2)], 1);
        tokens + self.positions([grid.size()[2], grid.size()[3]]).to_kind(kind)
    }

    /// The position table for a grid of patches, `[1, 1 + h w, width]`.
    pub fn positions(&self, grid: [i64; 2]) -> Tensor {
        Interpolation::Antialiased.apply(&self.table.unsqueeze(0), 1, grid)
    }

    /// The norm before the first block.
    pub fn norm_before(&self, tokens: &Tensor) -> Tensor {
        self.before.forward(tokens)
    }

    /// The norm after the last block.
    pub fn norm_after(&self, tokens: &Tensor) -> Tensor {
        self.after.forward(tokens)
    }

    /// Tokens after one block, counted from 0.
    pub fn block(&self, index: usize, tokens: &Tensor) -> Tensor {
        self.blocks[index].forward(tokens)
    }

    /// Tokens after the last block and its norm, not projected.
    pub fn tokens(&self, pictures: &Tensor) -> Tensor {
        self.onward(&self.embed(pictures))
    }

    /// As [`ImageTower::tokens`], of tokens before the first norm, all of a picture or some of them.
    pub fn onward(&self, tokens: &Tensor) -> Tensor {
        let tokens = self.norm_before(tokens);
        self.after.forward(&self.blocks.iter().fold(tokens, |tokens, block| block.forward(&tokens)))
    }

    /// The class token among [`ImageTower::tokens`] where both towers meet, `[n, joint]`.
    pub fn embedding(&self, tokens: &Tensor) -> Tensor {
        tokens.select(1, 0).matmul(&self.projection.to_kind(tokens.kind()))
    }
}

/// The tower for texts.
pub struct TextTower {
    /// `[vocabulary, width]`.
    tokens: Tensor,
    /// `[context, width]`.
    table: Tensor,
    blocks: Vec<Block>,
    after: LayerNorm,
    /// `[width, joint]`.
    projection: Tensor,
}

impl TextTower {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, plan: Plan) -> TextTower {
        let width = plan.text.width;
        TextTower {
            tokens: (path / "token_embedding").zeros("weight", &[plan.vocabulary, width]),
            table: path.zeros("positional_embedding", &[plan.context, width]),
            blocks: blocks(path, plan.text, plan.activation, Attention::Causal),
            after: LayerNorm::new(&(path / "ln_final"), width, EPSILON),
            projection: path.zeros("text_projection", &[width, plan.joint]),
        }
    }

    /// Texts as ids `[n, context]`, whole numbers, where both towers meet: `[n, joint]`. The token of the largest id, which
    /// is the end, stands for the text.
    pub fn embedding(&self, ids: &Tensor) -> Tensor {
        self.pooled(&self.words(ids), ids, Block::forward)
    }

    /// Ids `[n, t]` as tokens without their positions, `[n, t, width]`.
    pub fn words(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.tokens, ids, -1, false, false)
    }

    /// As [`TextTower::embedding`], with tokens `[n, context, width]` in the place of those of `ids`, which say where the
    /// end is; and tokens see those after them, which the tower was not trained with.
    pub fn embedding_seeing_all(&self, words: &Tensor, ids: &Tensor) -> Tensor {
        self.pooled(words, ids, Block::forward_seeing_all)
    }

    fn pooled(&self, words: &Tensor, ids: &Tensor, through: fn(&Block, &Tensor) -> Tensor) -> Tensor {
        let tokens = words + &self.table;
        let tokens =
            self.after.forward(&self.blocks.iter().fold(tokens, |tokens, block| through(block, &tokens)));
        let (n, _, width) = tokens.size3().expect("tokens are [n, context, width]");
        let end = ids.argmax(1, false).view([n, 1, 1]).expand([n, 1, width], false);
        tokens.gather(1, &end, false).squeeze_dim(1).matmul(&self.projection)
    }
}

/// Both towers, and the factor of their cosines.
pub struct Towers {
    /// For pictures.
    pub image: ImageTower,
    /// For texts.
    pub text: TextTower,
    /// Natural logarithm of the factor.
    scale: Tensor,
}

impl Towers {
    /// Declares their variables below `path`.
    pub fn new(path: &Path, plan: Plan) -> Towers {
        Towers {
            image: ImageTower::new(path, plan),
            text: TextTower::new(path, plan),
            scale: path.zeros("logit_scale", &[]),
        }
    }

    /// Cosines of embedded pictures `[n, joint]` with embedded texts `[m, joint]`, times the learnt factor: `[n, m]`.
    pub fn likeness(&self, pictures: &Tensor, texts: &Tensor) -> Tensor {
        let unit = |rows: &Tensor| {
            let squares = rows.square().sum_dim_intlist(1, true, None::<Number>);
            rows / squares.sqrt()
        };
        unit(pictures).matmul(&unit(texts).tr()) * self.scale.exp()
    }
}

/// Names that OpenAI's files hold beside these: sizes.
fn is_unused(name: &str) -> bool {
    ["input_resolution", "context_length", "vocab_size"].contains(&name)
}

/// Fills a store that holds both towers from a state dictionary of OpenAI's or open_clip's names.
///
/// # Errors
/// Names the file and every missing, unknown or misshapen tensor.
pub fn load(store: &VarStore, path: &FilePath) -> Result<()> {
    weights::fill(store, weights::read(path)?, is_unused)
        .with_context(|| format!("weights {}", path.display()))
}

/// Whether tensors by name have both towers' sizes: what no file of another network has.
pub fn resembles(tensors: &BTreeMap<String, Tensor>, plan: Plan) -> bool {
    let has = |name: &str, shape: &[i64]| tensors.get(name).is_some_and(|tensor| tensor.size() == shape);
    has("visual.proj", &[plan.image.width, plan.joint])
        && has("visual.positional_embedding", &[1 + plan.table * plan.table, plan.image.width])
        && has("token_embedding.weight", &[plan.vocabulary, plan.text.width])
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn they_have_the_published_parameters() {
        for (clip, parameters) in [(Clip::Base16, 149_620_737), (Clip::Base16PlusAt240, 208_377_345)] {
            let store = VarStore::new(Device::Cpu);
            Towers::new(&store.root(), clip.plan());
            assert_eq!(weights::n_trainable(&store), parameters, "{clip:?}");
        }
    }
}
