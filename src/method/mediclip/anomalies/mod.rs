//! Pseudo-anomalies of four kinds in grey pictures, and which pixels they change, as MediCLIP makes them (cnulab/MediCLIP
//! ca99858).
//!
//! Two things differ: changes by pasting are differences of grey levels, where the published code's wrap around in bytes, so
//! that one level less counts as 255 more; and the random numbers are our own.

use std::f64::consts::FRAC_PI_4;

use serde::{Deserialize, Serialize};

use crate::maps::MapStack;
use crate::random::Stream;
use shape::{Edge, Mask, Matrix, Pair};
use spline::{Border, Spline};

/// How anomalous pixels are.
pub mod label;
/// Random shapes.
pub mod shape;
/// Grey values between pixels.
pub mod spline;

/// One kind of pseudo-anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A blot of another normal, turned and scaled.
    CutPaste,
    /// A blot that is lighter or darker by a smooth texture.
    Intensity,
    /// A shape whose inside is drawn to its edge from a point within.
    Source,
    /// A shape whose inside is drawn to a point within; the publication has it, and none of its configurations.
    Sink,
    /// None: the picture as it is.
    Identity,
}

/// A picture with pseudo-anomalies.
pub struct Made {
    /// Grey levels, row by row.
    pub pixels: Vec<u8>,
    /// 0 to 1 for each pixel.
    pub labels: Vec<f64>,
}

impl Kind {
    /// Least and largest side of a shape's box, as a share of the picture's.
    fn bounds(self) -> [f64; 2] {
        match self {
            Kind::CutPaste => [0.1, 0.6],
            Kind::Intensity | Kind::Identity => [0.3, 0.8],
            Kind::Source | Kind::Sink => [0.2, 0.6],
        }
    }

    /// One or, half of the time, two anomalies in a picture of `side` x `side` grey levels; patches are cut from `others`.
    pub fn make(self, picture: &[u8], side: usize, others: &[&[u8]], stream: &mut Stream) -> Made {
        let mut mask = vec![false; side * side];
        if self == Kind::Identity {
            return Made { pixels: picture.to_vec(), labels: vec![0.0; side * side] };
        }
        let mut levels: Vec<f64> = picture.iter().map(|&level| f64::from(level)).collect();
        for _ in 0..2 {
            let [low, high] = self.bounds().map(|share| (share * side as f64).round() as usize);
            let (shape, edge) = match self {
                Kind::Source | Kind::Sink => {
                    let (shape, edge) = shape::deformed(low.max(1), high, side, stream);
                    (shape, Some(edge))
                }
                _ => (shape::blot(low, high, stream), None),
            };
            let corner = [shape.height, shape.width].map(|length| stream.below(side - length + 1));
            let place = Placed { side, corner, shape: &shape };
            match (self, edge) {
                (Kind::CutPaste, _) => paste(&mut levels, &place, others[stream.below(others.len())], stream),
                (_, None) => shade(&mut levels, &place, stream),
                (kind, Some(edge)) => deform(&mut levels, &place, &edge, kind == Kind::Sink, stream),
            }
            place.inside().for_each(|(_, at)| mask[at] = true);
            if stream.unit() > 0.5 {
                break;
            }
        }
        let changes: Vec<f64> =
            levels.iter().zip(picture).map(|(level, &before)| (level - f64::from(before)).abs()).collect();
        let labels = match self {
            Kind::CutPaste => label::filled(&changes, &mask, side),
            _ => mask.iter().map(|&inside| f64::from(u8::from(inside))).collect(),
        };
        // As the published code, which cuts off fractions.
        Made { pixels: levels.into_iter().map(|level| level as u8).collect(), labels }
    }
}

/// A shape's place in a picture of `side` x `side` pixels.
struct Placed<'a> {
    side: usize,
    /// Row and column of the box's first pixel.
    corner: [usize; 2],
    shape: &'a Mask,
}

impl Placed<'_> {
    /// Every pixel of the box: its number there, and in the picture.
    fn all(&self) -> impl Iterator<Item = (usize, usize)> {
        let (side, [top, left], width) = (self.side, self.corner, self.shape.width);
        (0..self.shape.inside.len()).map(move |at| (at, (top + at / width) * side + left + at % width))
    }

    /// Those of the shape.
    fn inside(&self) -> impl Iterator<Item = (usize, usize)> {
        self.all().filter(|(at, _)| self.shape.inside[*at])
    }
}

