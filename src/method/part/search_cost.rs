//! What a search for nearest neighbours takes: scratch memory, so much at once, and operations.

use crate::method::work::CellSize;
use crate::network::Extractor;

/// Candidates beyond the neighbours asked for, at least 1; the more, the fewer queries are searched twice.
pub(super) const SPARE: usize = 2;

/// Queries and rows of the bank multiplied at once, at most.
const LARGEST: (usize, usize) = (1024, 8192);

/// Scratch memory in bytes where nothing else limits it.
pub const MAX_BYTES: usize = 256 << 20;

/// Bytes for each value of a candidate while its distance is computed: gathered, in double precision, and what sums take.
pub(super) const DIRECT_BYTES: usize = 24;

/// Scratch bytes for each pair of a query and a row while products of grids are brought to their size and sorted.
const PAIR_BYTES: i64 = 10;

/// The same of a coarse grid's product, brought to the size of the bank's pictures alone.
const BROUGHT_BYTES: i64 = 2;

/// How many pictures of queries, and rows of a bank of pictures, are compared at once grid by grid within `room`, given the
/// positions of each. `None` where it holds too few for that.
pub fn joined_at_once(positions: i64, of_bank: i64, room: usize) -> Option<(i64, i64)> {
    let (room, pair) = (room as i64 / 2, positions * of_bank);
    let pictures = room / (PAIR_BYTES + BROUGHT_BYTES) / pair;
    if pictures > 0 {
        let own = (LARGEST.0 as i64 / positions).clamp(1, pictures);
        return Some((own, (LARGEST.1 as i64 / of_bank).clamp(1, pictures / own) * of_bank));
    }
    // Equal parts of a picture.
    let most = (room - BROUGHT_BYTES * pair) / (PAIR_BYTES * positions);
    (64..=most).rev().find(|count| of_bank % count == 0).map(|count| (1, count))
}

/// Operations of comparing all positions of a picture with those of another, where stages `from..=3` are joined for them:
/// each stage's products are taken on its own grid, where scratch memory holds them.
pub fn joined_operations(extractor: Extractor, from: usize, cell: &CellSize) -> f64 {
    let stages = from - 1..3;
    let (channels, strides) = (&extractor.channels()[stages.clone()], &extractor.strides()[stages]);
    let products = |c: i64, stride: i64| 2.0 * c as f64 * cell.positions(stride).powi(2);
    let finest = cell.positions(strides[0]) as i64;
    let are_one_size = strides.iter().all(|stride| *stride == strides[0]);
    if are_one_size || joined_at_once(finest, finest, MAX_BYTES).is_none() {
        return products(channels.iter().sum(), strides[0]);
    }
    // Bringing products to the finest grid takes about as long again.
    2.0 * channels.iter().zip(strides).map(|(c, stride)| products(*c, *stride)).sum::<f64>()
}

/// Scratch bytes of a search, roughly from above: copies of queries and rows in double precision, the
/// product and what sorting it takes, candidates.
fn bytes(n_queries: usize, n_rows: usize, c: usize, k: usize) -> usize {
    let candidates = k + SPARE;
    let direct = n_queries * candidates * 64 + candidates * c * DIRECT_BYTES;
    (n_queries + n_rows) * c * 20 + n_queries * n_rows * 24 + n_rows * 24 + 2 * direct
}

/// The least scratch with which [`Bank::nearest`](super::nearest::Bank::nearest) works.
pub fn least_room(c: usize, k: usize) -> usize {
    2 * bytes(16, 64, c, k)
}

/// Queries and rows at once within `room`.
pub(super) fn chunks(room: usize, c: usize, k: usize) -> (usize, usize) {
    let (mut n_queries, mut n_rows) = LARGEST;
    while bytes(n_queries, n_rows, c, k) > room / 2 && (n_queries, n_rows) != (16, 64) {
        if n_rows > 4 * n_queries {
            n_rows /= 2;
        } else {
            n_queries /= 2;
        }
        (n_queries, n_rows) = (n_queries.max(16), n_rows.max(64));
    }
    (n_queries, n_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_compared_at_once_as_the_room_holds() {
        // SPADE at 128, 224 and 256 pixels, PatchCore at 128, and rooms for six pictures, for half of one, for less than 64 rows.
        assert_eq!(joined_at_once(1024, 1024, MAX_BYTES), Some((1, 8192)));
        assert_eq!(joined_at_once(3136, 3136, MAX_BYTES), Some((1, 3136)));
        assert_eq!(joined_at_once(4096, 4096, MAX_BYTES), Some((1, 2048)));
        assert_eq!(joined_at_once(256, 256, MAX_BYTES), Some((4, 8192)));
        assert_eq!(joined_at_once(1024, 128, 2 * 12 * 1024 * 128 * 6), Some((1, 768)));
        assert_eq!(joined_at_once(1024, 128, 2 * 1024 * (128 * 2 + 10 * 70)), Some((1, 64)));
        assert_eq!(joined_at_once(1024, 128, 2 * 1024 * (128 * 2 + 10 * 63)), None);
        assert_eq!(joined_at_once(192, 192, 600_000), Some((1, 96)));
    }
}
