//! Random shapes of pseudo-anomalies: blots of noise, and sheared and turned rectangles and ellipses.

use std::f64::consts::{FRAC_PI_2, SQRT_2, TAU};

use crate::random::Stream;

/// Rows, then columns.
pub type Pair = [f64; 2];

/// A matrix, row by row.
pub type Matrix = [Pair; 2];

/// Pixels that belong to a shape, in the box round it.
pub struct Mask {
    /// Of the box.
    pub height: usize,
    /// Of the box.
    pub width: usize,
    /// Row by row.
    pub inside: Vec<bool>,
}

/// A blot holds at least this share of its box.
const LEAST_BLOT: f64 = 0.2;

/// Noise above this is inside.
const THRESHOLD: f64 = 0.3;

/// One cell of Perlin's noise over a box of `low` to `high` pixels a side, turned by up to a quarter, where it is high; drawn
/// until it fills enough.
pub fn blot(low: usize, high: usize, stream: &mut Stream) -> Mask {
    let mut side = || low + stream.below((high - low).max(1));
    let (height, width) = (side().max(1), side().max(1));
    loop {
        let noise = perlin(height, width, stream);
        let turned = turned(&noise, [height, width], stream.between(-FRAC_PI_2, FRAC_PI_2));
        let inside: Vec<bool> = turned.into_iter().map(|value| value > THRESHOLD).collect();
        let filled = inside.iter().filter(|inside| **inside).count() as f64;
        if filled >= LEAST_BLOT * inside.len() as f64 {
            return Mask { height, width, inside };
        }
    }
}

/// One cell of Perlin's gradient noise.
fn perlin(height: usize, width: usize, stream: &mut Stream) -> Vec<f64> {
    // Gradients at the corners: top left, top right, bottom left, bottom right.
    let gradients = [(); 4].map(|()| {
        let (sin, cos) = (TAU * stream.unit()).sin_cos();
        [cos, sin]
    });
    let fade = |t: f64| t * t * t * (t * (6.0 * t - 15.0) + 10.0);
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    let value = |at: usize| {
        let (y, x) = ((at / width) as f64 / height as f64, (at % width) as f64 / width as f64);
        let dot = |corner: usize, y: f64, x: f64| gradients[corner][0] * y + gradients[corner][1] * x;
        let (down, right) = (fade(y), fade(x));
        let left = mix(dot(0, y, x), dot(2, y - 1.0, x), down);
        let other = mix(dot(1, y, x - 1.0), dot(3, y - 1.0, x - 1.0), down);
        SQRT_2 * mix(left, other, right)
    };
    (0..height * width).map(value).collect()
}

/// A plane turned about its middle, bilinearly, 0 from outside.
fn turned(values: &[f64], [height, width]: [usize; 2], angle: f64) -> Vec<f64> {
    let (sin, cos) = angle.sin_cos();
    let middle = [height, width].map(|n| (n as f64 - 1.0) / 2.0);
    let pixel = |y: isize, x: isize| {
        let is_inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        if is_inside { values[y as usize * width + x as usize] } else { 0.0 }
    };
    let value = |at: usize| {
        let (y, x) = ((at / width) as f64 - middle[0], (at % width) as f64 - middle[1]);
        let (y, x) = (cos * y - sin * x + middle[0], sin * y + cos * x + middle[1]);
        let (top, left) = (y.floor(), x.floor());
        let (down, right) = (y - top, x - left);
        let along =
            |row: isize| pixel(row, left as isize) * (1.0 - right) + pixel(row, left as isize + 1) * right;
        along(top as isize) * (1.0 - down) + along(top as isize + 1) * down
    };
    (0..height * width).map(value).collect()
}

/// What a deformed shape was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outline {
    /// Its sides are its size.
    Rectangle,
    /// Its axes are its size.
    Ellipse,
}

/// The edge of a deformed shape about the origin.
pub struct Edge {
    /// Before it was deformed.
    pub outline: Outline,
    /// Before it was deformed.
    pub size: Pair,
    /// Deforms it.
    pub matrix: Matrix,
}

impl Edge {
    /// Whether it holds a place.
    fn holds(&self, place: Pair) -> bool {
        let [y, x] = times(inverse(self.matrix), place);
        let [half, other] = self.size.map(|size| size / 2.0);
        match self.outline {
            Outline::Rectangle => y.abs() <= half && x.abs() <= other,
            Outline::Ellipse => (y / half).powi(2) + (x / other).powi(2) <= 1.0,
        }
    }

