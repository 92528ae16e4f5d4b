//! RLE Lossless, PS3.5 Annex G: one PackBits segment for each byte of each sample, of any depth.

use anyhow::{Context, Result, ensure};

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
        let missing = unpack(packed, places);
        ensure!(
            missing == 0,
            "the RLE frame is cut off: segment {segment} lacks {missing} bytes of {pixels}"
        );
    }
    Ok(decoded)
}

/// PackBits into the places given; says how many stayed empty. Bytes beyond are padding.
fn unpack<'a>(mut packed: &[u8], mut places: impl ExactSizeIterator<Item = &'a mut u8>) -> usize {
    while let [control, rest @ ..] = packed {
        let control = *control as i8;
        let taken = match control {
            -128 => 0,
            0.. => (control as usize + 1).min(rest.len()),
            _ => 1.min(rest.len()),
        };
        match control {
            -128 => {}
            0.. => rest[..taken].iter().zip(places.by_ref()).for_each(|(&byte, place)| *place = byte),
            _ => {
                let Some(&byte) = rest.first() else { break };
                places.by_ref().take(1 - isize::from(control) as usize).for_each(|place| *place = byte);
            }
        }
        packed = &rest[taken..];
        if places.len() == 0 {
            break;
        }
    }
    places.len()
}
