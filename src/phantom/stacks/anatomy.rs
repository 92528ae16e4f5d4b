//! A head, a chest and an abdomen as slices of one patient: every organ is a stack of ellipses that swell and shrink with
//! height, and a lesion is a ball.

use super::SIDE;
use crate::phantom::canvas::{Canvas, Colour, grey, mix};
use crate::phantom::mask::Mask;
use crate::phantom::noise::Noise;
use crate::phantom::shape::{Ellipse, Point};
use crate::random::Stream;

/// What all slices of a patient share.
pub(super) struct Patient {
    /// Of the whole body, around 1.
    size: f64,
    /// Of all values, around 1.
    gain: f64,
    grain: f64,
    shift: Point,
    lesion: Option<Ball>,
}

/// A lesion: which side, how far from the middle of its organ, where in height, and how large.
struct Ball {
    side: f64,
    place: Point,
    height: f64,
    radius: f64,
}

/// Height of a slice's neighbours, of a volume from 0 to 1, over what a ball's radius is of a slice's side.
const STRETCH: f64 = 2.2;

impl Patient {
    /// Healthy or ill; nothing but the lesion differs.
    pub(super) fn new(is_ill: bool, stream: &mut Stream) -> Patient {
        let [size, gain] = [(); 2].map(|()| stream.between(0.94, 1.06));
        let grain = stream.between(0.02, 0.04);
        let shift = [(); 2].map(|()| stream.between(-0.02, 0.02));
        let ball = Ball {
            side: if stream.below(2) == 0 { -1.0 } else { 1.0 },
            place: [(); 2].map(|()| stream.between(-1.0, 1.0)),
            height: stream.between(0.25, 0.75),
            radius: stream.between(0.055, 0.085),
        };
        Patient { size, gain, grain, shift, lesion: is_ill.then_some(ball) }
    }

    /// An organ's ellipse at a height: `centre` from the middle of the body, widest at the height `widest`.
    fn organ(&self, centre: Point, radii: Point, (height, widest): (f64, f64)) -> Ellipse {
        let swell = (1.0 - 0.9 * (height - widest).powi(2)).max(0.2).sqrt() * self.size;
        let middle =
            [0.5 + self.shift[0] + centre[0] * self.size, 0.5 + self.shift[1] + centre[1] * self.size];
        Ellipse::new(middle, radii.map(|radius| radius * swell)).soft(0.02)
    }

    /// The lesion where a slice meets it, on its side of the middle, within `spread` of `centre`.
    fn lesion(&self, centre: Point, spread: Point, height: f64) -> Option<Ellipse> {
        let ball = self.lesion.as_ref()?;
        let away = (height - ball.height) / STRETCH;
        let radius = (ball.radius.powi(2) - away.powi(2)).max(0.0).sqrt();
        let place =
            [ball.side * centre[0] + spread[0] * ball.place[0], centre[1] + spread[1] * ball.place[1]];
        let middle = [0.5 + self.shift[0] + place[0] * self.size, 0.5 + self.shift[1] + place[1] * self.size];
        (radius > 0.35 * ball.radius).then(|| Ellipse::disc(middle, radius).soft(0.012))
    }

    /// Texture inside a body, grain everywhere, and the gain.
    fn finish(&self, canvas: &mut Canvas, stream: &mut Stream) {
        canvas.change_all(|_, sample| {
            let grain = self.grain * stream.between(-1.0, 1.0);
            sample.map(|value| self.gain * value + grain)
        });
    }
}

fn textured(canvas: &mut Canvas, organ: &Ellipse, level: f64, depth: f64, stream: &mut Stream) {
    let noise = Noise::new(stream);
    canvas.change(organ, |place, sample, cover| {
        mix(sample, grey(level + depth * noise.at(place, [9.0, 9.0])), cover)
    });
}

fn marked(lesion: Option<&Ellipse>) -> Mask {
    let mut mask = Mask::new(SIDE, SIDE);
    if let Some(lesion) = lesion {
        mask.mark(lesion);
    }
    mask
}

const AIR: Colour = grey(0.03);

