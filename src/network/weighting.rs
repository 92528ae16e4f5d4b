//! Learning to weight the supports (D2-4FAD): how much each support counts for this query, per scale.

use tch::nn::{Conv2D, Module, Path};
use tch::{Kind, Tensor};

use super::layer::pointwise;
use super::{Backbone, Scales};

/// What the inner products of query and projected supports are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// The root of the channels, although the product runs over all positions too, as published: saturates.
    #[default]
    #[serde(alias = "sqrt_c")]
    SqrtC,
    /// The root of channels times positions.
    #[serde(alias = "sqrt_chw")]
    SqrtChw,
    /// Both norms, which gives the cosine.
    Cosine,
    /// Infinity: all supports count alike.
    Uniform,
}

impl Scaling {
    /// Logits `[k, b]` from inner products `[k, b]`, for features of `c` channels and `positions`, and the norms
    /// `[b]` of queries and `[k, b]` or `[k, 1]` of keys, which only [`Scaling::Cosine`] asks for.
    fn logits(
        self,
        products: Tensor,
        [c, positions]: [i64; 2],
        norms: impl FnOnce() -> (Tensor, Tensor),
    ) -> Tensor {
        match self {
            Scaling::SqrtC => products / (c as f64).sqrt(),
            Scaling::SqrtChw => products / ((c * positions) as f64).sqrt(),
            Scaling::Cosine => {
                let (query, keys) = norms();
                products / (query * keys).clamp_min(1e-8)
            }
            Scaling::Uniform => products.zeros_like(),
        }
    }
}

/// One 1 x 1 projection of the supports per scale.
pub struct Weighting {
    projections: [Conv2D; 3],
    scaling: Scaling,
}

/// Supports of one episode, encoded once, shared by every query.
pub struct EncodedSupports {
    /// Per scale, `[k, c, h, w]`.
    features: Scales,
    /// Per scale, projected and flattened, `[k, c * h * w]`.
    keys: Scales,
    scaling: Scaling,
}

impl Weighting {
    /// Declares its variables below `path`, of widths that fit the backbone.
    pub fn new(path: &Path, backbone: Backbone, scaling: Scaling) -> Weighting {
        let channels = backbone.channels();
        let projections =
            [0, 1, 2].map(|i| pointwise(&(path / format!("proj_in{}", i + 1)), channels[i], channels[i]));
        Weighting { projections, scaling }
    }

    /// Weights `[b, k]` and weighted sum of the unprojected supports `[b, c, h, w]` at `scale`, for queries
    /// `[b, c, h, w]`, each with supports of its own `[k, b, c, h, w]`.
    ///
    /// The inner product runs over all of `c * h * w`; see [`Scaling`].
    pub fn weigh(&self, scale: usize, query: &Tensor, supports: &Tensor) -> (Tensor, Tensor) {
        let (k, b, c, h, w) = supports.size5().expect("supports are [k, b, c, h, w]");
        let keys = self.projections[scale].forward(&supports.view([k * b, c, h, w])).view([k, b, c, h, w]);
        let products = query.unsqueeze(0) * &keys;
        let sum = |x: &Tensor| x.sum_dim_intlist(&[2, 3, 4][..], false, None::<Kind>);
        let norms = || (sum(&query.square().unsqueeze(0)).sqrt(), sum(&keys.square()).sqrt());
        let logits = self.scaling.logits(sum(&products), [c, h * w], norms);
        let weights = logits.softmax(0, None::<Kind>);
        let weighted = weights.view([k, b, 1, 1, 1]) * supports;
        (weights.transpose(0, 1), weighted.sum_dim_intlist(0, false, None::<Kind>))
    }

    /// As [`Weighting::weigh`] for supports `[b, k, c, h, w]`, by products of matrices: the query is projected in place of
    /// all supports, which takes the same sums in another order. The projection's bias adds the same to all logits of a
    /// query, which a softmax does not see, and is left out. Weights are `[b, k]`.
    pub fn weigh_together(&self, scale: usize, query: &Tensor, supports: &Tensor) -> (Tensor, Tensor) {
        let (b, k, c, h, w) = supports.size5().expect("supports are [b, k, c, h, w]");
        if self.scaling == Scaling::Cosine {
            let (weights, weighted) = self.weigh(scale, query, &supports.transpose(0, 1).contiguous());
            return (weights, weighted);
        }
        let kernel = self.projections[scale].ws.transpose(0, 1);
        let projected = query.conv2d(&kernel, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        let flat = supports.flatten(2, -1);
        let products = flat.bmm(&projected.reshape([b, -1, 1])).view([b, k]);
        let logits = self.scaling.logits(products, [c, h * w], || unreachable!("no cosine"));
        let weights = logits.softmax(1, None::<Kind>);
        let weighted = weights.unsqueeze(1).bmm(&flat).view([b, c, h, w]);
        (weights, weighted)
    }

    /// Prepares supports `[k, c, h, w]` per scale for any number of queries.
    pub fn encode(&self, features: Scales) -> EncodedSupports {
        let keys = [0, 1, 2].map(|i| self.projections[i].forward(&features[i]).flatten(1, -1));
        EncodedSupports { features, keys, scaling: self.scaling }
    }
}

impl EncodedSupports {
    /// Weights `[b, k]` as in [`Weighting::weigh`], for supports that all queries share.
    ///
    /// On the CPU a product and a sum rather than a matrix product: with logits in the hundreds, the order of a
    /// single-precision sum shows in the weights, and this order is the published one.
    pub fn weights(&self, scale: usize, query: &Tensor) -> Tensor {
        let c = query.size()[1];
        let flat = query.flatten(1, -1);
        let (keys, n_supports) = (&self.keys[scale], self.keys[scale].size()[0]);
        let logit = |k: i64| (&flat * keys.get(k)).sum_dim_intlist(1, false, None::<Kind>);
        let products = match query.device().is_cuda() {
            true => keys.matmul(&flat.tr()),
            false => Tensor::stack(&(0..n_supports).map(logit).collect::<Vec<_>>(), 0),
        };
        let norm = |x: &Tensor| x.square().sum_dim_intlist(1, false, None::<Kind>).sqrt();
        let norms = || (norm(&flat).unsqueeze(0), norm(keys).unsqueeze(1));
        let positions = flat.size()[1] / c;
        let logits = self.scaling.logits(products, [c, positions], norms);
        logits.softmax(0, None::<Kind>).transpose(0, 1)
    }

    /// The weighted sum as in [`Weighting::weigh`], for supports that all queries share, by weights `[b, k]`.
    pub fn combine(&self, scale: usize, weights: &Tensor) -> Tensor {
        if weights.device().is_cuda() {
            let features = &self.features[scale];
            let size = features.size();
            return weights.matmul(&features.flatten(1, -1)).view([-1, size[1], size[2], size[3]]);
        }
        let part = |k: i64| weights.narrow(1, k, 1).view([-1, 1, 1, 1]) * self.features[scale].get(k);
        (1..weights.size()[1]).fold(part(0), |sum, k| sum + part(k))
    }
}
