//! The whole fundus of a right eye; retinopathy brings haemorrhages and rings of hard exudates,
//! more of both with every grade.

use anyhow::Result;

use crate::phantom::camera::Camera;
use crate::phantom::canvas::{Canvas, Colour};
use crate::phantom::fundus::{BLOOD, Course, DISC, RETINA, vessels};
use crate::phantom::mask::Mask;
use crate::phantom::noise::Noise;
use crate::phantom::shape::{Ellipse, Point};
use crate::phantom::{Drawing, Scale};
use crate::random::Stream;

const CAMERA: Camera =
    Camera { heights: 156..177, aspects: [1.22, 1.30], colour: [0.68, 0.355, 0.15], contrast: 0.075 };
const EXUDATE: Colour = [1.0, 0.93, 0.55];

/// From the disc, in picture heights: the temporal arcades and the nasal vessels.
const COURSES: [Course; 8] = [
    ([[0.0, -0.02], [-0.10, -0.34], [-0.62, -0.20]], 0.020),
    ([[0.0, 0.02], [-0.10, 0.34], [-0.62, 0.22]], 0.020),
    ([[0.0, -0.02], [-0.03, -0.22], [-0.22, -0.42]], 0.014),
    ([[0.0, 0.02], [-0.03, 0.22], [-0.24, 0.42]], 0.014),
    ([[0.0, -0.02], [0.08, -0.14], [0.14, -0.24]], 0.012),
    ([[0.0, 0.02], [0.08, 0.14], [0.14, 0.24]], 0.012),
    ([[-0.24, -0.22], [-0.30, -0.12], [-0.36, -0.06]], 0.009),
    ([[-0.24, 0.22], [-0.30, 0.13], [-0.36, 0.07]], 0.009),
];

/// Haemorrhages and rings of exudates of grades 1 to 4.
const LOAD: [(&str, usize, usize); 4] = [("1", 4, 1), ("2", 6, 2), ("3", 8, 3), ("4", 10, 4)];

/// One photograph of grade `finding`, `0` to `4`.
pub(super) fn draw(finding: &str, order: usize, scale: Scale, stream: &mut Stream) -> Result<Drawing> {
    let exposure = CAMERA.expose(order, scale, stream);
    let near = |middle: f64, stream: &mut Stream| middle + stream.between(-0.008, 0.008);
    let middle = [near(exposure.aspect() / 2.0, stream), near(0.5, stream)];
    let field = Ellipse::disc(middle, near(0.465, stream)).soft(0.012);
    let mut canvas = retina(exposure.height, exposure.width, &field, stream);
    let disc = [near(middle[0] + 0.28, stream), near(middle[1] - 0.01, stream)];
    canvas.paint(&Ellipse::new(disc, [0.058, 0.068]).soft(0.012), DISC, 0.9);
    canvas.paint(&Ellipse::new(disc, [0.026, 0.03]).soft(0.012), [1.0, 0.86, 0.6], 0.8);
    vessels(&mut canvas, &COURSES, disc, 1.0, stream);
    let load = LOAD.iter().find(|load| load.0 == finding);
    let mask = load.map(|&(_, haemorrhages, rings)| {
        let mut mask = Mask::new(exposure.height, exposure.width);
        let places = scatter(&field, disc, haemorrhages + rings, stream);
        for (order, &place) in places.iter().enumerate() {
            let lesion = if order < rings {
                exudates(&mut canvas, place, stream)
            } else {
                bleed(&mut canvas, place, stream)
            };
            mask.mark(&lesion);
        }
        mask
    });
    exposure.take(&mut canvas, Some(&field), stream);
    Ok(Drawing { pixels: canvas.to_rgb()?, quality: exposure.quality, mask })
}

fn retina(height: usize, width: usize, field: &Ellipse, stream: &mut Stream) -> Canvas {
    let [shade, choroid] = [(); 2].map(|()| Noise::new(stream));
    let macula = [field.centre[0] - 0.04, field.centre[1] + 0.015];
    Canvas::new(height, width, |place| {
        let away = |from: Point| (place[0] - from[0]).powi(2) + (place[1] - from[1]).powi(2);
        let dusk = 0.28 * (-away(macula) / 0.004).exp() + 0.9 * away(field.centre);
        let texture = 0.05 * shade.at(place, [2.5, 2.5]) + 0.025 * choroid.at(place, [20.0, 20.0]);
        RETINA.map(|value| value * (1.0 - dusk + texture))
    })
}

/// Places on the retina that keep clear of the disc and of one another.
fn scatter(field: &Ellipse, disc: Point, count: usize, stream: &mut Stream) -> Vec<Point> {
    let mut places: Vec<Point> = Vec::with_capacity(count);
    while places.len() < count {
        let place = field.draw_inside(0.78, stream);
        let away = |from: &Point| (place[0] - from[0]).hypot(place[1] - from[1]);
        let crowded = away(&disc) < 0.14 || places.iter().any(|other| away(other) < 0.08);
        if !crowded {
            places.push(place);
        }
    }
    places
}

/// A blot haemorrhage.
fn bleed(canvas: &mut Canvas, place: Point, stream: &mut Stream) -> Ellipse {
    let radii = [stream.between(0.018, 0.034), stream.between(0.018, 0.030)];
    let blot = Ellipse::new(place, radii).turned(stream.between(0.0, 3.1)).soft(0.005).wavy(0.14, stream);
    canvas.paint(&blot, BLOOD, 0.95);
    blot
}

/// Hard exudates round a leak: a cluster of bright yellow grains.
fn exudates(canvas: &mut Canvas, place: Point, stream: &mut Stream) -> Ellipse {
    let ring = Ellipse::disc(place, stream.between(0.034, 0.046));
    let count = 8 + stream.below(4);
    for order in 0..count {
        let turn = std::f64::consts::TAU * order as f64 / count as f64 + stream.between(-0.4, 0.4);
        let grain = Ellipse::disc(ring.at(stream.between(0.25, 1.0), turn), stream.between(0.008, 0.016));
        canvas.paint(&grain.wavy(0.15, stream), EXUDATE, 0.97);
    }
    ring.scaled(1.25)
}