/// Scalp, skull, brain with ventricles; a lesion is bright with a dark core.
pub(super) fn brain(patient: &Patient, height: f64, stream: &mut Stream) -> (Canvas, Mask) {
    let mut canvas = Canvas::new(SIDE, SIDE, |_| AIR);
    let at = (height, 0.4);
    let head = patient.organ([0.0, 0.0], [0.36, 0.44], at);
    canvas.paint(&head, grey(0.75), 1.0);
    canvas.paint(&head.scaled(0.94), grey(0.10), 1.0);
    textured(&mut canvas, &head.scaled(0.86), 0.42, 0.05, stream);
    for side in [-1.0, 1.0] {
        let ventricle = patient.organ([0.06 * side, -0.02], [0.03, 0.11], (height, 0.5)).turned(0.2 * side);
        canvas.paint(&ventricle, grey(0.16), 0.9 * (1.0 - 1.6 * (height - 0.5).abs()).max(0.0));
    }
    let lesion = patient.lesion([0.17, 0.0], [0.03, 0.16], height);
    if let Some(lesion) = &lesion {
        canvas.paint(lesion, grey(0.60), 0.9);
        canvas.paint(&lesion.scaled(0.5), grey(0.30), 0.9);
    }
    patient.finish(&mut canvas, stream);
    (canvas, marked(lesion.as_ref()))
}

/// Body, spine, lungs with vessels; a lesion is a bright mass in a lung.
pub(super) fn chest(patient: &Patient, height: f64, stream: &mut Stream) -> (Canvas, Mask) {
    let mut canvas = Canvas::new(SIDE, SIDE, |_| AIR);
    let body = patient.organ([0.0, 0.0], [0.46, 0.36], (height, 0.5));
    textured(&mut canvas, &body, 0.50, 0.03, stream);
    canvas.paint(&patient.organ([0.0, 0.22], [0.06, 0.07], (height, 0.5)), grey(0.92), 1.0);
    canvas.paint(&patient.organ([0.03, -0.08], [0.11, 0.10], (height, 0.3)), grey(0.60), 1.0);
    for side in [-1.0, 1.0] {
        let lung = patient.organ([0.24 * side, -0.01], [0.15, 0.24], (height, 0.4));
        textured(&mut canvas, &lung, 0.12, 0.03, stream);
        for _ in 0..7 {
            let vessel = Ellipse::disc(lung.draw_inside(0.8, stream), stream.between(0.010, 0.018));
            canvas.paint(&vessel, grey(0.45), 0.8);
        }
    }
    let lesion = patient.lesion([0.24, -0.01], [0.05, 0.13], height);
    if let Some(lesion) = &lesion {
        textured(&mut canvas, lesion, 0.50, 0.08, stream);
    }
    patient.finish(&mut canvas, stream);
    (canvas, marked(lesion.as_ref()))
}

/// Body with fat, spine, liver, spleen and kidneys; a lesion is dark, in the liver or the spleen.
pub(super) fn abdomen(patient: &Patient, height: f64, stream: &mut Stream) -> (Canvas, Mask) {
    let mut canvas = Canvas::new(SIDE, SIDE, |_| AIR);
    let body = patient.organ([0.0, 0.0], [0.46, 0.36], (height, 0.5));
    canvas.paint(&body, grey(0.28), 1.0);
    textured(&mut canvas, &body.scaled(0.90), 0.36, 0.04, stream);
    canvas.paint(&patient.organ([0.0, 0.20], [0.06, 0.07], (height, 0.5)), grey(0.90), 1.0);
    textured(&mut canvas, &patient.organ([-0.20, -0.04], [0.18, 0.20], (height, 0.6)), 0.58, 0.03, stream);
    textured(&mut canvas, &patient.organ([0.24, -0.04], [0.13, 0.16], (height, 0.6)), 0.58, 0.03, stream);
    for side in [-1.0, 1.0] {
        let kidney = patient.organ([0.20 * side, 0.18], [0.06, 0.08], (height, 0.2));
        canvas.paint(&kidney, grey(0.70), (1.2 - 1.5 * height).clamp(0.0, 1.0));
    }
    let lesion = patient.lesion([0.22, -0.05], [0.04, 0.08], height);
    if let Some(lesion) = &lesion {
        textured(&mut canvas, lesion, 0.34, 0.04, stream);
    }
    patient.finish(&mut canvas, stream);
    (canvas, marked(lesion.as_ref()))
}
