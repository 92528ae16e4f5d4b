//! A chest film: lungs, ribs, heart and diaphragm. Pneumonia is a mottled opacity crossed by dark
//! bronchi; a film that is not normal without opacity has a large heart and a pacemaker.

use anyhow::Result;

use crate::phantom::camera::Camera;
use crate::phantom::canvas::{Canvas, grey, mix};
use crate::phantom::mask::Mask;
use crate::phantom::noise::Noise;
use crate::phantom::shape::{Ellipse, Point, Stroke};
use crate::phantom::{Drawing, Scale};
use crate::random::Stream;

const CAMERA: Camera =
    Camera { heights: 188..217, aspects: [0.78, 0.84], colour: grey(0.47), contrast: 0.15 };

/// One film; `Lung Opacity` holds pneumonia.
pub(super) fn draw(finding: &str, order: usize, scale: Scale, stream: &mut Stream) -> Result<Drawing> {
    let exposure = CAMERA.expose(order, scale, stream);
    let chest = Chest::draw(exposure.aspect(), stream);
    let mut canvas = chest.soft_tissue(exposure.height, exposure.width, stream);
    chest.organs(&mut canvas, finding == "No Lung Opacity / Not Normal");
    chest.bones(&mut canvas, stream);
    let mut mask = None;
    if finding == "Lung Opacity" {
        let marks = mask.insert(Mask::new(exposure.height, exposure.width));
        for patch in chest.patches(stream) {
            consolidation(&mut canvas, &patch, stream);
            marks.mark(&patch);
        }
    }
    exposure.take(&mut canvas, None, stream);
    Ok(Drawing { pixels: canvas.to_grey()?, quality: exposure.quality, mask })
}

/// Where things are in one patient.
struct Chest {
    middle: f64,
    aspect: f64,
    top: f64,
    lungs: [Ellipse; 2],
}

impl Chest {
    fn draw(aspect: f64, stream: &mut Stream) -> Chest {
        let near = |middle: f64, stream: &mut Stream| middle + stream.between(-0.007, 0.007);
        let (middle, top) = (near(aspect / 2.0, stream), near(0.0, stream));
        let radii = [near(0.135, stream), near(0.30, stream)];
        let lung = |side: f64| {
            Ellipse::new([middle + side * 0.205, top + 0.46], radii).turned(side * -0.10).soft(0.03)
        };
        Chest { middle, aspect, top, lungs: [lung(-1.0), lung(1.0)] }
    }

    fn soft_tissue(&self, height: usize, width: usize, stream: &mut Stream) -> Canvas {
        let shade = Noise::new(stream);
        Canvas::new(height, width, |place| {
            let aside = (place[0] - self.middle).abs() / (self.aspect / 2.0);
            let shoulder = 0.12 * (1.0 - place[1]) * aside;
            grey(0.62 - 0.16 * aside * aside - shoulder + 0.025 * shade.at(place, [3.0, 3.0]))
        })
    }

    fn organs(&self, canvas: &mut Canvas, large_heart: bool) {
        for lung in &self.lungs {
            canvas.paint(lung, grey(0.20), 0.85);
        }
        let spine = Ellipse::new([self.middle, 0.5], [0.055, 0.9]).soft(0.03);
        canvas.add(&spine, 0.12);
        let size = if large_heart { 1.45 } else { 1.0 };
        let heart = Ellipse::new([self.middle + 0.055, self.top + 0.60], [0.125 * size, 0.14 * size]);
        canvas.paint(&heart.turned(0.5).soft(0.035), grey(0.70), 0.85);
        for (side, depth) in [(-1.0, 0.99), (1.0, 1.01)] {
            let dome = Ellipse::new([self.middle + side * 0.21, self.top + depth], [0.21, 0.25]).soft(0.02);
            canvas.paint(&dome, grey(0.76), 0.9);
        }
        if large_heart {
            let pacemaker = Ellipse::new([self.middle + 0.24, self.top + 0.25], [0.055, 0.04]);
            canvas.paint(&pacemaker, grey(0.98), 1.0);
        }
    }

    fn bones(&self, canvas: &mut Canvas, stream: &mut Stream) {
        for side in [-1.0, 1.0] {
            let x = |reach: f64| self.middle + side * reach;
            for level in 0..7 {
                let y = self.top + 0.20 + 0.085 * f64::from(level) + stream.between(-0.003, 0.003);
                let rib =
                    Stroke::curve([x(0.05), y - 0.04], [x(0.28), y - 0.06], [x(0.36), y + 0.09], [0.022; 2]);
                canvas.add(&rib.soft(0.008), 0.055);
            }
            let y = self.top + 0.17;
            let clavicle = Stroke::curve([x(0.05), y + 0.02], [x(0.16), y], [x(0.36), y - 0.05], [0.028; 2]);
            canvas.add(&clavicle.soft(0.008), 0.09);
        }
    }

    /// One patch, or one in each lung.
    fn patches(&self, stream: &mut Stream) -> Vec<Ellipse> {
        let count = 1 + stream.below(2);
        let first = stream.below(2);
        let patch = |order: usize| {
            let lung = &self.lungs[(first + order) % 2];
            let outward = if (first + order).is_multiple_of(2) { -0.02 } else { 0.02 };
            let centre = [lung.centre[0] + outward, lung.centre[1] + stream.between(-0.08, 0.14)];
            let radii = [stream.between(0.085, 0.11), stream.between(0.10, 0.14)];
            Ellipse::new(centre, radii).soft(0.02).wavy(0.08, stream)
        };
        (0..count).map(patch).collect()
    }
}

/// Fluid-filled lung, mottled, with air left in the bronchi.
fn consolidation(canvas: &mut Canvas, patch: &Ellipse, stream: &mut Stream) {
    let mottle = Noise::new(stream);
    canvas.change(patch, |place, sample, cover| {
        let grain = mottle.at(place, [22.0, 22.0]);
        mix(sample, grey(0.50 + 0.50 * grain), 0.9 * cover)
    });
    let hilum: Point = patch.at(0.75, stream.between(0.0, std::f64::consts::TAU));
    for branch in 0..3 {
        let turn = std::f64::consts::TAU * (f64::from(branch) / 3.0) + stream.between(-0.4, 0.4);
        let bronchus = Stroke::curve(hilum, patch.centre, patch.at(0.85, turn), [0.012, 0.007]);
        canvas.paint(&bronchus, grey(0.12), 0.7);
    }
}
