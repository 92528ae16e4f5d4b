//! A frozen transformer's tokens in two groups, which a decoder rebuilds: what is seen of pictures, the distance that is
//! minimised, maps and scores. The scripts of Dinomaly (arXiv 2405.14325) and INP-Former (arXiv 2503.02424) share it, but for
//! the views of few pictures, which are INP-Former's.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::grid;
use super::middle::Middle;
use super::scored::image_scores;
use crate::method::geometry::Geometry;
use crate::method::prediction::Prediction;
use crate::method::views;
use crate::network::Sight;
use crate::network::optimiser::{Adam, Decay, Rule};
use crate::network::vit::{Deep, Groups, Interpolation, Plan, Reading};

/// Deviation of the blur before image scores, in pixels.
const SIGMA: f64 = 4.0;

/// How the transformer's position table meets the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// As the authors' code: without a filter and with an offset of 0.1, for networks with registers too.
    Published,
    /// As the network's owners run it.
    Owners,
}

/// What is seen of pictures, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Tokens of its transformer are rebuilt.
    pub middle: Middle,
    /// How the position table meets the grid.
    pub positions: Positions,
    /// Squares or files.
    pub geometry: Geometry,
}

impl Seen {
    /// Two groups of tokens.
    pub fn sight(&self) -> Sight {
        let backbone = self.middle.backbone;
        let owners = self.middle.reading(Deep::Groups(groups(backbone.plan())));
        let interpolation = match self.positions {
            Positions::Published => Interpolation::Offset,
            Positions::Owners => owners.interpolation,
        };
        Sight::Tokens(backbone, Reading { interpolation, ..owners })
    }

    /// The 22 views of pictures. INP-Former's authors make them of what is seen of a stretched file, so that what a turn or
    /// shift brings in is reflected at its edge; the margin around is cut off again.
    pub fn views_of(&self, pixels: &Tensor) -> Tensor {
        match self.geometry {
            Geometry::Square => views::augmented(pixels),
            Geometry::Published => {
                let Middle { side, margin, .. } = self.middle;
                let seen = pixels.narrow(2, margin, side).narrow(3, margin, side);
                views::augmented(&seen).constant_pad_nd([margin; 4])
            }
        }
    }

    /// Square grids of patches a side, from both groups of what was seen and what was rebuilt of it, to maps of pictures of
    /// `size` pixels and image scores.
    ///
    /// # Errors
    /// Values that are not finite.
    pub fn judge(&self, groups: &[Tensor; 2], rebuilt: &[Tensor; 2], size: i64) -> Result<Prediction> {
        let Middle { side, margin, .. } = self.middle;
        let (maps, scores) = tch::no_grad(|| {
            let seen = maps(groups, rebuilt, side);
            (grid::whole(&seen, margin, size), image_scores(&seen, SIGMA))
        });
        Ok(Prediction::Both(grid::to_maps(&maps)?, grid::to_scores(&scores)?))
    }
}

/// The published optimiser, `StableAdamW` that keeps the largest second moment.
pub fn rule(learning_rate: f64, weight_decay: f64, epsilon: f64) -> Rule {
    Rule::Adam(Adam {
        learning_rate,
        epsilon,
        decay: Decay::Decoupled(weight_decay),
        amsgrad: true,
        bounded: true,
        ..Adam::default()
    })
}

/// The published blocks: after 3 to 10 of 12, after each second one from 5 to 19 of 24; of other depths, the middle two
/// thirds.
pub fn groups(sizes: Plan) -> Groups {
    match sizes.depth {
        24 => Groups { first: 5, step: 2, each: 4 },
        depth => Groups { first: depth / 6 + 1, step: 1, each: depth / 3 },
    }
}

/// Two groups of tokens, each `[n, h w, width]`, of the joined `[n, 2 width, h, w]`.
pub fn grouped(deep: &Tensor) -> [Tensor; 2] {
    let tokens = deep.flatten(2, 3).transpose(1, 2);
    let width = tokens.size()[2] / 2;
    [0, 1].map(|group| tokens.narrow(2, group * width, width).contiguous())
}

/// What stands for the two groups, of tokens after each block of a decoder: the last half first, since it undoes the first
/// blocks last.
pub fn halves(decoded: &[Tensor]) -> [Tensor; 2] {
    let half = decoded.len() / 2;
    let mean = |blocks: &[Tensor]| {
        let blocks: Vec<&Tensor> = blocks.iter().collect();
        Tensor::stack(&blocks, 0).mean_dim(0, false, None::<Kind>)
    };
    [mean(&decoded[half..]), mean(&decoded[..half])]
}

/// Distance of rebuilt tokens, all tokens of a picture as one vector; mean over groups and pictures.
pub struct Cosine {
    /// A scalar, without gradient.
    pub value: Tensor,
    /// Of each group, what is followed instead of it: has the distance's gradient, times a factor at each position. Its
    /// value means nothing.
    pub followed: [Tensor; 2],
}

impl Cosine {
    /// `groups` are what was to be rebuilt, each `[n, t, width]`; `factors` makes a group's factors, `[n, t]`, of its
    /// [`distances`].
    pub fn new(groups: &[Tensor; 2], rebuilt: &[Tensor; 2], factors: impl Fn(&Tensor) -> Tensor) -> Cosine {
        let leaves: [Tensor; 2] = rebuilt.each_ref().map(|tokens| tokens.detach().set_requires_grad(true));
        let whole = |(group, leaf): (&Tensor, &Tensor)| {
            let [group, leaf] = [group, leaf].map(|tokens| tokens.flatten(1, -1));
            let cosine = Tensor::cosine_similarity(&group, &leaf, 1, 1e-8);
            1.0 - cosine.mean(None::<Kind>)
        };
        let [first, second] = [0, 1].map(|group| whole((&groups[group], &leaves[group])));
        let value = (first + second) / 2.0;
        let gradients = Tensor::run_backward(&[&value], &leaves.each_ref(), false, false);
        let followed = [0, 1].map(|group| {
            let weighted = tch::no_grad(|| {
                &gradients[group] * factors(&distances(&groups[group], &leaves[group])).unsqueeze(2)
            });
            (weighted * &rebuilt[group]).sum(None::<Kind>)
        });
        Cosine { value: value.detach(), followed }
    }
}

/// One less the cosine of each token to the rebuilt one, `[n, t]`.
pub fn distances(group: &Tensor, rebuilt: &Tensor) -> Tensor {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::vit::Transformer;

    #[test]
    fn published_views_are_of_what_is_seen_of_a_file() {
        let seen = |geometry| Seen {
            middle: Middle { backbone: Transformer::Dinov2Tiny, side: 42, margin: 7 },
            positions: Positions::Published,
            geometry,
        };
        let bytes: Vec<u8> = (0..3 * 56 * 56).map(|at: usize| (at * at % 251) as u8).collect();
        let pixels = Tensor::from_data_size(&bytes, &[1, 3, 56, 56], Kind::Uint8);
        let middle = |pixels: &Tensor| pixels.narrow(2, 7, 42).narrow(3, 7, 42);
        let published = seen(Geometry::Published).views_of(&pixels);
        assert_eq!(published.size(), [views::COUNT as i64, 3, 56, 56]);
        assert!(middle(&published).equal(&views::augmented(&middle(&pixels))));
        assert!(seen(Geometry::Square).views_of(&pixels).equal(&views::augmented(&pixels)));
    }
}
