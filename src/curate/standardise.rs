//! One file becomes a standardised picture and what the manifest says about it.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::decode::{self, resize};
use crate::files;
use crate::pixels::Pixels;

/// A decoded picture in the sizes asked for; its full resolution is not kept.
pub struct Standard {
    /// Of the file's picture.
    pub height: usize,
    pub width: usize,
    pub bits: u16,
    pub photometric: String,
    pub intensity_policy: String,
    /// RGB, `size x size`, in the order of the sizes asked for.
    pub pictures: Vec<Pixels>,
    pub pixel_hash: String,
    pub phash: String,
}

/// A lesion mask in the sizes asked for.
pub struct Mask {
    /// One channel, 0 or 255.
    pub pictures: Vec<Pixels>,
    pub hash: String,
}

/// Decodes and resizes one frame of a file.
pub fn picture(path: &Path, frame: u32, sizes: &[usize]) -> Result<Standard> {
    let decoded = decode::decode(&files::read(path)?, frame)?;
    let rgb = decoded.pixels.to_rgb();
    let pictures = sizes.iter().map(|&size| resize::lanczos(&rgb, size, size)).collect();
    let (pixel_hash, phash) = (decoded.pixels.hash(), difference_hash(&decoded.pixels));
    let (height, width) = (decoded.pixels.height(), decoded.pixels.width());
    let decode::Decoded { bits, photometric, intensity_policy, .. } = decoded;
    Ok(Standard { height, width, bits, photometric, intensity_policy, pictures, pixel_hash, phash })
}

/// Decodes and resizes a mask, which must have its picture's shape.
pub fn mask(path: &Path, picture: &Standard, sizes: &[usize]) -> Result<Mask> {
    let read = || -> Result<Mask> {
        let grey = decode::decode(&files::read(path)?, 0)?.pixels.to_grey();
        ensure!(
            (grey.height(), grey.width()) == (picture.height, picture.width),
            "it is {} x {}, its picture {} x {}",
            grey.height(),
            grey.width(),
            picture.height,
            picture.width
        );
        let pictures = sizes
            .iter()
            .map(|&size| threshold(&resize::lanczos(&grey, size, size)))
            .collect::<Result<_>>()?;
        Ok(Mask { pictures, hash: grey.hash() })
    };
    read().with_context(|| format!("mask {}", path.display()))
}

fn threshold(grey: &Pixels) -> Result<Pixels> {
    let samples = grey.samples().iter().map(|&v| if v < 128 { 0 } else { 255 }).collect();
    Pixels::new(grey.height(), grey.width(), 1, samples)
}

/// 64-bit difference hash: is each of 8 x 8 cells darker than its right neighbour?
fn difference_hash(pixels: &Pixels) -> String {
    let small = resize::lanczos(&pixels.to_grey(), 8, 9);
    let bit = |row: usize, column: usize| u64::from(small.at(row, column)[0] < small.at(row, column + 1)[0]);
    let hash = (0..64).fold(0u64, |hash, cell| hash << 1 | bit(cell / 8, cell % 8));
    format!("{hash:016x}")
}
