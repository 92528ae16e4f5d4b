//! Weights and pictures from a formula over their names, so that two implementations can be compared without
//! exchanging a file: FNV-1a of the name, then SplitMix64.

use tch::nn::VarStore;
use tch::{Kind, Tensor};

/// `n` numbers in [0, 1).
pub fn uniform(name: &str, n: usize) -> Vec<f64> {
    let start = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let draw = |i: u64| {
        let mut z = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1u64 << 53) as f64
    };
    (1..=n as u64).map(draw).collect()
}

/// Tables and tokens that transformers learn, by the ends of their names.
const EMBEDDINGS: [&str; 7] = [
    "cls_token",
    "pos_embed",
    "register_tokens",
    "mask_token",
    "class_embedding",
    "positional_embedding",
    "token_embedding.weight",
];

/// CLIP's first factor of cosines, 100, as its logarithm.
const LOGIT_SCALE: f64 = 4.605_170_185_988_092;

/// Fills every variable by its name after `prefix`: variances 0.75 to 1.25, means within 0.1, tables and tokens of
/// transformers within 0.3, their factors 0.75 to 1.25 and CLIP's of cosines 100, weights of two or more dimensions uniform with variance 1
/// over fan-in, norms' scales 0.75 to 1.25, biases within 0.1.
pub fn fill(store: &VarStore, prefix: &str) {
    for (name, mut tensor) in store.variables() {
        let shape = tensor.size();
        let n: i64 = shape.iter().product();
        let value = |u: f64| {
            if name.ends_with("running_var") {
                0.75 + 0.5 * u
            } else if name.ends_with("running_mean") {
                (2.0 * u - 1.0) * 0.1
            } else if is_embedding(&name) {
                (2.0 * u - 1.0) * 0.3
            } else if name.ends_with("logit_scale") {
                LOGIT_SCALE
            } else if name.ends_with("gamma") {
                0.75 + 0.5 * u
            } else if shape.len() >= 2 {
                (2.0 * u - 1.0) * (3.0 / (n / shape[0]) as f64).sqrt()
            } else if name.ends_with("weight") {
                0.75 + 0.5 * u
            } else {
                (2.0 * u - 1.0) * 0.1
            }
        };
        let values: Vec<f64> =
            uniform(&format!("{prefix}{name}"), n as usize).into_iter().map(value).collect();
        let values = Tensor::from_slice(&values).to_kind(Kind::Float).view(shape.as_slice());
        tch::no_grad(|| tensor.copy_(&values));
    }
}

/// Whether a name is, or ends after `.` or `_` with, one of a table or token.
fn is_embedding(name: &str) -> bool {
    let ends_with = |ending: &&str| {
        name.strip_suffix(*ending).is_some_and(|before| before.is_empty() || before.ends_with(['.', '_']))
    };
    EMBEDDINGS.iter().any(ends_with)
}

/// A tensor of that name and shape, uniform from `low` to `high`, in single precision.
pub fn tensor(name: &str, shape: &[i64], low: f64, high: f64) -> Tensor {
    let n: i64 = shape.iter().product();
    let values: Vec<f32> =
        uniform(name, n as usize).into_iter().map(|u| (low + (high - low) * u) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// Pictures of that name, `[n, 3, side, side]` of 0 to 1.
pub fn pictures(name: &str, n: i64, side: i64) -> Tensor {
    let values = uniform(name, (n * 3 * side * side) as usize);
    Tensor::from_slice(&values).to_kind(Kind::Float).view([n, 3, side, side])
}
