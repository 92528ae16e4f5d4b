//! Pictures as the authors prepare them: turned at their own size, the shorter edge resized, and cut to whole patches at the
//! right and at the bottom.

use anyhow::{Result, ensure};

use super::rotation;
use crate::network::vit::Filter;
use crate::pixels::Pixels;

/// A picture may be so many times as long as it is wide, or the other way round: tokens grow with that.
const LONGEST: usize = 8;

/// An RGB picture as it enters the network: the shorter edge of `side` pixels, a multiple of `patch`, the other one in
/// proportion, rounded down and cut at its end to a multiple of `patch`.
///
/// # Errors
/// A picture that is a strip.
pub fn prepared(picture: &Pixels, side: i64, patch: i64) -> Result<Pixels> {
    let (height, width) = (picture.height(), picture.width());
    let shorter = height.min(width);
    ensure!(
        height.max(width) <= LONGEST * shorter,
        "{width} x {height} pixels are a strip: with geometry = \"published\" one edge may be {LONGEST} times as long as the \
         other; crop it, or leave geometry out"
    );
    let scaled = |edge: usize| (side as f64 * edge as f64 / shorter as f64) as usize;
    let resized = Filter::Bicubic.resize(picture, scaled(height), scaled(width));
    let whole = |edge: usize| edge - edge % patch as usize;
    let (height, width) = (whole(resized.height()), whole(resized.width()));
    let rows = resized.samples().chunks_exact(3 * resized.width()).take(height);
    Pixels::new(height, width, 3, rows.flat_map(|row| &row[..3 * width]).copied().collect())
}

/// An RGB picture turned by 0, 45, ..., 315 degrees against the clock at its own size, one after the other.
pub fn eighths(picture: &Pixels) -> impl Iterator<Item = Pixels> {
    let (size, planes) = ([picture.height(), picture.width()], picture.to_planes());
    (0..rotation::COUNT).map(move |step| {
        let turned = rotation::turned(&planes, size, 45.0 * step as f64);
        Pixels::from_planes(size[0], size[1], 3, &turned).expect("planes of the same size")
    })
}
