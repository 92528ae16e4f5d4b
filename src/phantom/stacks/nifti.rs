//! Slices as a packed NIfTI-1 file of unsigned bytes, axes to the right, to the front and up, voxels of 1 mm.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::pixels::Pixels;

/// Bytes before the voxels: the header, and four that say that no extension follows.
const START: usize = 352;

/// A volume of slices from the feet up, each as a radiologist sees it: the patient's right on the left, the front above.
pub(super) fn volume(slices: &[Pixels], value: impl Fn(u8) -> u8) -> Result<Vec<u8>> {
    let first = slices.first().context("a volume has slices")?;
    let (width, height) = (first.width(), first.height());
    ensure!(
        slices.iter().all(|slice| (slice.width(), slice.height(), slice.channels()) == (width, height, 1)),
        "slices of a volume are grey and of one size"
    );
    let mut bytes = header([width, height, slices.len()]);
    for slice in slices {
        let samples = slice.samples();
        for row in (0..height).rev() {
            let row = &samples[row * width..(row + 1) * width];
            bytes.extend(row.iter().rev().map(|&sample| value(sample)));
        }
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&bytes)?;
    Ok(packed.finish()?)
}

/// The fields of NIfTI-1 that are not zero.
fn header(shape: [usize; 3]) -> Vec<u8> {
    let mut bytes = vec![0; START];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348i32.to_le_bytes());
    let dimensions = [3, shape[0], shape[1], shape[2], 1, 1, 1, 1];
    for (place, dimension) in dimensions.into_iter().enumerate() {
        put(40 + 2 * place, &(dimension as u16).to_le_bytes());
    }
    // Unsigned bytes, of 8 bits.
    put(70, &2i16.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    for at in [76, 80, 84, 88] {
        put(at, &1f32.to_le_bytes());
    }
    put(108, &(START as f32).to_le_bytes());
    // Values as they are stored.
    put(112, &1f32.to_le_bytes());
    // Axes as the scanner has them: the identity.
    put(254, &1i16.to_le_bytes());
    for at in [280, 300, 320] {
        put(at, &1f32.to_le_bytes());
    }
    put(344, b"n+1\0");
    bytes
}
