//! What is said of pictures by the middles of adapters: against texts, and against normals that are remembered.

use tch::{Kind, Tensor};

use crate::method::part::direction::unit;
use crate::method::part::grid;

/// Factor of cosines with texts.
const TEXT_FACTOR: f64 = 100.0;

/// Without the class token's row.
fn patches(middle: &Tensor) -> Tensor {
    middle.narrow(1, 1, middle.size()[1] - 1)
}

/// Mean over layers.
fn mean(of_layers: impl Iterator<Item = Tensor>) -> Tensor {
    Tensor::stack(&of_layers.collect::<Vec<_>>(), 0).mean_dim(0, false, None::<Kind>)
}

/// Likeness of one layer's patches to a normal and an anomalous text, `[n, h w, 2]`; texts are of length 1, `[m, 2, joint]`,
/// where `m` is the number of pictures, or 1 for all of them.
fn likeness(middle: &Tensor, texts: &Tensor) -> Tensor {
    unit(&patches(middle), -1).matmul(&texts.transpose(1, 2)) * TEXT_FACTOR
}

/// The chance of an anomaly by one layer, mean over patches, `[n]`.
pub(super) fn chance(middle: &Tensor, texts: &Tensor) -> Tensor {
    let chances = likeness(middle, texts).softmax(-1, None::<Kind>).select(2, 1);
    chances.mean_dim(1, false, None::<Kind>)
}

/// Chances of normal and anomalous at each pixel by one layer, `[n, 2, side, side]`: likeness is up-sampled.
pub fn pixel_chances(middle: &Tensor, texts: &Tensor, side: i64) -> Tensor {
    let likeness = likeness(middle, texts);
    let (n, patches, _) = likeness.size3().expect("[n, h w, 2]");
    let along = patches.isqrt();
    let grids = likeness.transpose(1, 2).reshape([n, 2, along, along]);
    grids.upsample_bilinear2d([side, side], true, None, None).softmax(1, None::<Kind>)
}

/// The chance of an anomaly, mean over layers, `[n]`; the published sum is as many times as much.
pub fn chances(middles: &[Tensor], texts: &Tensor) -> Tensor {
    mean(middles.iter().map(|middle| chance(middle, texts)))
}

/// The same at each pixel, `[n, side, side]`.
pub fn chance_maps(middles: &[Tensor], texts: &Tensor, side: i64) -> Tensor {
    mean(middles.iter().map(|middle| pixel_chances(middle, texts, side).select(1, 1)))
}

/// Tokens of normals as they are remembered, of each layer `[n (1 + h w), joint]` of length 1. As published, the class token
/// is one of them.
pub fn remembered(middles: &[Tensor]) -> Vec<Tensor> {
    middles.iter().map(|middle| unit(&middle.flatten(0, 1), -1)).collect()
}

/// How far each patch is from the nearest that is remembered, on the patches' grid `[n, h, w]`: one less the cosine, mean over
/// layers; the published sum is as many times as much.
pub fn distances(middles: &[Tensor], memory: &[Tensor]) -> Tensor {
    let of_layer = |(middle, memory): (&Tensor, &Tensor)| {
        let patches = unit(&patches(middle), -1);
        // Picture by picture, so that the product with a large memory stays small.
        let of_picture = |patches: Tensor| 1.0 - patches.matmul(&memory.tr()).amax([1i64].as_slice(), false);
        let distances: Vec<Tensor> = patches.unbind(0).into_iter().map(of_picture).collect();
        Tensor::stack(&distances, 0)
    };
    let distances = mean(middles.iter().zip(memory).map(of_layer));
    let along = distances.size()[1].isqrt();
    distances.view([-1, along, along])
}

/// Such distances at each pixel, `[n, side, side]`.
pub fn distance_maps(distances: &Tensor, side: i64) -> Tensor {
    grid::upsample(distances, side, true)
}

/// The published scores of pictures by distances, `[n]`: means of maps of the network's side, whatever side pictures have.
pub fn distance_scores(distances: &Tensor, side: i64) -> Tensor {
    distance_maps(distances, side).mean_dim([1i64, 2].as_slice(), false, None::<Kind>)
}
