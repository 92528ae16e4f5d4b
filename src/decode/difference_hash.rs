//! 64 bits that hardly change when a picture is scaled or compressed again.

use super::resize;
use crate::pixels::Pixels;

/// Is each of 8 x 8 cells darker than its right neighbour? The first cell is the highest bit.
pub fn difference_hash(pixels: &Pixels) -> u64 {
    let small = resize::lanczos(&pixels.to_grey(), 8, 9);
    let bit = |row: usize, column: usize| u64::from(small.at(row, column)[0] < small.at(row, column + 1)[0]);
    (0..64).fold(0, |hash, cell| hash << 1 | bit(cell / 8, cell % 8))
}
