//! Grey values between the pixels of a plane, by cubic splines, with scipy's two kinds of border.

/// Square root of 3 less 2: the pole of the filter that turns values into weights of splines.
const POLE: f64 = -0.267_949_192_431_122_7;

/// Rows and columns that repeat the edge before the filter, as scipy adds them.
const PADDING: usize = 12;

/// What lies outside of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// The edge's values go on.
    Edge,
    /// Nothing: 0.
    Zero,
}

/// A plane as splines.
pub struct Spline {
    weights: Vec<f64>,
    height: usize,
    width: usize,
    border: Border,
}

impl Spline {
    /// Through the values of a plane of `height` x `width`, row by row.
    pub fn new(values: &[f64], [height, width]: [usize; 2], border: Border) -> Spline {
        let pad = if border == Border::Edge { PADDING } else { 0 };
        let (rows, columns) = (height + 2 * pad, width + 2 * pad);
        let inside = |at: usize, n: usize| at.saturating_sub(pad).min(n - 1);
        let mut weights: Vec<f64> = (0..rows * columns)
            .map(|at| values[inside(at / columns, height) * width + inside(at % columns, width)])
            .collect();
        let mut line = vec![0.0; rows];
        for column in 0..columns {
            (0..rows).for_each(|row| line[row] = weights[row * columns + column]);
            filter(&mut line, border);
            (0..rows).for_each(|row| weights[row * columns + column] = line[row]);
        }
        weights.chunks_exact_mut(columns).for_each(|row| filter(row, border));
        Spline { weights, height, width, border }
    }

    /// The value at a row and column, both counted from the middle of the first pixel.
    pub fn at(&self, [y, x]: [f64; 2]) -> f64 {
        let last = [self.height, self.width].map(|n| (n - 1) as f64);
        let (place, pad) = match self.border {
            Border::Zero if y < 0.0 || x < 0.0 || y > last[0] || x > last[1] => return 0.0,
            Border::Zero => ([y, x], 0),
            Border::Edge => {
                ([y.clamp(0.0, last[0]), x.clamp(0.0, last[1])].map(|at| at + PADDING as f64), PADDING)
            }
        };
        let (rows, columns) = (self.height + 2 * pad, self.width + 2 * pad);
        let [by_row, by_column] = [(place[0], rows), (place[1], columns)].map(|(at, n)| taps(at, n));
        let along = |row: usize| -> f64 {
            by_column.iter().map(|(column, share)| share * self.weights[row * columns + column]).sum()
        };
        by_row.iter().map(|&(row, share)| share * along(row)).sum()
    }
}

/// Four neighbours of a place among `n`, mirrored at the ends, and their shares.
fn taps(at: f64, n: usize) -> [(usize, f64); 4] {
    let (first, t) = (at.floor() as isize - 1, at - at.floor());
    let near = |t: f64| (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0;
    let far = |t: f64| t * t * t / 6.0;
    let shares = [far(1.0 - t), near(t), near(1.0 - t), far(t)];
    [0, 1, 2, 3].map(|step| (mirrored(first + step as isize, n), shares[step]))
}

/// A place of a row of `n` that goes on as its own reflection without repeating the ends.
fn mirrored(place: isize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as isize - 1);
    let within = place.rem_euclid(period);
    within.min(period - within) as usize
}

/// Turns the values of a line into weights.
fn filter(line: &mut [f64], border: Border) {
    let n = line.len();
    if n < 2 {
        return;
    }
    let gain = (1.0 - POLE) * (1.0 - 1.0 / POLE);
    line.iter_mut().for_each(|value| *value *= gain);
    match border {
        Border::Edge => {
            let first = line[0];
            let end = POLE.powi(n as i32);
            let mut sum = first + end * line[n - 1];
            let mut power = POLE;
            for at in 1..n {
                sum += power * (line[at] + end * line[n - 1 - at]);
                power *= POLE;
            }
            line[0] = sum * POLE / (1.0 - end * end) + first;
        }
        Border::Zero => {
            let end = POLE.powi(n as i32 - 1);
            let mut sum = line[0] + end * line[n - 1];
            let mut power = POLE;
            for at in 1..n - 1 {
                sum += power * (line[at] + end * line[n - 1 - at]);
                power *= POLE;
            }
            line[0] = sum / (1.0 - end * end);
        }
    }
    for at in 1..n {
        line[at] += POLE * line[at - 1];
    }
    line[n - 1] = match border {
        Border::Edge => line[n - 1] * POLE / (POLE - 1.0),
        Border::Zero => (POLE * line[n - 2] + line[n - 1]) * POLE / (POLE * POLE - 1.0),
    };
    for at in (0..n - 1).rev() {
        line[at] = POLE * (line[at + 1] - line[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn a_spline_passes_through_its_pixels_and_follows_a_slope() {
        let mut stream = Stream::new(1, "plane", 0);
        let values: Vec<f64> = (0..7 * 9).map(|_| stream.unit()).collect();
        for border in [Border::Edge, Border::Zero] {
            let spline = Spline::new(&values, [7, 9], border);
            for (at, value) in values.iter().enumerate() {
                let found = spline.at([(at / 9) as f64, (at % 9) as f64]);
                assert!((found - value).abs() < 1e-9, "{border:?} {at}: {found}");
            }
        }
        let slope: Vec<f64> = (0..400).map(|at| f64::from(at % 20) + 2.0 * f64::from(at / 20)).collect();
        let middle = Spline::new(&slope, [20, 20], Border::Zero).at([9.3, 10.6]);
        assert!((middle - (10.6 + 18.6)).abs() < 1e-4, "{middle}");
    }

    #[test]
    fn outside_is_the_edge_or_nothing() {
        let values = [1.0, 2.0, 3.0, 4.0];
        let at = |border, place| Spline::new(&values, [2, 2], border).at(place);
        assert!((at(Border::Edge, [-5.0, 9.0]) - 2.0).abs() < 1e-9);
        assert_eq!(at(Border::Zero, [0.0, 1.01]), 0.0);
    }
}
