//! Acquisition: size, exposure, lighting and grain, spread alike over healthy and ill.
//!
//! Exposure is automatic: mean colour and contrast are brought to values set for the picture, so
//! that a lesion cannot be told by how bright, colourful or large the whole picture is.

use std::ops::Range;

use crate::phantom::Scale;
use crate::phantom::canvas::{Canvas, Colour, luma};
use crate::phantom::shape::{Ellipse, Shape};
use crate::random::Stream;

/// What pictures of one task have in common.
pub(super) struct Camera {
    /// Rows.
    pub heights: Range<usize>,
    /// Columns per row, lowest and highest; 1 is not between them, so no picture is square.
    pub aspects: [f64; 2],
    /// Typical mean colour of what is exposed.
    pub colour: Colour,
    /// Typical standard deviation of the luma.
    pub contrast: f64,
}

/// How one picture is taken.
pub(super) struct Exposure {
    pub height: usize,
    pub width: usize,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    colour: Colour,
    contrast: f64,
    tilt: [f64; 2],
    falloff: f64,
    grain: f64,
}

impl Camera {
    /// Size, quality, brightness, saturation, grain and falloff of light of picture `order`, spread
    /// evenly over their ranges, and the tilt of the light drawn from `stream`.
    pub(super) fn expose(&self, order: usize, scale: Scale, stream: &mut Stream) -> Exposure {
        let [height, aspect, quality, mean, contrast, grain, falloff, saturation] = evenly(order);
        let (typical, level) = (luma(self.colour), luma(self.colour) * (0.88 + 0.24 * mean));
        let saturation = 0.82 + 0.36 * saturation;
        let height = self.heights.start + (height * self.heights.len() as f64) as usize;
        let height = height / scale.shrink();
        let aspect = self.aspects[0] + (self.aspects[1] - self.aspects[0]) * aspect;
        Exposure {
            height,
            width: (height as f64 * aspect).round() as usize,
            quality: 66 + (quality * 30.0) as u8,
            colour: self.colour.map(|value| level + saturation * (value - typical)),
            contrast: self.contrast * (0.88 + 0.24 * contrast),
            tilt: [stream.between(-0.04, 0.04), stream.between(-0.04, 0.04)],
            falloff: 0.24 * falloff,
            grain: 0.005 + 0.012 * grain,
        }
    }
}

/// Member `order` of a sequence of points in the unit cube, any stretch of which fills each side
/// evenly (multiples of the powers of 1/g, where g^9 = g + 1). With independent draws, a class of
/// thirty could be larger or brighter than another by mere chance.
fn evenly(order: usize) -> [f64; 8] {
    const G: f64 = 1.085_070_245_491_451;
    [1, 2, 3, 4, 5, 6, 7, 8].map(|power| (0.25 + (order + 1) as f64 * G.powi(-power)).fract())
}

impl Exposure {
    /// Columns per row.
    pub(super) fn aspect(&self) -> f64 {
        self.width as f64 / self.height as f64
    }

    /// Exposes what lies inside `field` (everything without one) and blackens the rest. Differences
    /// of colour within the picture stay, their mean is balanced.
    pub(super) fn take(&self, canvas: &mut Canvas, field: Option<&Ellipse>, stream: &mut Stream) {
        let inside = |place| field.map_or(1.0, |field| field.cover(place));
        let (mean, contrast) = canvas.meter(inside);
        let gain = self.contrast / contrast.max(1e-3);
        let aspect = self.aspect();
        canvas.change_all(|place, sample| {
            let away = [place[0] / aspect - 0.5, place[1] - 0.5];
            let tilt = self.tilt[0] * away[0] + self.tilt[1] * away[1];
            let light = 1.0 + tilt - self.falloff * 2.0 * (away[0].powi(2) + away[1].powi(2));
            let (field, grain) = (inside(place), self.grain * bell(stream));
            let shift = (luma(sample) - luma(mean)) * (gain - 1.0);
            [0, 1, 2].map(|k| field * light * (self.colour[k] + sample[k] - mean[k] + shift) + grain)
        });
    }
}

/// Nearly normal with mean 0 and standard deviation 1: the sum of four uniform draws.
fn bell(stream: &mut Stream) -> f64 {
    let bits = stream.bits();
    let sum: f64 = (0..4).map(|part| ((bits >> (16 * part)) & 0xffff) as f64 / 65536.0).sum();
    (sum - 2.0) * 3f64.sqrt()
}
