//! Smooth noise: random heights on a grid, blended between its knots.

use crate::phantom::shape::Point;
use crate::random::Stream;

/// Knots on a side; the pattern repeats after as many.
const KNOTS: usize = 32;

/// A smooth random surface.
pub(super) struct Noise {
    heights: Vec<f64>,
}

impl Noise {
    /// A surface of its own for `stream`.
    pub(super) fn new(stream: &mut Stream) -> Noise {
        Noise { heights: (0..KNOTS * KNOTS).map(|_| stream.between(-1.0, 1.0)).collect() }
    }

    /// Height in -1 to 1 at `place`, with `knots` grid knots to a picture height along x and y.
    pub(super) fn at(&self, place: Point, knots: Point) -> f64 {
        let [x, y] = [place[0] * knots[0], place[1] * knots[1]];
        let [column, row] = [x.floor(), y.floor()];
        let [u, v] = [ease(x - column), ease(y - row)];
        let [column, row] = [column as i64, row as i64];
        let upper = blend(self.knot(column, row), self.knot(column + 1, row), u);
        let lower = blend(self.knot(column, row + 1), self.knot(column + 1, row + 1), u);
        blend(upper, lower, v)
    }

    fn knot(&self, column: i64, row: i64) -> f64 {
        let wrap = |index: i64| index.rem_euclid(KNOTS as i64) as usize;
        self.heights[wrap(row) * KNOTS + wrap(column)]
    }
}

fn ease(t: f64) -> f64 {
    t * t * (3.0 - 2.0 * t)
}

fn blend(from: f64, to: f64, t: f64) -> f64 {
    from + (to - from) * t
}