fn paste(levels: &mut [f64], place: &Placed, source: &[u8], stream: &mut Stream) {
    let side = place.side as f64;
    let (sin, cos) = stream.between(-FRAC_PI_4, FRAC_PI_4).sin_cos();
    let turn = [[cos, -sin], [sin, cos]];
    let size = [place.shape.height as f64, place.shape.width as f64];
    let [first, last] = box_round(turn, size);
    let most = [0, 1].map(|axis| 0.8 * side / (last[axis] - first[axis]));
    let change = 1.0 - 0.1 * (1.0 - stream.unit()).ln();
    let scale = if stream.below(2) == 0 { change } else { 1.0 / change };
    let scale = scale.min(most[0]).min(most[1]);
    let matrix = turn.map(|row| row.map(|value| value * scale));
    let [first, last] = box_round(matrix, size);
    let [height, width] = [0, 1].map(|axis| ((last[axis] - first[axis]) as usize).min(place.side));
    let [top, left] = [height, width].map(|length| stream.below(place.side - length + 1));
    let cut: Vec<f64> = (0..height * width)
        .map(|at| f64::from(source[(top + at / width) * place.side + left + at % width]))
        .collect();
    let spline = Spline::new(&cut, [height, width], Border::Zero);
    let lowest = f64::from(source.iter().copied().min().unwrap_or_default());
    let highest = f64::from(source.iter().copied().max().unwrap_or_default());
    for (at, to) in place.inside() {
        let from = [at / place.shape.width, at % place.shape.width].map(|place| place as f64);
        let [y, x] = shape::times(matrix, from);
        levels[to] = (spline.at([y - first[0], x - first[1]]) + 0.5).floor().clamp(lowest, highest);
    }
}

/// Whole pixels before and after a box of that size from the origin, once it is transformed.
fn box_round(matrix: Matrix, [height, width]: Pair) -> [Pair; 2] {
    let corners =
        [[0.0, 0.0], [0.0, width], [height, 0.0], [height, width]].map(|corner| shape::times(matrix, corner));
    let over = |pick: fn(f64, f64) -> f64| {
        [0, 1].map(|axis| corners.iter().map(|corner| corner[axis]).reduce(pick).unwrap_or_default())
    };
    [over(f64::min).map(f64::floor), over(f64::max).map(f64::ceil)]
}

fn shade(levels: &mut [f64], place: &Placed, stream: &mut Stream) {
    let side = place.side;
    let blur = [4.0, 7.0][stream.below(2)];
    let noise: Vec<f64> = (0..side * side).map(|_| f64::from(u8::from(stream.normal() >= 0.0))).collect();
    let smooth = blurred(&noise, [side, side], blur);
    let lowest = smooth.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = smooth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sign = if stream.unit() <= 0.5 { 1.0 } else { -1.0 };
    let strength = sign * stream.between(0.4, 0.6);
    let shape: Vec<f64> = place.shape.inside.iter().map(|&inside| f64::from(u8::from(inside))).collect();
    let edge = blurred(&shape, [place.shape.height, place.shape.width], stream.between(1.0, 4.0));
    for (at, to) in place.inside() {
        let texture = strength * (smooth[to] - lowest) / (highest - lowest).max(f64::MIN_POSITIVE);
        levels[to] = (levels[to] / 255.0 + texture * edge[at]).clamp(0.0, 1.0) * 255.0;
    }
}

/// Smoothed by a Gaussian, borders mirrored.
fn blurred(values: &[f64], [height, width]: [usize; 2], sigma: f64) -> Vec<f64> {
    let single = values.iter().map(|&value| value as f32).collect();
    let stack = MapStack::new(1, height, width, single).expect("as many values as pixels");
    stack.smoothed(sigma).values().iter().map(|&value| f64::from(value)).collect()
}

