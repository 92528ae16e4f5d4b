//! Connected regions of a mask.

use crate::pixels::Pixels;

/// Which pixels touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbours {
    /// Those that share a side.
    Four,
    /// Also those that share a corner, as MVTec's evaluation has it.
    Eight,
}

/// For each pixel 0 outside of the mask (first channel 0), else the number of its region, from 1, in reading order
/// of their first pixels; and the regions' sizes.
pub fn components(mask: &Pixels, neighbours: Neighbours) -> (Vec<u32>, Vec<usize>) {
    let (height, width) = (mask.height(), mask.width());
    let inside = |at: usize| mask.samples()[at * mask.channels()] > 0;
    let mut regions = vec![0; height * width];
    let mut sizes = Vec::new();
    let mut open = Vec::new();
    for start in 0..regions.len() {
        if regions[start] != 0 || !inside(start) {
            continue;
        }
        sizes.push(0);
        let region = sizes.len() as u32;
        regions[start] = region;
        open.push(start);
        while let Some(at) = open.pop() {
            sizes[region as usize - 1] += 1;
            let (row, column) = (at / width, at % width);
            for near_row in row.saturating_sub(1)..(row + 2).min(height) {
                for near_column in column.saturating_sub(1)..(column + 2).min(width) {
                    let corner = near_row != row && near_column != column;
                    let near = near_row * width + near_column;
                    if regions[near] == 0 && inside(near) && !(corner && neighbours == Neighbours::Four) {
                        regions[near] = region;
                        open.push(near);
                    }
                }
            }
        }
    }
    (regions, sizes)
}
