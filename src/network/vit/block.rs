//! One block of a transformer: tokens look at one another, then each passes two layers by itself.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::Path;

/// How a family of checkpoints names what a block is made of; dots part folders.
pub struct Names {
    /// Norms before attention and before the two layers.
    pub norms: [&'static str; 2],
    /// Weight and bias of queries, keys and values, one above the other.
    pub joint: [&'static str; 2],
    /// The layer after attention.
    pub projection: &'static str,
    /// Factors of what attention and the two layers give; `None` where there are none.
    pub factors: Option<[&'static str; 2]>,
    /// The two layers.
    pub layers: [&'static str; 2],
}

/// What lies between the two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x` times the normal distribution's function of `x`, exactly.
    Gelu,
    /// `x` times the logistic function of `1.702 x`.
    QuickGelu,
}

/// Sizes and kinds of a block.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Values of a token.
    pub width: i64,
    /// Heads of attention.
    pub heads: i64,
    /// Added to variances by the norms.
    pub epsilon: f64,
    /// Between the two layers.
    pub activation: Activation,
    /// What tokens see of one another.
    pub attention: Attention,
}

/// What tokens see of one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// All tokens, weighted by the softmax of scaled products.
    Full,
    /// The same, of those before a token and itself alone.
    Causal,
    /// All tokens, weighted by products of `elu + 1` over their sum: attention spreads over the whole picture (Dinomaly).
    Linear,
}

/// Tokens `[n, t, width]` to as many.
pub struct Block {
    norms: [LayerNorm; 2],
    joint: Linear,
    projection: Linear,
    factors: Option<[Tensor; 2]>,
    layers: [Linear; 2],
    heads: i64,
    activation: Activation,
    attention: Attention,
}

impl Block {
    /// Declares its variables below `path`.
    pub fn new(path: &Path, kind: Kind, names: &Names) -> Block {
        let Kind { width, heads, epsilon, activation, attention } = kind;
        let [weight, bias] = names.joint.map(split);
        let joint = Linear {
            weight: below(path, weight.0).zeros(weight.1, &[3 * width, width]),
            bias: below(path, bias.0).zeros(bias.1, &[3 * width]),
        };
        let [first, second] = names.layers.map(|name| below(path, name));
        Block {
            norms: names.norms.map(|name| LayerNorm::new(&below(path, name), width, epsilon)),
            joint,
            projection: Linear::new(&below(path, names.projection), width, width),
            factors: names.factors.map(|names| names.map(|name| factor(path, name, width))),
            layers: [Linear::new(&first, width, 4 * width), Linear::new(&second, 4 * width, width)],
            heads,
            activation,
            attention,
        }
    }

    /// In the kind of `tokens`.
    pub fn forward(&self, tokens: &Tensor) -> Tensor {
        self.seeing(tokens, self.attention)
    }

    /// As [`Block::forward`] of a causal block, where a token sees those after it too.
    pub fn forward_seeing_all(&self, tokens: &Tensor) -> Tensor {
        self.seeing(tokens, Attention::Full)
    }

    fn seeing(&self, tokens: &Tensor, attention: Attention) -> Tensor {
        let seen = self.scaled(0, self.attend(&self.norms[0].forward(tokens), attention));
        let tokens = tokens + seen;
        let inside = self.layers[0].forward(&self.norms[1].forward(&tokens));
        let inside = match self.activation {
            Activation::Gelu => inside.gelu("none"),
            Activation::QuickGelu => &inside * (&inside * 1.702).sigmoid(),
        };
        let alone = self.scaled(1, self.layers[1].forward(&inside));
        tokens + alone
    }

    fn attend(&self, tokens: &Tensor, attention: Attention) -> Tensor {
        let (n, t, width) = tokens.size3().expect("tokens are [n, t, width]");
        let joint = self.joint.forward(tokens).view([n, t, 3, self.heads, width / self.heads]);
        let [queries, keys, values] = [0, 1, 2].map(|part| joint.select(2, part).transpose(1, 2));
        let seen = match attention {
            Attention::Linear => linear(&queries, &keys, &values),
            Attention::Full | Attention::Causal => Tensor::scaled_dot_product_attention(
                &queries,
                &keys,
                &values,
                None::<&Tensor>,
                0.0,
                attention == Attention::Causal,
                None,
                false,
            ),
        };
        self.projection.forward(&seen.transpose(1, 2).reshape([n, t, width]))
    }

    fn scaled(&self, part: usize, x: Tensor) -> Tensor {
        match &self.factors {
            Some(factors) => &x * factors[part].to_kind(x.kind()),
            None => x,
        }
    }
}

/// [`Attention::Linear`]; each is `[n, heads, t, head]`.
fn linear(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Tensor {
    let [queries, keys] = [queries, keys].map(|vectors| vectors.elu() + 1.0);
    let sums = keys.sum_dim_intlist(-2, true, None::<tch::Kind>);
    let weights = (&queries * sums).sum_dim_intlist(-1, true, None::<tch::Kind>);
    queries.matmul(&keys.transpose(-2, -1).matmul(values)) / weights
}

/// The folder below `path` whose parts are parted by dots.
fn below<'a>(path: &Path<'a>, dotted: &str) -> Path<'a> {
    dotted.split('.').filter(|part| !part.is_empty()).fold(path.clone(), |path, part| path / part)
}

/// Folder and last part of a dotted name.
fn split(dotted: &str) -> (&str, &str) {
    dotted.rsplit_once('.').unwrap_or(("", dotted))
}

fn factor(path: &Path, name: &str, width: i64) -> Tensor {
    let (folder, name) = split(name);
    below(path, folder).ones(name, &[width])
}

/// Norm over the values of each token.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    /// Declares its variables below `path`; `epsilon` is added to variances.
    pub fn new(path: &Path, width: i64, epsilon: f64) -> LayerNorm {
        LayerNorm { weight: path.ones("weight", &[width]), bias: path.zeros("bias", &[width]), epsilon }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let [weight, bias] = [&self.weight, &self.bias].map(|values| values.to_kind(x.kind()));
        x.layer_norm(self.weight.size(), Some(weight), Some(bias), self.epsilon, false)
    }
}

/// A layer with bias.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Declares its variables below `path`: from `from` values to `to`.
    pub fn new(path: &Path, from: i64, to: i64) -> Linear {
        Linear { weight: path.zeros("weight", &[to, from]), bias: path.zeros("bias", &[to]) }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight.to_kind(x.kind()), Some(&self.bias.to_kind(x.kind())))
    }
}
