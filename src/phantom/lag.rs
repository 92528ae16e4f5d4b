//! The optic disc close up; in glaucoma the cup is large and pale, shows the pores of the lamina,
//! notches the rim, and the disc's edge bleeds.

use anyhow::Result;

use crate::phantom::camera::Camera;
use crate::phantom::canvas::{Canvas, Colour};
use crate::phantom::fundus::{BLOOD, Course, DISC, RETINA, vessels};
use crate::phantom::mask::Mask;
use crate::phantom::noise::Noise;
use crate::phantom::shape::{Ellipse, Stroke};
use crate::phantom::{Drawing, Scale};
use crate::random::Stream;

const CAMERA: Camera =
    Camera { heights: 141..180, aspects: [1.16, 1.24], colour: [0.78, 0.43, 0.21], contrast: 0.105 };
const CUP: Colour = [0.99, 0.84, 0.58];
const BARE_CUP: Colour = [1.0, 0.90, 0.70];
const PORE: Colour = [0.66, 0.51, 0.36];

/// From the middle of the disc, in picture heights.
const COURSES: [Course; 8] = [
    ([[-0.03, 0.02], [-0.02, -0.25], [0.22, -0.52]], 0.040),
    ([[-0.03, 0.02], [-0.03, 0.25], [0.20, 0.52]], 0.040),
    ([[-0.04, 0.0], [-0.10, -0.22], [-0.34, -0.50]], 0.030),
    ([[-0.04, 0.0], [-0.10, 0.22], [-0.36, 0.50]], 0.030),
    ([[-0.02, -0.10], [0.0, -0.30], [0.02, -0.54]], 0.022),
    ([[-0.02, 0.10], [-0.05, 0.30], [-0.04, 0.54]], 0.022),
    ([[-0.03, -0.02], [-0.25, -0.10], [-0.60, -0.14]], 0.018),
    ([[-0.03, 0.03], [0.25, 0.12], [0.62, 0.20]], 0.016),
];

/// One crop; `suspicious_glaucoma` holds the damaged disc.
pub(super) fn draw(finding: &str, order: usize, scale: Scale, stream: &mut Stream) -> Result<Drawing> {
    let exposure = CAMERA.expose(order, scale, stream);
    let mut canvas = retina(exposure.height, exposure.width, stream);
    let near = |middle: f64, stream: &mut Stream| middle + stream.between(-0.01, 0.01);
    let centre = [near(exposure.aspect() / 2.0, stream), near(0.5, stream)];
    let disc = Ellipse::new(centre, [near(0.26, stream), near(0.28, stream)]).soft(0.02);
    canvas.paint(&disc.scaled(1.04), [0.86, 0.52, 0.26], 0.8);
    canvas.paint(&disc, DISC, 0.95);
    let ill = finding == "suspicious_glaucoma";
    let cup =
        if ill { damaged_cup(&disc, stream) } else { disc.scaled(stream.between(0.32, 0.4)).soft(0.03) };
    canvas.paint(&cup, if ill { BARE_CUP } else { CUP }, 0.9);
    vessels(&mut canvas, &COURSES, centre, 1.0, stream);
    let mut mask = None;
    if ill {
        pores(&mut canvas, &cup, stream);
        let mut marks = Mask::new(exposure.height, exposure.width);
        marks.mark(&cup);
        for flame in bleeding(&disc, stream) {
            canvas.paint(&flame, BLOOD, 0.85);
            marks.mark(&flame);
        }
        mask = Some(marks);
    }
    exposure.take(&mut canvas, None, stream);
    Ok(Drawing { pixels: canvas.to_rgb()?, quality: exposure.quality, mask })
}

fn retina(height: usize, width: usize, stream: &mut Stream) -> Canvas {
    let [shade, choroid] = [(); 2].map(|()| Noise::new(stream));
    Canvas::new(height, width, |place| {
        let light = 1.0 + 0.05 * shade.at(place, [2.0, 2.0]) + 0.03 * choroid.at(place, [14.0, 14.0]);
        RETINA.map(|value| value * light)
    })
}

/// Nearly as large as the disc, with a notch towards the upper or the lower rim.
fn damaged_cup(disc: &Ellipse, stream: &mut Stream) -> Ellipse {
    let towards = if stream.below(2) == 0 { -1.0 } else { 1.0 };
    let cup = disc.scaled(stream.between(0.66, 0.78));
    let centre = [cup.centre[0] + 0.01, cup.centre[1] + towards * 0.03];
    Ellipse::new(centre, [cup.radii[0], 1.1 * cup.radii[1]]).soft(0.008).wavy(0.03, stream)
}

/// Openings of the lamina cribrosa, seen where the nerve fibres are gone.
fn pores(canvas: &mut Canvas, cup: &Ellipse, stream: &mut Stream) {
    canvas.paint(&cup.clone().rim(0.008), PORE, 0.6);
    for (ring, count) in [(0.25, 4), (0.52, 9), (0.80, 14)] {
        for order in 0..count {
            let turn =
                std::f64::consts::TAU * f64::from(order) / f64::from(count) + stream.between(-0.12, 0.12);
            let size = stream.between(0.008, 0.012);
            canvas.paint(&Ellipse::new(cup.at(ring, turn), [size, 1.2 * size]), PORE, 0.95);
        }
    }
}

/// A flame-shaped haemorrhage across the disc's edge.
fn bleeding(disc: &Ellipse, stream: &mut Stream) -> Vec<Stroke> {
    let turn = [0.9, 2.3, 3.9, 5.4][stream.below(4)] + stream.between(-0.15, 0.15);
    let flame = |fibre: i32| {
        let turn = turn + 0.045 * f64::from(fibre);
        let reach = 1.26 - 0.05 * f64::from(fibre * fibre);
        let widths = [0.024, 0.013];
        Stroke::curve(disc.at(0.9, turn), disc.at(1.05, turn + 0.05), disc.at(reach, turn), widths)
    };
    (-2..=2).map(flame).collect()
}
