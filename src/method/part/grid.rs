//! From feature grids to raw maps of the pictures' size.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::maps::MapStack;

/// Grids `[b, h, w]` upsampled bilinearly to `side x side`; `align_corners` as the method's authors have it.
pub fn upsample(grids: &Tensor, side: i64, align_corners: bool) -> Tensor {
    grids.unsqueeze(1).upsample_bilinear2d([side, side], align_corners, None, None).squeeze_dim(1)
}

/// Maps of whole pictures of `size` pixels from those of what is seen of them, `[n, side, side]`: what was cut off is as
/// anomalous as the nearest pixel that was not.
pub fn whole(seen: &Tensor, margin: i64, size: i64) -> Tensor {
    let whole = seen.unsqueeze(1).replication_pad2d([margin; 4]).squeeze_dim(1);
    if whole.size()[1] == size { whole } else { upsample(&whole, size, false) }
}

/// Maps `[b, h, w]` out of libtorch.
///
/// # Errors
/// A tensor of other than three dimensions.
pub fn to_maps(maps: &Tensor) -> Result<MapStack> {
    let (count, height, width) = maps.size3()?;
    let flat = maps.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().flatten(0, -1);
    MapStack::new(count as usize, height as usize, width as usize, Vec::try_from(flat)?)
}

/// Scores `[b]` out of libtorch.
///
/// # Errors
/// A tensor of other than one dimension.
pub fn to_scores(scores: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(scores.to_device(Device::Cpu).to_kind(Kind::Double).contiguous())?)
}

/// One vector per position: `[b, c, h, w]` to `[b * h * w, c]`, row by row, picture after picture.
pub fn positions(features: &Tensor) -> Tensor {
    let c = features.size()[1];
    features.permute([0, 2, 3, 1]).reshape([-1, c])
}

/// `[b, c, h, w]` to `[b, h, w, c]`, contiguous. Picture by picture: libtorch turns matrices tile by tile.
pub fn channels_last(features: &Tensor) -> Tensor {
    let [b, c, h, w] = features.size()[..] else { panic!("features are [b, c, h, w]") };
    let turned = Tensor::empty([b, h, w, c], (features.kind(), features.device()));
    for picture in 0..b {
        let to = turned.get(picture);
        to.view([h * w, c]).copy_(&features.get(picture).flatten(1, 2).tr());
    }
    turned
}

/// Coarser scales brought to the first one's grid and joined along channels, `[b, sum of c, h, w]`.
/// Bilinear without aligned corners (PatchCore), or nearest (PaDiM, RegAD).
pub fn joined(scales: &[&Tensor], bilinear: bool) -> Tensor {
    let size = [scales[0].size()[2], scales[0].size()[3]];
    let part = |scale: &&Tensor| match (scale.size()[2..] == size, bilinear) {
        (true, _) => scale.shallow_clone(),
        (false, true) => scale.upsample_bilinear2d(size, false, None, None),
        (false, false) => scale.upsample_nearest2d(size, None, None),
    };
    Tensor::cat(&scales.iter().map(part).collect::<Vec<_>>(), 1)
}

/// Positions of what [`joined`] makes bilinearly, without the passes over memory that joining takes.
pub fn joined_positions(scales: &[Tensor]) -> Tensor {
    let (b, c) = (scales[0].size()[0], scales.iter().map(|scale| scale.size()[1]).sum());
    let size = [scales[0].size()[2], scales[0].size()[3]];
    let positions = Tensor::empty([b, size[0], size[1], c], (scales[0].kind(), scales[0].device()));
    let mut at = 0;
    for scale in scales {
        let c = scale.size()[1];
        let own = positions.narrow(3, at, c);
        at += c;
        // Caches hold one picture.
        for (mut to, from) in own.split(1, 0).into_iter().zip(scale.split(1, 0)) {
            let from = if scale.size()[2..] == size {
                from
            } else {
                from.upsample_bilinear2d(size, false, None, None)
            };
            to.copy_(&from.permute([0, 2, 3, 1]));
        }
    }
    positions.view([-1, c])
}
