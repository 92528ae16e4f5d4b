//! Pseudo-anomalies out of a picture's own pixels (CutPaste, arXiv 2104.04015).
//!
//! Pictures are planes of red, green and blue, row by row, of 0 to 255; `side x side` pixels.

use std::f64::consts::FRAC_PI_4;

use crate::random::Stream;

/// What is cut out and how it is pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A rectangle of 2 to 15 % of the picture, sides' ratio from 0.3 to 1 / 0.3.
    Patch,
    /// A strip of 2 to 16 by 10 to 25 pixels of 256, turned by up to an eighth of a turn either way.
    Scar,
}

/// A picture with a piece of itself in another place.
pub struct Pasted {
    /// The picture with the piece pasted in, as planes.
    pub pixels: Vec<f32>,
    /// True where the piece lies, one per pixel.
    pub mask: Vec<bool>,
}

/// A rectangle of pixels, as planes.
pub struct Patch {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Planes of red, green and blue.
    pub pixels: Vec<f32>,
}

/// Cuts from a random place, jitters the colours by `jitter`, pastes at another; what is pasted lies wholly inside.
pub fn paste(picture: &[f32], side: usize, cut: Cut, jitter: f64, stream: &mut Stream) -> Pasted {
    let (width, height, angle) = match cut {
        Cut::Patch => {
            let area = stream.between(0.02, 0.15) * (side * side) as f64;
            let aspect = stream.between(0.3f64.ln(), -0.3f64.ln()).exp();
            ((area * aspect).sqrt(), (area / aspect).sqrt(), 0.0)
        }
        Cut::Scar => {
            let scale = side as f64 / 256.0;
            let (width, height) = (stream.between(2.0, 16.0) * scale, stream.between(10.0, 25.0) * scale);
            (width, height, stream.between(-FRAC_PI_4, FRAC_PI_4))
        }
    };
    // A narrower strip could, turned, fall between the pixels.
    let pixels = |length: f64| (length.round() as usize).clamp(2, side);
    let mut patch = take(picture, side, pixels(width), pixels(height), stream);
    jitter_colours(&mut patch.pixels, jitter, stream);
    put(picture, side, &patch, angle, None, stream)
}

/// Cuts `width x height` pixels from a random place.
pub fn take(picture: &[f32], side: usize, width: usize, height: usize, stream: &mut Stream) -> Patch {
    let (left, top) = (stream.below(side - width + 1), stream.below(side - height + 1));
    let mut pixels = Vec::with_capacity(3 * width * height);
    for plane in picture.chunks_exact(side * side) {
        for row in top..top + height {
            pixels.extend_from_slice(&plane[row * side + left..][..width]);
        }
    }
    Patch { width, height, pixels }
}

/// Turns the patch by `angle` about its centre and puts it at a random place, each pixel from the nearest one. The box
/// round it has corners that are no part of it: they get the colour `corners`, or stay as they were.
pub fn put(
    picture: &[f32],
    side: usize,
    patch: &Patch,
    angle: f64,
    corners: Option<[f32; 3]>,
    stream: &mut Stream,
) -> Pasted {
    let (width, height) = (patch.width as f64, patch.height as f64);
    let (sin, cos) = angle.sin_cos();
    // The box round the turned patch; a rounding error must not make it larger.
    let extent = |a: f64, b: f64| ((a * cos.abs() + b * sin.abs() - 1e-9).ceil() as usize).min(side);
    let (box_width, box_height) = (extent(width, height), extent(height, width));
    let (left, top) = (stream.below(side - box_width + 1), stream.below(side - box_height + 1));
    let mut pasted = Pasted { pixels: picture.to_vec(), mask: vec![false; side * side] };
    for row in 0..box_height {
        for column in 0..box_width {
            let x = column as f64 + 0.5 - box_width as f64 / 2.0;
            let y = row as f64 + 0.5 - box_height as f64 / 2.0;
            let (u, v) = (cos * x + sin * y + width / 2.0, cos * y - sin * x + height / 2.0);
            let is_inside = 0.0 <= u && u < width && 0.0 <= v && v < height;
            let from = is_inside.then(|| v as usize * patch.width + u as usize);
            if from.is_none() && corners.is_none() {
                continue;
            }
            let to = (top + row) * side + left + column;
            pasted.mask[to] = true;
            for channel in 0..3 {
                let plane = channel * patch.width * patch.height;
                let value = from.map(|from| patch.pixels[plane + from]);
                let corner = corners.map(|colour| colour[channel]);
                pasted.pixels[channel * side * side + to] = value.or(corner).expect("one of both");
            }
        }
    }
    pasted
}

/// Brightness, contrast and saturation, each by a factor within `strength` of one, in that order. Hue is left alone:
/// most medical pictures are grey.
pub fn jitter_colours(pixels: &mut [f32], strength: f64, stream: &mut Stream) {
    let mut factor = || stream.between(1.0 - strength, 1.0 + strength) as f32;
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let clamp = |value: f32| value.clamp(0.0, 255.0);
    pixels.iter_mut().for_each(|value| *value = clamp(*value * brightness));
    let area = pixels.len() / 3;
    let grey = |pixels: &[f32], place: usize| {
        0.299 * pixels[place] + 0.587 * pixels[area + place] + 0.114 * pixels[2 * area + place]
    };
    let mean = (0..area).map(|place| f64::from(grey(pixels, place))).sum::<f64>() / area as f64;
    let mean = mean as f32;
    pixels.iter_mut().for_each(|value| *value = clamp(mean + (*value - mean) * contrast));
    for place in 0..area {
        let grey = grey(pixels, place);
        for channel in 0..3 {
            let value = &mut pixels[channel * area + place];
            *value = clamp(grey + (*value - grey) * saturation);
        }
    }
}
