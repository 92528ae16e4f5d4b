//! Damage to bytes.

use crate::random::Stream;

/// Bytes of a header, which are hit as often as all the rest.
const HEADER: usize = 600;

/// Flips bits, overwrites numbers, cuts, repeats or drops a piece: one to four times.
pub fn damage(bytes: &mut Vec<u8>, stream: &mut Stream) {
    for _ in 0..=stream.below(4) {
        if bytes.is_empty() {
            return;
        }
        let reach = if stream.below(2) == 0 { bytes.len().min(HEADER) } else { bytes.len() };
        let at = stream.below(reach);
        let end = at + (1 + stream.below(8)).min(bytes.len() - at);
        match stream.below(8) {
            0 | 1 => bytes[at] ^= 1 << stream.below(8),
            2 => bytes[at..end].fill(0xff),
            3 => bytes[at..end].fill(0),
            4 => bytes[at] = stream.below(256) as u8,
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..end)),
            _ => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Makes the checksums of a PNG's chunks right again, so that damage gets past them.
pub(super) fn mend_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= bytes.len()) else { return };
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
}
