//! Pictures as the authors prepare them: turned at their own size, the shorter edge resized, and cut to whole patches at the
//! right and at the bottom.

use tch::{Kind, Tensor};

use super::rotation;
use crate::network::vit::Filter;
use crate::pixels::Pixels;

/// An RGB picture as it enters the network: the shorter edge of `side` pixels, the other one in proportion and rounded down,
/// both cut to multiples of `patch`. `[1, 3, h, w]` of bytes.
///
/// `side` is a multiple of `patch`.
pub fn prepared(picture: &Pixels, side: i64, patch: i64) -> Tensor {
    let shorter = picture.height().min(picture.width());
    let scaled = |edge: usize| (side as f64 * edge as f64 / shorter as f64) as usize;
    let resized = Filter::Bicubic.resize(picture, scaled(picture.height()), scaled(picture.width()));
    let (h, w) = (resized.height() as i64, resized.width() as i64);
    let whole = |edge: i64| edge - edge % patch;
    Tensor::from_data_size(&resized.to_planes(), &[1, 3, h, w], Kind::Uint8)
        .narrow(2, 0, whole(h))
        .narrow(3, 0, whole(w))
        .contiguous()
}

/// An RGB picture turned by 0, 45, ..., 315 degrees against the clock, at its own size.
pub fn eighths(picture: &Pixels) -> Vec<Pixels> {
    let (size, planes) = ([picture.height(), picture.width()], picture.to_planes());
    let turned = |step: usize| {
        let turned = rotation::turned(&planes, size, 45.0 * step as f64);
        Pixels::from_planes(size[0], size[1], 3, &turned).expect("planes of the same size")
    };
    (0..rotation::COUNT).map(turned).collect()
}
