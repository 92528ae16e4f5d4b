//! Pictures as the authors prepare them: turned at their own size, the shorter edge resized, and cut to whole patches at the
//! right and at the bottom.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::rotation;
use crate::network::vit::Filter;
use crate::pixels::Pixels;

/// How many times as long as the other one edge may be: tokens grow with that.
const LONGEST: usize = 8;

/// Refuses a picture that would have too many tokens.
///
/// # Errors
/// Names its size and what to do.
pub fn refuse_strip(picture: &Pixels) -> Result<()> {
    let (height, width) = (picture.height(), picture.width());
    ensure!(
        height.max(width) <= LONGEST * height.min(width),
        "{width} x {height} pixels are a strip: with geometry = \"published\" one edge may be at most {LONGEST} times as long as \
         the other; crop it, or leave geometry out"
    );
    Ok(())
}

/// An RGB picture as it enters the network: the shorter edge of `side` pixels, a multiple of `patch`, the other one in
/// proportion, rounded down and cut at its end to a multiple of `patch`.
pub fn prepared(picture: &Pixels, side: i64, patch: i64) -> Pixels {
    let (height, width) = (picture.height(), picture.width());
    let scaled = |edge: usize| (side as f64 * edge as f64 / height.min(width) as f64) as usize;
    let resized = Filter::Bicubic.resize(picture, scaled(height), scaled(width));
    let whole = |edge: usize| edge - edge % patch as usize;
    let (height, width) = (whole(resized.height()), whole(resized.width()));
    let rows = resized.samples().chunks_exact(3 * resized.width()).take(height);
    let samples = rows.flat_map(|row| &row[..3 * width]).copied().collect();
    Pixels::new(height, width, 3, samples).expect("a part of a picture")
}

/// An RGB picture turned by 0, 45, ..., 315 degrees against the clock at its own size.
pub fn eighths(picture: &Pixels) -> Vec<Pixels> {
    let (size, planes) = ([picture.height(), picture.width()], picture.to_planes());
    let turned = |step: usize| {
        let turned = rotation::turned(&planes, size, 45.0 * step as f64);
        Pixels::from_planes(size[0], size[1], 3, &turned).expect("planes of the same size")
    };
    (0..rotation::COUNT).into_par_iter().map(turned).collect()
}
