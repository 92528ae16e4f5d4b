//! What FoundAD does to normals in training: light changes that a normal may have, and pieces pasted into them.
//!
//! Pictures are planes of red, green and blue, row by row, of 0 to 255; `side x side` pixels.

use std::f64::consts::FRAC_PI_4;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::method::part::colour_jitter::{Strengths, grey_out, jitter};
use crate::method::part::cut_paste::{jitter_colours, put, take};
use crate::network::IMAGENET;
use crate::random::Stream;

/// How pieces are pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutPaste {
    /// As the authors' code: colours are changed once pictures are normalised, as if they were 0 to 1, so that each piece
    /// becomes pale and flat; a turned scar brings its box along, in ImageNet's mean colour.
    Published,
    /// Colours are changed as those of pictures, without the hue; of a turned scar, the scar alone is pasted.
    Corrected,
}

/// Changes of a piece's colours.
const PIECE: Strengths = Strengths { brightness: 0.5, contrast: 0.5, saturation: 0.5, hue: 0.5 };

/// A picture with a piece of itself in another place: with equal chances a rectangle of 2 to 25 % of it, sides' ratio from
/// 0.3 to 1 / 0.3, or a strip of 2 to 16 by 10 to 25 pixels, turned by up to an eighth of a turn either way. Pieces come from
/// anywhere and go anywhere: there is no foreground, as the authors have it for textures.
pub fn corrupted(picture: &[f32], side: usize, how: CutPaste, stream: &mut Stream) -> Vec<f32> {
    let (width, height, angle) = if stream.unit() < 0.5 {
        let area = stream.between(0.02, 0.25) * (side * side) as f64;
        let aspect = stream.between(0.3f64.ln(), -0.3f64.ln()).exp();
        ((area * aspect).sqrt(), (area / aspect).sqrt(), 0.0)
    } else {
        let angle = stream.between(-FRAC_PI_4, FRAC_PI_4);
        (stream.between(2.0, 16.0), stream.between(10.0, 25.0), angle)
    };
    let pixels = |length: f64| (length.round() as usize).clamp(2, side);
    let mut piece = take(picture, side, pixels(width), pixels(height), stream);
    let corners = match how {
        CutPaste::Published => {
            normalised(&mut piece.pixels, false);
            jitter(&mut piece.pixels, PIECE, stream);
            normalised(&mut piece.pixels, true);
            Some(IMAGENET[0].map(|mean| mean * 255.0))
        }
        CutPaste::Corrected => {
            jitter_colours(&mut piece.pixels, PIECE.brightness, stream);
            None
        }
    };
    put(picture, side, &piece, angle, corners, stream).pixels
}

/// Brings values of 0 to 255 to ImageNet's mean and deviation, or back.
fn normalised(pixels: &mut [f32], back: bool) {
    let area = pixels.len() / 3;
    let [means, deviations] = IMAGENET;
    for (channel, plane) in pixels.chunks_exact_mut(area).enumerate() {
        let (mean, deviation) = (means[channel], deviations[channel]);
        for value in plane {
            *value =
                if back { (*value * deviation + mean) * 255.0 } else { (*value / 255.0 - mean) / deviation };
        }
    }
}

/// Chance of each kind of change.
const CHANCE: f64 = 0.3;
/// Changes of a normal's colours.
const NORMAL: Strengths = Strengths { brightness: 0.3, contrast: 0.3, saturation: 0.3, hue: 0.05 };

/// A picture `[3, side, side]` as another normal: in three of ten cases mirrored either way or turned by a quarter either
/// way, in three of ten with other colours, grey, or blurred by `kernel` pixels; which of these is as likely as the others.
/// Floating point.
pub fn augmented(picture: &Tensor, kernel: i64, stream: &mut Stream) -> Tensor {
    let picture = picture.to_kind(Kind::Float);
    let picture = if stream.unit() < CHANCE { turned(&picture, stream) } else { picture };
    if stream.unit() >= CHANCE {
        return picture;
    }
    match stream.below(3) {
        2 => blurred(&picture, kernel, stream.between(0.1, 2.0)),
        which => {
            let unit = (&picture / 255.0).contiguous();
            let mut values: Vec<f32> = Vec::try_from(unit.flatten(0, -1)).expect("pictures are floats now");
            if which == 0 {
                jitter(&mut values, NORMAL, stream);
            } else {
                grey_out(&mut values);
            }
            Tensor::from_slice(&values).view(picture.size().as_slice()) * 255.0
        }
    }
}

fn turned(picture: &Tensor, stream: &mut Stream) -> Tensor {
    match stream.below(4) {
        0 => picture.flip([2]),
        1 => picture.flip([1]),
        2 => picture.rot90(1, [1, 2]),
        _ => picture.rot90(-1, [1, 2]),
    }
}

/// Blurred by a Gaussian of `kernel` pixels, reflected at the border; a picture that is smaller takes what it has.
fn blurred(picture: &Tensor, kernel: i64, deviation: f64) -> Tensor {
    let reach = (kernel / 2).min(picture.size()[2] - 1);
    let values: Vec<f64> =
        (-reach..=reach).map(|at| (-(at as f64 / deviation).powi(2) / 2.0).exp()).collect();
    let sum: f64 = values.iter().sum();
    let row: Vec<f32> = values.into_iter().map(|value| (value / sum) as f32).collect();
    let row = Tensor::from_slice(&row);
    let planes = picture.unsqueeze(1).reflection_pad2d([reach; 4]);
    let along = planes.conv2d::<Tensor>(&row.view([1, 1, 1, -1]), None, [1], [0], [1], 1);
    along.conv2d::<Tensor>(&row.view([1, 1, -1, 1]), None, [1], [0], [1], 1).squeeze_dim(1)
}
