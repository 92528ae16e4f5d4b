//! Packed samples to little-endian words of one, two, four or eight bytes.

/// `columns` samples of `bits` bits in each row, which ends at a byte.
pub(super) fn words(bytes: &[u8], bits: usize, columns: usize, big_endian: bool) -> Vec<u8> {
    let word = bits.div_ceil(8).next_power_of_two();
    if !bits.is_multiple_of(8) || bits == 24 {
        return packed(bytes, bits, columns, word);
    }
    let mut words = bytes.to_vec();
    if big_endian && word > 1 {
        words.chunks_exact_mut(word).for_each(<[u8]>::reverse);
    }
    words
}

/// Samples that do not end at bytes follow each other from the highest bit on.
fn packed(bytes: &[u8], bits: usize, columns: usize, word: usize) -> Vec<u8> {
    let mut words = Vec::with_capacity(bytes.len() * 8 / bits * word);
    for row in bytes.chunks_exact((columns * bits).div_ceil(8)) {
        for column in 0..columns {
            let (mut sample, mut place) = (0u32, column * bits);
            for _ in 0..bits {
                sample = sample << 1 | u32::from(row[place / 8] >> (7 - place % 8) & 1);
                place += 1;
            }
            words.extend_from_slice(&sample.to_le_bytes()[..word]);
        }
    }
    words
}
