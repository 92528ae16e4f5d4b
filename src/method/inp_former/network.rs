//! What INP-Former trains: prototypes that each picture brings along, and a decoder that builds its tokens from them.
//! Names are the authors'.

use tch::nn::Path;
use tch::{Kind, Tensor};

use crate::method::part::direction::unit;
use crate::method::part::rebuilding::halves;
use crate::network::vit::block::{LayerNorm, Linear};

/// Added to variances by the norms.
const EPSILON: f64 = 1e-8;

/// Sizes of the network.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Values of a token.
    pub width: i64,
    /// Heads of attention.
    pub heads: i64,
    /// Prototypes of a picture.
    pub prototypes: i64,
    /// Blocks of the decoder, in two groups of equal size.
    pub blocks: usize,
}

impl Shape {
    /// Floating-point operations of one picture of so many tokens: products of matrices, a multiplication with its
    /// addition counting two.
    pub fn operations(&self, tokens: f64) -> f64 {
        let (width, prototypes) = (self.width as f64, self.prototypes as f64);
        let square = 2.0 * width * width;
        let attention = 4.0 * tokens * prototypes * width;
        // Keys and values of tokens; queries, projection and two layers of prototypes.
        let gathering = square * (2.0 * tokens + 10.0 * prototypes) + attention;
        // Queries, projection and two layers of tokens; keys and values of prototypes.
        let block = square * (10.0 * tokens + 2.0 * prototypes) + attention;
        gathering + square * 8.0 * tokens + self.blocks as f64 * block
    }

    /// Values of one picture of so many tokens that a step keeps until it has gradients: of each layer what enters it,
    /// and what a derivative is made of.
    pub fn kept(&self, tokens: f64) -> f64 {
        let (bottleneck, block) = (9.0, 16.0);
        tokens * self.width as f64 * (bottleneck + self.blocks as f64 * block)
    }
}

/// From two groups of a frozen transformer's tokens to the same, rebuilt.
pub struct InpFormer {
    /// `[prototypes, width]`: what asks for a picture's own.
    queries: Tensor,
    gathering: Gathering,
    bottleneck: TwoLayers,
    decoder: Vec<Rebuilding>,
}

/// All that the network makes of pictures; tokens are `[n, t, width]`.
pub struct Pass {
    /// What enters: the mean of both groups.
    pub fused: Tensor,
    /// Each picture's own, `[n, prototypes, width]`.
    pub prototypes: Tensor,
    /// After the bottleneck.
    pub narrowed: Tensor,
    /// After each block of the decoder.
    pub decoded: Vec<Tensor>,
}

impl InpFormer {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, shape: Shape) -> InpFormer {
        let Shape { width, heads, prototypes, blocks } = shape;
        InpFormer {
            queries: path.zeros("prototype_token", &[prototypes, width]),
            gathering: Gathering::new(&(path / "aggregation" / 0), width, heads),
            bottleneck: TwoLayers::new(&(path / "bottleneck" / 0), width),
            decoder: (0..blocks)
                .map(|index| Rebuilding::new(&(path / "decoder" / index), width, heads))
                .collect(),
        }
    }

    /// `groups` are two means of a transformer's tokens.
    pub fn forward(&self, groups: &[Tensor; 2]) -> Pass {
        let fused = (&groups[0] + &groups[1]) / 2.0;
        let queries = self.queries.unsqueeze(0).expand([fused.size()[0], -1, -1], false);
        let prototypes = self.gathering.forward(&queries, &fused);
        let narrowed = self.bottleneck.forward(&fused);
        let mut decoded = Vec::with_capacity(self.decoder.len());
        for block in &self.decoder {
            let tokens = block.forward(decoded.last().unwrap_or(&narrowed), &prototypes);
            decoded.push(tokens);
        }
        Pass { fused, prototypes, narrowed, decoded }
    }
}

impl Pass {
    /// What stands for the two groups.
    pub fn rebuilt(&self) -> [Tensor; 2] {
        halves(&self.decoded)
    }

    /// One less the cosine of each token to each prototype, `[n, t, prototypes]`.
    pub fn distances(&self) -> Tensor {
        let (tokens, prototypes) = (self.fused.unsqueeze(2), self.prototypes.unsqueeze(1));
        1.0 - Tensor::cosine_similarity(&tokens, &prototypes, -1, 1e-8)
    }

    /// Mean distance of tokens to their nearest prototypes: a scalar.
    pub fn coherence(&self) -> Tensor {
        self.distances().min_dim(2, false).0.mean(None::<Kind>)
    }
}

