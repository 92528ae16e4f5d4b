//! A picture under way: three channels of unbounded samples, painted shape by shape.

use anyhow::Result;

use crate::phantom::shape::{Point, Shape};
use crate::pixels::Pixels;

/// Red, green and blue; 0 is black, 1 is white. Grey pictures hold three equal values.
pub(super) type Colour = [f64; 3];

/// Equal parts of all three.
pub(super) const fn grey(level: f64) -> Colour {
    [level; 3]
}

/// How bright the eye takes it to be (ITU-R 601-2).
pub(super) fn luma(colour: Colour) -> f64 {
    0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
}

/// The mixture with `part` (0 to 1) of `to`.
pub(super) fn mix(from: Colour, to: Colour, part: f64) -> Colour {
    [0, 1, 2].map(|k| from[k] + (to[k] - from[k]) * part)
}

/// `height x width` samples, row-major.
pub(super) struct Canvas {
    height: usize,
    width: usize,
    samples: Vec<Colour>,
}

impl Canvas {
    /// A canvas whose ground is `ground` of each place.
    pub(super) fn new(height: usize, width: usize, ground: impl Fn(Point) -> Colour) -> Canvas {
        let place = |index: usize| centre(height, index / width, index % width);
        let samples = (0..height * width).map(|index| ground(place(index))).collect();
        Canvas { height, width, samples }
    }

    /// Lays `colour` over the shape, `opacity` 0 to 1.
    pub(super) fn paint(&mut self, shape: &impl Shape, colour: Colour, opacity: f64) {
        self.change(shape, |_, sample, cover| mix(sample, colour, cover * opacity));
    }

    /// Adds `amount` to all channels over the shape, as X-rays add up.
    pub(super) fn add(&mut self, shape: &impl Shape, amount: f64) {
        self.change(shape, |_, sample, cover| sample.map(|value| value + amount * cover));
    }

    /// Replaces every covered sample by `new(place, sample, cover)`.
    pub(super) fn change(&mut self, shape: &impl Shape, new: impl Fn(Point, Colour, f64) -> Colour) {
        let (rows, columns) = reach(shape, self.height, self.width);
        for row in rows {
            for column in columns.clone() {
                let place = centre(self.height, row, column);
                let cover = shape.cover(place);
                if cover > 0.0 {
                    let sample = &mut self.samples[row * self.width + column];
                    *sample = new(place, *sample, cover);
                }
            }
        }
    }

    /// Replaces every sample by `new(place, sample)`.
    pub(super) fn change_all(&mut self, mut new: impl FnMut(Point, Colour) -> Colour) {
        for (index, sample) in self.samples.iter_mut().enumerate() {
            *sample = new(centre(self.height, index / self.width, index % self.width), *sample);
        }
    }

    /// Mean colour and standard deviation of the luma where `weight` is above a half.
    pub(super) fn meter(&self, weight: impl Fn(Point) -> f64) -> (Colour, f64) {
        let inside = |index: usize| weight(centre(self.height, index / self.width, index % self.width)) > 0.5;
        let indexed = self.samples.iter().enumerate().filter(|(index, _)| inside(*index));
        let metered: Vec<Colour> = indexed.map(|(_, sample)| *sample).collect();
        let count = metered.len().max(1) as f64;
        let mean = [0, 1, 2].map(|k| metered.iter().map(|sample| sample[k]).sum::<f64>() / count);
        let squares = metered.iter().map(|sample| (luma(*sample) - luma(mean)).powi(2));
        let variance = squares.sum::<f64>() / count;
        (mean, variance.sqrt())
    }

    /// The finished picture in colour.
    pub(super) fn to_rgb(&self) -> Result<Pixels> {
        let samples = self.samples.iter().flatten().map(|&value| eight_bits(value)).collect();
        Pixels::new(self.height, self.width, 3, samples)
    }

    /// The finished picture in grey: its red channel.
    pub(super) fn to_grey(&self) -> Result<Pixels> {
        let samples = self.samples.iter().map(|sample| eight_bits(sample[0])).collect();
        Pixels::new(self.height, self.width, 1, samples)
    }
}

/// Middle of the sample at `row`, `column`.
pub(super) fn centre(height: usize, row: usize, column: usize) -> Point {
    [(column as f64 + 0.5) / height as f64, (row as f64 + 0.5) / height as f64]
}

/// Rows and columns that the shape can touch.
pub(super) fn reach(
    shape: &impl Shape,
    height: usize,
    width: usize,
) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let [low, high] = shape.bounds();
    let first = |low: f64, end: usize| ((low * height as f64).floor().max(0.0) as usize).min(end);
    let last = |high: f64, end: usize| ((high * height as f64).ceil().max(0.0) as usize).min(end);
    (first(low[1], height)..last(high[1], height), first(low[0], width)..last(high[0], width))
}

fn eight_bits(value: f64) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}
