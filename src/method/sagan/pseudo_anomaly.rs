//! SAGAN's pseudo-anomalies: a square of a normal picture blended with the same place of another one.

use tch::Tensor;

use crate::random::Stream;

/// Share of the side, in the middle, that centres lie in.
const CORE: f64 = 0.6;
/// Half of a square's side, as shares of the picture's: the least, and what it stays below.
const HALF: [f64; 2] = [0.05, 0.2];

/// Where a picture is blended with which other one, and how strongly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Square {
    /// First row and the one after the last.
    pub rows: [i64; 2],
    /// First column and the one after the last.
    pub columns: [i64; 2],
    /// The other picture.
    pub other: i64,
    /// The other picture's share.
    pub share: f64,
}

impl Square {
    /// Draws one for a picture of `side` x `side` pixels, number `index` of `n` that can be blended, which are two or
    /// more.
    pub fn draw(side: i64, index: i64, n: usize, stream: &mut Stream) -> Square {
        let whole = side as f64;
        let first = (whole * (1.0 - CORE) / 2.0) as i64;
        let end = (whole * (1.0 - CORE) / 2.0 + whole * CORE) as i64;
        let [row, column] = [0, 1].map(|_| first + stream.below((end - first) as usize) as i64);
        let [least, most] = HALF.map(|share| (share * whole).round() as i64);
        let half = least + stream.below((most - least).max(1) as usize) as i64;
        let around = |centre: i64| [(centre - half).max(0), (centre + half).min(side)];
        Square {
            rows: around(row),
            columns: around(column),
            share: stream.unit(),
            other: stream.other_than(index as usize, n) as i64,
        }
    }
}

/// `pictures` `[b, 1, side, side]`, each blended in its square with its other one, at the same place of `others`.
pub fn blended(pictures: &Tensor, others: &Tensor, squares: &[Square]) -> Tensor {
    let (b, _, height, width) = pictures.size4().expect("pictures are [b, 1, h, w]");
    let mut shares = vec![0f32; (b * height * width) as usize];
    for (index, square) in squares.iter().enumerate() {
        for row in square.rows[0]..square.rows[1] {
            let start = (index as i64 * height + row) * width;
            let columns = (start + square.columns[0]) as usize..(start + square.columns[1]) as usize;
            shares[columns].fill(square.share as f32);
        }
    }
    let shares = Tensor::from_slice(&shares).view([b, 1, height, width]).to_device(pictures.device());
    (1.0 - &shares) * pictures + shares * others
}
