//! Our side: decoding and resizing on all threads, and the comparison with what Python loaded.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde::Serialize;

use crate::decode::{self, resize};
use crate::spec::Reading;

/// Loads pictures into `block`, `[pictures, size, size, 3]`; returns the seconds that this took.
///
/// # Errors
/// The first file that cannot be read, by name.
pub(super) fn run(paths: &[PathBuf], size: usize, block: &mut [u8]) -> Result<f64> {
    let clock = Instant::now();
    let places = block.par_chunks_exact_mut(size * size * 3);
    paths.par_iter().zip(places).try_for_each(|(path, place)| {
        load(path, size, place).with_context(|| format!("loading {}", path.display()))
    })?;
    Ok(clock.elapsed().as_secs_f64())
}

/// As curation does it: channels are resized apart, so grey is repeated last.
fn load(path: &Path, size: usize, place: &mut [u8]) -> Result<()> {
    let decoded = decode::frames(path, &[0], &Reading::default())?.remove(0)?;
    let small = resize::lanczos(&decoded.pixels, size, size);
    place.copy_from_slice(small.to_rgb().samples());
    Ok(())
}

/// How far two loaders' pictures are apart, in grey levels of 256.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Apart {
    /// Mean over all pictures.
    pub mean: f64,
    /// Mean over the picture that is furthest apart.
    pub worst: f64,
}

/// Two loaders did the same work if no picture's mean difference is larger: JPEG decoders and roundings of
/// windows differ by a level here and there.
const SAME: f64 = 1.0;

impl Apart {
    /// Compares pictures of equal shape: path, ours, theirs.
    ///
    /// # Errors
    /// The first picture that is too far apart, by name.
    pub(super) fn of<'a>(pictures: impl Iterator<Item = (&'a PathBuf, &'a [u8], &'a [u8])>) -> Result<Apart> {
        let (mut sum, mut worst, mut count) = (0.0, 0.0, 0u32);
        for (path, ours, theirs) in pictures {
            let levels: u64 = ours.iter().zip(theirs).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = levels as f64 / ours.len() as f64;
            ensure!(
                mean <= SAME,
                "the loaders give other pictures of {}: {mean:.2} of 256 levels apart in the mean, so their \
                 times do not compare; leave the file out",
                path.display()
            );
            (sum, worst, count) = (sum + mean, mean.max(worst), count + 1);
        }
        Ok(Apart { mean: sum / f64::from(count), worst })
    }
}
