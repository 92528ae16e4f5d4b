//! RLE Lossless, PS3.5 Annex G: one PackBits segment for each byte of each sample, of any depth.

use anyhow::{Context, Result, ensure};

use super::super::packbits;

/// Number of segments and 15 offsets.
const HEADER: usize = 64;

/// Decodes a frame of `pixels` pixels to `[pixels, samples, bytes]`, samples little-endian of `size` bytes.
pub(super) fn decode(frame: &[u8], pixels: usize, samples: usize, size: usize) -> Result<Vec<u8>> {
    let word = |index: usize| {
        let bytes = frame.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let n_segments = word(0).filter(|_| frame.len() >= HEADER).context("the RLE frame lacks its header")?;
    ensure!(
        n_segments == samples * size && n_segments < HEADER / 4,
        "the RLE frame has {n_segments} segments, its picture needs {}",
        samples * size
    );
    let mut decoded = vec![0; pixels * samples * size];
    for segment in 0..n_segments {
        let start = word(1 + segment).unwrap_or(0);
        let end = if segment + 1 < n_segments { word(2 + segment).unwrap_or(0) } else { frame.len() };
        let packed = frame.get(start..end).filter(|_| start >= HEADER);
        let packed = packed.with_context(|| format!("RLE segment {segment} lies outside its frame"))?;
        // The most significant byte comes first.
        let place = (segment / size) * size + (size - 1 - segment % size);
        let places = decoded.iter_mut().skip(place).step_by(samples * size);
        let missing = packbits::unpack(packed, places);
        ensure!(
            missing == 0,
            "the RLE frame is cut off: segment {segment} lacks {missing} bytes of {pixels}"
        );
    }
    Ok(decoded)
}