/// Prototypes gather from a picture's tokens what each of them stands for.
struct Gathering {
    norms: [LayerNorm; 2],
    attention: Attention,
    layers: TwoLayers,
}

impl Gathering {
    fn new(path: &Path, width: i64, heads: i64) -> Gathering {
        Gathering {
            norms: norms(path, width),
            attention: Attention::new(&(path / "attn"), width, heads),
            layers: TwoLayers::new(&(path / "mlp"), width),
        }
    }

    fn forward(&self, prototypes: &Tensor, tokens: &Tensor) -> Tensor {
        let [before, between] = &self.norms;
        let (asking, seen) = (before.forward(prototypes), before.forward(tokens));
        let scale = (self.attention.head_width() as f64).sqrt().recip();
        let likeness = |queries: &Tensor, keys: &Tensor| {
            (queries * scale).matmul(&keys.transpose(-2, -1)).softmax(-1, None::<Kind>)
        };
        let prototypes = prototypes + self.attention.forward(&asking, &seen, likeness);
        &prototypes + self.layers.forward(&between.forward(&prototypes))
    }
}

/// Tokens are built from prototypes alone: nothing of a token passes beside the attention.
struct Rebuilding {
    norms: [LayerNorm; 2],
    attention: Attention,
    /// Factor of cosines, for each head.
    scale: Tensor,
    layers: TwoLayers,
}

impl Rebuilding {
    fn new(path: &Path, width: i64, heads: i64) -> Rebuilding {
        let attention = path / "attn";
        Rebuilding {
            norms: norms(path, width),
            scale: attention.ones("learn_scale", &[heads, 1, 1]),
            attention: Attention::new(&attention, width, heads),
            layers: TwoLayers::new(&(path / "mlp"), width),
        }
    }

    fn forward(&self, tokens: &Tensor, prototypes: &Tensor) -> Tensor {
        let [before, between] = &self.norms;
        let (asking, seen) = (before.forward(tokens), before.forward(prototypes));
        let likeness = |queries: &Tensor, keys: &Tensor| {
            let [queries, keys] = [queries, keys].map(|vectors| unit(vectors, -1));
            (queries.matmul(&keys.transpose(-2, -1)) * &self.scale).relu()
        };
        let tokens = self.attention.forward(&asking, &seen, likeness);
        &tokens + self.layers.forward(&between.forward(&tokens))
    }
}

fn norms(path: &Path, width: i64) -> [LayerNorm; 2] {
    ["norm1", "norm2"].map(|name| LayerNorm::new(&(path / name), width, EPSILON))
}

/// What one set of tokens takes from another.
struct Attention {
    queries: Linear,
    /// Keys, then values.
    seen: Linear,
    projection: Linear,
    width: i64,
    heads: i64,
}

impl Attention {
    fn new(path: &Path, width: i64, heads: i64) -> Attention {
        Attention {
            queries: Linear::new(&(path / "q"), width, width),
            seen: Linear::new(&(path / "kv"), width, 2 * width),
            projection: Linear::new(&(path / "proj"), width, width),
            width,
            heads,
        }
    }

    fn head_width(&self) -> i64 {
        self.width / self.heads
    }

    /// `likeness` makes weights `[n, heads, asking, seen]` of queries and keys, each `[n, heads, t, head]`.
    fn forward(
        &self,
        asking: &Tensor,
        seen: &Tensor,
        likeness: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let (n, t) = (asking.size()[0], asking.size()[1]);
        let by_head = |x: &Tensor| x.view([n, -1, self.heads, self.head_width()]).transpose(1, 2);
        let joint = self.seen.forward(seen);
        let [keys, values] =
            [0, 1].map(|part| by_head(&joint.narrow(2, part * self.width, self.width).contiguous()));
        let weights = likeness(&by_head(&self.queries.forward(asking)), &keys);
        let taken = weights.matmul(&values).transpose(1, 2).reshape([n, t, self.width]);
        self.projection.forward(&taken)
    }
}

/// Two layers, four times as wide between them.
struct TwoLayers([Linear; 2]);

impl TwoLayers {
    fn new(path: &Path, width: i64) -> TwoLayers {
        TwoLayers([
            Linear::new(&(path / "fc1"), width, 4 * width),
            Linear::new(&(path / "fc2"), 4 * width, width),
        ])
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second] = &self.0;
        second.forward(&first.forward(x).gelu("none"))
    }
}
