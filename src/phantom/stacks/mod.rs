//! Studies: volumes of a few slices with masks, of three tasks, in the layout of the source `brats`. A lesion is a ball, so
//! it is in a few slices of its volume and the others are normal.

use std::path::Path;

use anyhow::Result;
use indicatif::ParallelProgressIterator;
use rayon::prelude::*;

use super::Summary;
use super::canvas::Canvas;
use super::mask::Mask;
use crate::random::Stream;
use crate::{files, progress};
use anatomy::Patient;

mod anatomy;
mod nifti;

/// Side of a slice in voxels.
const SIDE: usize = 64;
/// Slices of a volume.
const SLICES: usize = 8;
/// Healthy volumes, and ill ones.
const HEALTHY: usize = 36;
const ILL: usize = 20;

/// Draws a patient's slice at a height from 0 to 1, with the lesion's share of it, if the slice meets it.
type Draw = fn(&Patient, f64, &mut Stream) -> (Canvas, Mask);

/// The tasks by their folders, which are named after them.
const TASKS: [(&str, Draw); 3] = [
    ("brain-stacks", anatomy::brain),
    ("chest-stacks", anatomy::chest),
    ("abdomen-stacks", anatomy::abdomen),
];

/// Draws all volumes below `root`: same seed, same bytes.
pub(super) fn write(root: &Path, seed: u64) -> Result<Summary> {
    let mut summary = Summary::default();
    for (name, draw) in TASKS {
        let bar = progress::bar(HEALTHY + ILL, &format!("drawing {name}"));
        // Every volume has a mask; of healthy ones it is empty, which says that somebody looked.
        let bytes = (0..HEALTHY + ILL)
            .into_par_iter()
            .progress_with(bar.clone())
            .map(|number| write_one(root, (name, draw), number, seed))
            .collect::<Result<Vec<u64>>>()?;
        summary.pictures += bytes.len();
        summary.masks += bytes.len();
        summary.bytes += bytes.iter().sum::<u64>();
    }
    Ok(summary)
}

fn write_one(root: &Path, (name, draw): (&str, Draw), number: usize, seed: u64) -> Result<u64> {
    let mut stream = Stream::new(seed, &format!("phantom {name}"), number as u64);
    // Ill ones are spread among healthy ones: nothing in a name or an order tells them.
    let is_ill = number * ILL / (HEALTHY + ILL) != (number + 1) * ILL / (HEALTHY + ILL);
    let patient = Patient::new(is_ill, &mut stream);
    let (mut pictures, mut masks) = (Vec::new(), Vec::new());
    for slice in 0..SLICES {
        let height = (slice as f64 + 0.5) / SLICES as f64;
        let (canvas, mask) = draw(&patient, height, &mut stream);
        pictures.push(canvas.to_grey()?);
        masks.push(mask.to_pixels()?);
    }
    let case = format!("case_{number:03}");
    let of = |ending: &str| root.join(name).join(&case).join(format!("{case}_{ending}.nii.gz"));
    let volume = nifti::volume(&pictures, |sample| sample)?;
    files::write_unsynced(&of("flair"), &volume)?;
    files::write_unsynced(&of("seg"), &nifti::volume(&masks, |sample| sample.min(1))?)?;
    Ok(volume.len() as u64)
}
