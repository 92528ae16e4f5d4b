//! Stained tissue (H&E): pink fibres with sparse small nuclei; a metastasis is a nest of large
//! dark ones in a pale cleft.

use anyhow::Result;

use crate::phantom::camera::Camera;
use crate::phantom::canvas::{Canvas, Colour, mix};
use crate::phantom::mask::Mask;
use crate::phantom::noise::Noise;
use crate::phantom::shape::{Ellipse, Point, Shape};
use crate::phantom::{Drawing, Scale};
use crate::random::Stream;

const CAMERA: Camera =
    Camera { heights: 146..169, aspects: [1.22, 1.30], colour: [0.86, 0.65, 0.79], contrast: 0.10 };
const EOSIN: Colour = [0.91, 0.70, 0.82];
const FIBRE: Colour = [0.84, 0.58, 0.76];
const SMALL_NUCLEUS: Colour = [0.48, 0.32, 0.62];
const LARGE_NUCLEUS: Colour = [0.37, 0.16, 0.43];
const CLEFT: Colour = [0.97, 0.91, 0.96];

/// One patch; `Ungood` holds a metastasis.
pub(super) fn draw(finding: &str, order: usize, scale: Scale, stream: &mut Stream) -> Result<Drawing> {
    let exposure = CAMERA.expose(order, scale, stream);
    let aspect = exposure.aspect();
    let mut canvas = tissue(exposure.height, exposure.width, stream);
    lymphocytes(&mut canvas, aspect, stream);
    let mut mask = None;
    if finding == "Ungood" {
        let marks = mask.insert(Mask::new(exposure.height, exposure.width));
        for nest in nests(aspect, stream) {
            metastasis(&mut canvas, &nest, stream);
            marks.mark(&nest);
        }
    }
    exposure.take(&mut canvas, None, stream);
    Ok(Drawing { pixels: canvas.to_rgb()?, quality: exposure.quality, mask })
}

fn tissue(height: usize, width: usize, stream: &mut Stream) -> Canvas {
    let [bend, fibre, stain] = [(); 3].map(|()| Noise::new(stream));
    Canvas::new(height, width, |place| {
        let along = place[1] + 0.05 * bend.at(place, [3.0, 3.0]) + 0.06 * (4.0 * place[0]).sin();
        let strand = 0.5 + 0.5 * fibre.at([place[0], along], [3.0, 22.0]);
        let ground = mix(EOSIN, FIBRE, strand);
        ground.map(|value| value + 0.05 * stain.at(place, [3.0, 3.0]))
    })
}

/// Small nuclei of healthy tissue, evenly spaced.
fn lymphocytes(canvas: &mut Canvas, aspect: f64, stream: &mut Stream) {
    for place in grid([0.0, 0.0], [aspect, 1.0], 0.105, 0.012, stream) {
        let size = stream.between(0.010, 0.012);
        let nucleus = Ellipse::new(place, [1.5 * size, size]).turned(stream.between(-0.5, 0.5)).soft(0.006);
        canvas.paint(&nucleus, SMALL_NUCLEUS, 0.8);
    }
}

/// One or two nests that keep clear of the border.
fn nests(aspect: f64, stream: &mut Stream) -> Vec<Ellipse> {
    let count = 1 + stream.below(2);
    let side = stream.below(2);
    let nest = |order: usize| {
        let x = if (order + side).is_multiple_of(2) { 0.3 } else { 0.7 };
        let centre = [aspect * (x + stream.between(-0.06, 0.06)), stream.between(0.32, 0.68)];
        let radii = [stream.between(0.18, 0.22), stream.between(0.16, 0.20)];
        Ellipse::new(centre, radii).turned(stream.between(-0.6, 0.6)).soft(0.01).wavy(0.09, stream)
    };
    (0..count).map(nest).collect()
}

/// Crowded dark nuclei in a pale cleft.
fn metastasis(canvas: &mut Canvas, nest: &Ellipse, stream: &mut Stream) {
    canvas.paint(nest, CLEFT, 0.95);
    let core = nest.scaled(0.82);
    let reach = nest.radii[0].max(nest.radii[1]);
    let corner = |sign: f64| nest.centre.map(|middle| middle + sign * reach);
    for place in grid(corner(-1.0), corner(1.0), 0.066, 0.010, stream) {
        let size = stream.between(0.025, 0.030);
        let cell = Ellipse::new(place, [1.15 * size, size]).turned(stream.between(0.0, 3.1)).soft(0.005);
        if core.cover(place) > 0.5 {
            canvas.paint(&cell.wavy(0.1, stream), LARGE_NUCLEUS, 1.0);
        }
    }
}

/// Places on a staggered grid from `low` to `high`, each moved by at most `jitter`.
fn grid(low: Point, high: Point, step: f64, jitter: f64, stream: &mut Stream) -> Vec<Point> {
    let count = |k: usize| ((high[k] - low[k]) / step).ceil() as usize;
    let mut places = Vec::with_capacity(count(0) * count(1));
    for row in 0..count(1) {
        let stagger = if row % 2 == 0 { 0.25 } else { 0.75 };
        for column in 0..count(0) {
            let x = low[0] + (column as f64 + stagger) * step + stream.between(-jitter, jitter);
            let y = low[1] + (row as f64 + 0.5) * step + stream.between(-jitter, jitter);
            places.push([x, y]);
        }
    }
    places
}
