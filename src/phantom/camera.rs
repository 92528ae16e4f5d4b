//! Acquisition: size, exposure, lighting and grain, spread alike over healthy and ill.
//!
//! Exposure is automatic: mean and contrast are brought to values set for the picture, so that
//! a lesion cannot be told by how bright or how large the whole picture is.

use std::ops::Range;

use crate::phantom::canvas::{Canvas, luma};
use crate::phantom::shape::{Ellipse, Shape};
use crate::random::Stream;

/// What pictures of one task have in common.
pub struct Camera {
    /// Rows.
    pub heights: Range<usize>,
    /// Columns per row, lowest and highest; 1 is not between them, so no picture is square.
    pub aspects: [f64; 2],
    /// Typical mean luma of what is exposed.
    pub mean: f64,
    /// Typical standard deviation of the luma.
    pub contrast: f64,
}

/// How one picture is taken.
pub struct Exposure {
    pub height: usize,
    pub width: usize,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    mean: f64,
    contrast: f64,
    tilt: [f64; 2],
    grain: f64,
}

impl Camera {
    /// Size, quality, brightness and grain of picture `order`, spread evenly over their ranges, and
    /// lighting drawn from `stream`.
    pub fn expose(&self, order: usize, stream: &mut Stream) -> Exposure {
        let [height, aspect, quality, mean, contrast, grain] = evenly(order);
        let height = self.heights.start + (height * self.heights.len() as f64) as usize;
        let aspect = self.aspects[0] + (self.aspects[1] - self.aspects[0]) * aspect;
        Exposure {
            height,
            width: (height as f64 * aspect).round() as usize,
            quality: 80 + (quality * 16.0) as u8,
            mean: self.mean * (0.88 + 0.24 * mean),
            contrast: self.contrast * (0.88 + 0.24 * contrast),
            tilt: [stream.between(-0.04, 0.04), stream.between(-0.04, 0.04)],
            grain: 0.005 + 0.012 * grain,
        }
    }
}

/// Member `order` of a sequence of points in the unit cube, any stretch of which fills each side
/// evenly (multiples of the powers of 1/g, where g^7 = g + 1). With independent draws, a class of
/// thirty could be larger or brighter than another by mere chance.
fn evenly(order: usize) -> [f64; 6] {
    const G: f64 = 1.112_775_684_278_705_5;
    [1, 2, 3, 4, 5, 6].map(|power| (0.5 + (order + 1) as f64 * G.powi(-power)).fract())
}

impl Exposure {
    /// Columns per row.
    pub fn aspect(&self) -> f64 {
        self.width as f64 / self.height as f64
    }

    /// Exposes what lies inside `field` (everything without one) and blackens the rest. Colours
    /// keep their saturation.
    pub fn take(&self, canvas: &mut Canvas, field: Option<&Ellipse>, stream: &mut Stream) {
        let inside = |place| field.map_or(1.0, |field| field.cover(place));
        let (mean, contrast) = canvas.brightness(inside);
        let gain = self.contrast / contrast.max(1e-3);
        let aspect = self.aspect();
        canvas.change_all(|place, sample| {
            let light = 1.0 + self.tilt[0] * (place[0] / aspect - 0.5) + self.tilt[1] * (place[1] - 0.5);
            let (field, grain) = (inside(place), self.grain * bell(stream));
            let shift = (luma(sample) - mean) * gain + self.mean - luma(sample);
            sample.map(|value| field * light * (value + shift) + grain)
        });
    }
}

/// Nearly normal with mean 0 and standard deviation 1: the sum of four uniform draws.
fn bell(stream: &mut Stream) -> f64 {
    let bits = stream.bits();
    let sum: f64 = (0..4).map(|part| ((bits >> (16 * part)) & 0xffff) as f64 / 65536.0).sum();
    (sum - 2.0) * 3f64.sqrt()
}
