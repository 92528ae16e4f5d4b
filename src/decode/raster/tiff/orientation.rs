//! The orientation tag: which corner of the picture the first sample is.

use crate::pixels::Pixels;

/// The picture as it is to be seen, and a word for the policy; Pillow turns a TIFF in the same way.
pub(super) fn upright(pixels: Pixels, orientation: u64) -> (Pixels, &'static str) {
    let (height, width, channels) = (pixels.height(), pixels.width(), pixels.channels());
    // Source row and column of a target row and column.
    let source: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        2 => |row, column, _, width| (row, width - 1 - column),
        3 => |row, column, height, width| (height - 1 - row, width - 1 - column),
        4 => |row, column, height, _| (height - 1 - row, column),
        5 => |row, column, _, _| (column, row),
        6 => |row, column, height, _| (height - 1 - column, row),
        7 => |row, column, height, width| (height - 1 - column, width - 1 - row),
        8 => |row, column, _, width| (column, width - 1 - row),
        _ => return (pixels, ""),
    };
    let (rows, columns) = if orientation >= 5 { (width, height) } else { (height, width) };
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let samples: Vec<u8> = places
        .flat_map(|(row, column)| {
            let (from_row, from_column) = source(row, column, height, width);
            pixels.at(from_row, from_column)
        })
        .copied()
        .collect();
    let turned = Pixels::new(rows, columns, channels, samples).expect("as many samples as before");
    (turned, "; turned as its orientation tag says")
}
