//! Acquisition: size, exposure, lighting and grain, drawn alike for healthy and ill.
//!
//! Exposure is automatic: mean and contrast are brought to values drawn for the picture, so that
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
    /// Draws size, quality, brightness, lighting and grain of one picture.
    pub fn draw(&self, stream: &mut Stream) -> Exposure {
        let height = self.heights.start + stream.below(self.heights.len());
        let aspect = stream.between(self.aspects[0], self.aspects[1]);
        Exposure {
            height,
            width: (height as f64 * aspect).round() as usize,
            quality: 88 + stream.below(8) as u8,
            mean: self.mean * stream.between(0.88, 1.12),
            contrast: self.contrast * stream.between(0.88, 1.12),
            tilt: [stream.between(-0.04, 0.04), stream.between(-0.04, 0.04)],
            grain: stream.between(0.005, 0.017),
        }
    }
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
