//! Differences between neighbours back to samples.

/// Adds up words of `size` bytes along each row of `columns` samples, `step` samples to a pixel.
pub(super) fn undo(words: &mut [u8], size: usize, columns: usize, step: usize) {
    for row in words.chunks_exact_mut(columns * size) {
        for at in step * size..row.len() {
            if at % size != 0 {
                continue;
            }
            let number =
                |bytes: &[u8]| bytes.iter().rev().fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
            let sum = number(&row[at..at + size]).wrapping_add(number(&row[at - step * size..][..size]));
            row[at..at + size].copy_from_slice(&sum.to_le_bytes()[..size]);
        }
    }
}

/// Floats whose bytes stand apart, the highest first, each as a difference (Adobe's technical note 3).
pub(super) fn floats(bytes: &[u8], size: usize, columns: usize, step: usize) -> Vec<u8> {
    let mut words = Vec::with_capacity(bytes.len());
    for row in bytes.chunks_exact(columns * size) {
        let mut row = row.to_vec();
        for at in step..row.len() {
            row[at] = row[at].wrapping_add(row[at - step]);
        }
        for column in 0..columns {
            words.extend((0..size).rev().map(|byte| row[byte * columns + column]));
        }
    }
    words
}
