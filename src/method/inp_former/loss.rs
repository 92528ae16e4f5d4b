//! What INP-Former minimises, and the maps that it reads from the same distances.

use tch::{Kind, Tensor};

use super::network::Pass;

/// Share of the coherence in the loss.
const COHERENCE: f64 = 0.2;
/// Power of a position's distance over the mean one.
const POWER: f64 = 3.0;
/// Sides of the map that the image score is made of, in pixels, and of its blur.
const SCORED_SIDE: i64 = 256;
const BLUR: i64 = 5;
/// Deviation of the blur in pixels.
const SIGMA: f64 = 4.0;

/// The loss, its parts, and what is followed instead of it.
pub struct Loss {
    /// Distance of rebuilt tokens, all tokens of a picture as one vector; mean over groups and pictures.
    pub cosine: Tensor,
    /// Of tokens to their nearest prototypes.
    pub coherence: Tensor,
    /// Has the gradient that the method follows: that of the loss, less at positions that are rebuilt well already. Its
    /// value means nothing.
    pub followed: Tensor,
}

impl Loss {
    /// `groups` are what was to be rebuilt, each `[n, t, width]`.
    pub fn new(groups: &[Tensor; 2], pass: &Pass) -> Loss {
        let rebuilt = pass.rebuilt();
        let leaves: [Tensor; 2] = rebuilt.each_ref().map(|tokens| tokens.detach().set_requires_grad(true));
        let whole = |(group, leaf): (&Tensor, &Tensor)| {
            let [group, leaf] = [group, leaf].map(|tokens| tokens.flatten(1, -1));
            let cosine = Tensor::cosine_similarity(&group, &leaf, 1, 1e-8);
            1.0 - cosine.mean(None::<Kind>)
        };
        let [first, second] = [0, 1].map(|group| whole((&groups[group], &leaves[group])));
        let cosine = (first + second) / 2.0;
        let gradients = Tensor::run_backward(&[&cosine], &leaves.each_ref(), false, false);
        let coherence = pass.coherence();
        let mut followed = &coherence * COHERENCE;
        for (((group, leaf), gradient), tokens) in groups.iter().zip(&leaves).zip(gradients).zip(&rebuilt) {
            let weighted = tch::no_grad(|| gradient * factors(group, leaf).unsqueeze(2));
            followed += (weighted * tokens).sum(None::<Kind>);
        }
        Loss { cosine: cosine.detach(), coherence, followed }
    }

    /// What is minimised: a scalar.
    pub fn total(&self) -> Tensor {
        &self.cosine + &self.coherence.detach() * COHERENCE
    }
}

/// How much of the gradient counts at each position, `[n, t]`.
fn factors(group: &Tensor, rebuilt: &Tensor) -> Tensor {
    let distances = distances(group, rebuilt);
    let mean = distances.mean(None::<Kind>);
    (distances / mean).pow_tensor_scalar(POWER)
}

/// One less the cosine of each token to the rebuilt one, `[n, t]`.
fn distances(group: &Tensor, rebuilt: &Tensor) -> Tensor {
    1.0 - Tensor::cosine_similarity(group, rebuilt, -1, 1e-8)
}

/// Distances of square grids of tokens, brought to `side` with aligned corners; the mean of both groups, `[n, side, side]`.
pub fn maps(groups: &[Tensor; 2], rebuilt: &[Tensor; 2], side: i64) -> Tensor {
    let one = |group: usize| {
        let distances = distances(&groups[group], &rebuilt[group]);
        let (n, t) = (distances.size()[0], distances.size()[1]);
        let grid = distances.view([n, 1, t.isqrt(), t.isqrt()]);
        grid.upsample_bilinear2d([side, side], true, None, None)
    };
    ((one(0) + one(1)) / 2.0).squeeze_dim(1)
}

/// Maps `[n, side, side]` brought to another side and blurred, with nothing beyond the border: there it is too low.
pub fn blurred(maps: &Tensor, side: i64) -> Tensor {
    let maps = maps.unsqueeze(1).upsample_bilinear2d([side, side], false, None, None);
    let kernel = kernel().to_kind(maps.kind()).to_device(maps.device()).view([1, 1, BLUR, BLUR]);
    maps.conv2d::<Tensor>(&kernel, None, [1], [BLUR / 2], [1], 1).squeeze_dim(1)
}

/// A Gaussian whose weights sum to one, `[BLUR, BLUR]`: single precision, as published.
pub fn kernel() -> Tensor {
    let values: Vec<f64> =
        (0..BLUR).map(|at| (-((at - BLUR / 2) as f64 / SIGMA).powi(2) / 2.0).exp()).collect();
    let row = Tensor::from_slice(&values);
    let kernel = row.unsqueeze(1) * row.unsqueeze(0);
    (&kernel / kernel.sum(None::<Kind>)).to_kind(Kind::Float)
}

/// Mean of the highest hundredth (at least one value) of maps `[n, side, side]`: `[n]`.
pub fn highest(maps: &Tensor) -> Tensor {
    let flat = maps.flatten(1, -1);
    let count = (flat.size()[1] / 100).max(1);
    flat.topk(count, 1, true, false).0.mean_dim(1, false, None::<Kind>)
}

/// Image scores as published, `[n]`, of maps of any side.
pub fn image_scores(maps: &Tensor) -> Tensor {
    highest(&blurred(maps, SCORED_SIDE))
}
