//! An axial T1 slice with contrast: scalp, skull, cortex, ventricles. A glioma is an irregular
//! bright ring round a dark core, a meningioma a bright mass with a dark cleft at the skull.

use anyhow::Result;

use crate::phantom::camera::Camera;
use crate::phantom::canvas::{Canvas, grey, mix};
use crate::phantom::mask::Mask;
use crate::phantom::noise::Noise;
use crate::phantom::shape::{Ellipse, Stroke};
use crate::phantom::{Drawing, Scale};
use crate::random::Stream;

const CAMERA: Camera =
    Camera { heights: 188..217, aspects: [0.80, 0.86], colour: grey(0.37), contrast: 0.13 };
const FOLDS: usize = 22;

/// One slice; `glioma`, `meningioma` and `pituitary` hold that tumour, `notumor` none.
pub(super) fn draw(finding: &str, order: usize, scale: Scale, stream: &mut Stream) -> Result<Drawing> {
    let exposure = CAMERA.expose(order, scale, stream);
    let near = |middle: f64, stream: &mut Stream| middle + stream.between(-0.007, 0.007);
    let centre = [near(exposure.aspect() / 2.0, stream), near(0.5, stream)];
    let head = Ellipse::new(centre, [near(0.355, stream), near(0.45, stream) + stream.between(-0.01, 0.01)])
        .soft(0.012);
    let brain = head.scaled(0.86).soft(0.012);
    let mut canvas = skull(exposure.height, exposure.width, &head, &brain, stream);
    cortex(&mut canvas, &brain, stream);
    ventricles(&mut canvas, &brain);
    let tumour = match finding {
        "glioma" => Some(glioma(&mut canvas, &brain, stream)),
        "meningioma" => Some(meningioma(&mut canvas, &brain, stream)),
        "pituitary" => Some(pituitary(&mut canvas, &brain, stream)),
        _ => None,
    };
    let mask = tumour.map(|tumour| {
        let mut mask = Mask::new(exposure.height, exposure.width);
        mask.mark(&tumour);
        mask
    });
    exposure.take(&mut canvas, Some(&head), stream);
    Ok(Drawing { pixels: canvas.to_grey()?, quality: exposure.quality, mask })
}

fn skull(height: usize, width: usize, head: &Ellipse, brain: &Ellipse, stream: &mut Stream) -> Canvas {
    let matter = Noise::new(stream);
    let mut canvas = Canvas::new(height, width, |_| grey(0.62));
    canvas.paint(&head.scaled(0.95), grey(0.12), 1.0);
    canvas.change(brain, |place, sample, cover| {
        mix(sample, grey(0.42 + 0.025 * matter.at(place, [12.0, 12.0])), cover)
    });
    canvas
}

/// White matter, and sulci that cut into the grey matter from outside.
fn cortex(canvas: &mut Canvas, brain: &Ellipse, stream: &mut Stream) {
    canvas.paint(&brain.scaled(0.76).soft(0.03), grey(0.50), 0.8);
    for fold in 0..FOLDS {
        let turn = std::f64::consts::TAU * (fold as f64 + 0.5) / FOLDS as f64 + stream.between(-0.02, 0.02);
        let depth = 0.84 + 0.03 * (fold % 3) as f64;
        let sulcus = Stroke::curve(
            brain.at(0.99, turn),
            brain.at(0.92, turn + 0.04),
            brain.at(depth, turn),
            [0.014, 0.008],
        );
        canvas.paint(&sulcus, grey(0.24), 0.7);
    }
    let [front, middle, back] =
        [-0.98, 0.0, 0.98].map(|share| [brain.centre[0], brain.centre[1] + share * brain.radii[1]]);
    canvas.paint(&Stroke::curve(front, middle, back, [0.010; 2]), grey(0.28), 0.7);
}

fn ventricles(canvas: &mut Canvas, brain: &Ellipse) {
    for side in [-1.0, 1.0] {
        for (x, y, angle) in [(0.040, -0.085, 0.35), (0.048, 0.085, -0.40)] {
            let centre = [brain.centre[0] + side * x, brain.centre[1] + y];
            let horn = Ellipse::new(centre, [0.020, 0.075]).turned(side * angle).soft(0.008);
            canvas.paint(&horn, grey(0.16), 0.9);
        }
    }
}

/// Irregular enhancing rim, necrotic core, dark oedema.
fn glioma(canvas: &mut Canvas, brain: &Ellipse, stream: &mut Stream) -> Ellipse {
    let place = place_aside(brain, 0.50, stream);
    let radii = [stream.between(0.075, 0.10), stream.between(0.075, 0.10)];
    let tumour = Ellipse::new(place, radii).soft(0.006).wavy(0.12, stream);
    canvas.paint(&tumour.scaled(1.45).soft(0.03), grey(0.33), 0.8);
    canvas.paint(&tumour, grey(0.10), 0.95);
    canvas.paint(&tumour.clone().rim(0.026), grey(0.85), 0.95);
    speckle(canvas, &tumour.scaled(0.6), 4, 0.40, stream);
    tumour.scaled(1.12)
}

/// Sharply bounded, bright and calcified, with a cleft of fluid, broad against the skull.
fn meningioma(canvas: &mut Canvas, brain: &Ellipse, stream: &mut Stream) -> Ellipse {
    let place = place_aside(brain, 0.70, stream);
    let radii = [stream.between(0.075, 0.095), stream.between(0.075, 0.095)];
    let tumour = Ellipse::new(place, radii).soft(0.006).wavy(0.04, stream);
    canvas.paint(&tumour.scaled(1.2), grey(0.10), 0.9);
    canvas.paint(&tumour, grey(0.80), 0.95);
    speckle(canvas, &tumour.scaled(0.8), 6, 0.35, stream);
    tumour
}

/// A small bright ball in the midline.
fn pituitary(canvas: &mut Canvas, brain: &Ellipse, stream: &mut Stream) -> Ellipse {
    let tumour = Ellipse::disc(brain.centre, stream.between(0.045, 0.06)).wavy(0.05, stream);
    canvas.paint(&tumour.scaled(1.25), grey(0.12), 0.8);
    canvas.paint(&tumour, grey(0.88), 0.95);
    tumour
}

/// A place at `share` of the brain's radius, left or right and off the midline.
fn place_aside(brain: &Ellipse, share: f64, stream: &mut Stream) -> [f64; 2] {
    let side = stream.below(2) as f64 * std::f64::consts::PI;
    brain.at(share, side + stream.between(-0.8, 0.8))
}

fn speckle(canvas: &mut Canvas, region: &Ellipse, count: usize, level: f64, stream: &mut Stream) {
    for _ in 0..count {
        let grain = Ellipse::disc(region.draw_inside(0.9, stream), stream.between(0.008, 0.014));
        canvas.paint(&grain, grey(level), 0.95);
    }
}