fn deform(levels: &mut [f64], place: &Placed, edge: &Edge, sinks: bool, stream: &mut Stream) {
    let Mask { height, width, inside } = place.shape;
    let before: Vec<f64> = place.all().map(|(_, from)| levels[from]).collect();
    let within: Vec<usize> = (0..inside.len()).filter(|&at| inside[at]).collect();
    let centre = within[stream.below(within.len())];
    let centre = [centre / width, centre % width];
    let factor = stream.between(0.5, 2.0).exp2();
    let spline = Spline::new(&before, [*height, *width], Border::Edge);
    let mapping = mapping(place.shape, edge, centre, factor, sinks);
    for (at, to) in place.all() {
        levels[to] = (spline.at(mapping[at]) + 0.5).floor().clamp(0.0, 255.0);
    }
}

/// Where each pixel of the box takes its value from: on the ray from the centre through it, at `R (r / R)^factor` of its
/// distance `r` where the edge is at `R`, or at `R - R (1 - r / R)^factor` where the inside sinks. Pixels at the box's border
/// and outside the shape stay.
pub fn mapping(shape: &Mask, edge: &Edge, centre: [usize; 2], factor: f64, sinks: bool) -> Vec<Pair> {
    let middle = [shape.height, shape.width].map(|n| (n as f64 - 1.0) / 2.0);
    let from = centre.map(|place| place as f64);
    let origin = [from[0] - middle[0], from[1] - middle[1]];
    let place = |at: usize| {
        let (row, column) = (at / shape.width, at % shape.width);
        let here = [row as f64, column as f64];
        let at_border = row == 0 || column == 0 || row == shape.height - 1 || column == shape.width - 1;
        if at_border || !shape.inside[at] || [row, column] == centre {
            return here;
        }
        let away = [here[0] - from[0], here[1] - from[1]];
        let distance = away[0].hypot(away[1]);
        let direction = away.map(|part| part / distance);
        let met = edge.met(origin, direction);
        let end = (met[0] - origin[0]).hypot(met[1] - origin[1]);
        let new = if sinks {
            end - (end - distance).max(0.0).powf(factor) / end.powf(factor - 1.0)
        } else {
            distance.powf(factor) / end.powf(factor - 1.0)
        };
        [from[0] + new * direction[0], from[1] + new * direction[1]]
    };
    (0..shape.inside.len()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    /// A slope with a texture, so that every move shows.
    fn picture(seed: u64) -> Vec<u8> {
        let mut stream = Stream::new(seed, "picture", 0);
        (0..SIDE * SIDE)
            .map(|at| (40.0 + (at % SIDE) as f64 + (at / SIDE) as f64 + stream.between(0.0, 60.0)) as u8)
            .collect()
    }

    #[test]
    fn what_is_labelled_is_what_changes() {
        let (picture, others) = (picture(1), [picture(2), picture(3)]);
        let others = others.each_ref().map(|other| &**other);
        for kind in [Kind::CutPaste, Kind::Intensity, Kind::Source, Kind::Sink] {
            for index in 0..20 {
                let made = kind.make(&picture, SIDE, &others, &mut Stream::new(5, "made", index));
                let changed = |at: usize| made.pixels[at] != picture[at];
                let outside = (0..SIDE * SIDE).find(|&at| changed(at) && made.labels[at] == 0.0);
                assert_eq!(outside, None, "{kind:?} {index} changes an unlabelled pixel");
                let n_labelled = made.labels.iter().filter(|&&label| label > 0.0).count();
                let n_changed = (0..SIDE * SIDE).filter(|&at| changed(at)).count();
                assert!(
                    n_labelled > 0 && 2 * n_changed > n_labelled,
                    "{kind:?} {index}: {n_changed} of {n_labelled}"
                );
                assert!(made.labels.iter().all(|label| (0.0..=1.0).contains(label)));
            }
        }
    }

    #[test]
    fn identity_changes_and_labels_nothing() {
        let picture = picture(1);
        let made = Kind::Identity.make(&picture, SIDE, &[], &mut Stream::new(5, "made", 0));
        assert!(made.pixels == picture && made.labels.iter().all(|&label| label == 0.0));
    }

    #[test]
    fn the_same_stream_makes_the_same_picture() {
        let (picture, other) = (picture(1), picture(2));
        let others = [&*other];
        let made =
            |seed| Kind::CutPaste.make(&picture, SIDE, &others, &mut Stream::new(seed, "made", 0)).pixels;
        assert!(made(7) == made(7) && made(7) != made(8));
    }
}