    /// Where a ray from a place inside meets it.
    pub fn met(&self, origin: Pair, direction: Pair) -> Pair {
        let back = inverse(self.matrix);
        let (from, towards) = (times(back, origin), times(back, direction));
        let length = towards[0].hypot(towards[1]);
        let towards = towards.map(|part| part / length);
        let reach = match self.outline {
            Outline::Rectangle => [0, 1]
                .into_iter()
                .flat_map(|axis| {
                    let half = self.size[axis] / 2.0;
                    [half, -half].map(|edge| (edge - from[axis]) / towards[axis])
                })
                .filter(|reach| *reach >= 0.0)
                .fold(f64::INFINITY, f64::min),
            Outline::Ellipse => {
                let squares = self.size.map(|size| (size / 2.0).powi(2));
                let sum = |f: &dyn Fn(usize) -> f64| f(0) + f(1);
                let a = sum(&|axis| towards[axis].powi(2) / squares[axis]);
                let b = sum(&|axis| 2.0 * from[axis] * towards[axis] / squares[axis]);
                let c = sum(&|axis| from[axis].powi(2) / squares[axis]) - 1.0;
                // The place is inside, so that rounding alone can make this negative.
                (-b + (b * b - 4.0 * a * c).max(0.0).sqrt()) / (2.0 * a)
            }
        };
        times(self.matrix, [from[0] + towards[0] * reach, from[1] + towards[1] * reach])
    }
}

/// A sheared and turned rectangle or ellipse in pictures of `side` pixels, of `low` to `high` pixels a side before, and its edge
/// about the box's middle. It is scaled down where its box would be larger than `high`, to whole pixels round it: as published,
/// the box may have one more.
pub fn deformed(low: usize, high: usize, side: usize, stream: &mut Stream) -> (Mask, Edge) {
    let outline = if stream.below(2) == 0 { Outline::Rectangle } else { Outline::Ellipse };
    let size = [(); 2].map(|()| {
        // Gamma of shape 2 and scale 0.1.
        let gamma: f64 = [(); 2].map(|()| -0.1 * (1.0 - stream.unit()).ln()).iter().sum();
        ((0.03 + gamma) * side as f64).clamp(low as f64, high as f64).floor()
    });
    let sheared = [[1.0, 0.2 * stream.normal()], [0.2 * stream.normal(), 1.0]];
    let (sin, cos) = stream.between(-FRAC_PI_2, FRAC_PI_2).sin_cos();
    let mut edge = Edge { outline, size, matrix: product([[cos, -sin], [sin, cos]], sheared) };
    let mut reach = edge.reach();
    let larger = reach.map(|reach| (2.0 * reach + 1.0) / high as f64);
    let larger = larger[0].max(larger[1]);
    if larger > 1.0 {
        edge.matrix = edge.matrix.map(|row| row.map(|value| value / larger));
        reach = edge.reach();
    }
    let [height, width] = reach.map(|reach| 2 * reach as usize + 1);
    let place = |at: usize| [(at / width) as f64 - reach[0], (at % width) as f64 - reach[1]];
    let inside = (0..height * width).map(|at| edge.holds(place(at))).collect();
    (Mask { height, width, inside }, edge)
}

impl Edge {
    /// Whole pixels from the middle to the box's sides.
    fn reach(&self) -> Pair {
        let half = self.size.map(|size| (size - 1.0) / 2.0);
        let corners = [[half[0], half[1]], [half[0], -half[1]]].map(|corner| times(self.matrix, corner));
        [0, 1].map(|axis| corners[0][axis].abs().max(corners[1][axis].abs()).ceil())
    }
}

/// A matrix times a place.
pub fn times(matrix: Matrix, [y, x]: Pair) -> Pair {
    matrix.map(|row| row[0] * y + row[1] * x)
}

/// One matrix after another.
fn product(second: Matrix, first: Matrix) -> Matrix {
    second.map(|row| [0, 1].map(|column| row[0] * first[0][column] + row[1] * first[1][column]))
}

fn inverse([[a, b], [c, d]]: Matrix) -> Matrix {
    let determinant = a * d - b * c;
    [[d / determinant, -b / determinant], [-c / determinant, a / determinant]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blots_keep_to_their_box_and_fill_enough_of_it() {
        for index in 0..50 {
            let blot = blot(6, 30, &mut Stream::new(3, "blot", index));
            assert!((6..30).contains(&blot.height) && (6..30).contains(&blot.width));
            let filled = blot.inside.iter().filter(|inside| **inside).count();
            assert!(filled as f64 >= 0.2 * (blot.height * blot.width) as f64, "{index}: {filled}");
            assert!(filled < blot.inside.len(), "{index} is a box");
        }
    }

    #[test]
    fn shapes_hold_their_middle_and_end_at_their_edge() {
        for index in 0..50 {
            let (mask, edge) = deformed(12, 38, 64, &mut Stream::new(4, "shape", index));
            assert!(mask.height <= 39 && mask.width <= 39, "{index}: {} x {}", mask.height, mask.width);
            let middle = mask.height / 2 * mask.width + mask.width / 2;
            assert!(mask.inside[middle], "{index}");
            for direction in [[1.0, 0.0], [0.6, -0.8], [0.0, -1.0]] {
                let met = edge.met([0.0, 0.0], direction);
                let scaled = |factor: f64| met.map(|part| part * factor);
                assert!(edge.holds(scaled(0.999)) && !edge.holds(scaled(1.001)), "{index} {direction:?}");
            }
        }
    }
}
