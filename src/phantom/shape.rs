//! Shapes as functions from a place to how much of it they cover.
//!
//! Lengths are in picture heights: `x` runs from 0 to the aspect ratio, `y` from 0 to 1, downwards.

use crate::random::Stream;

/// `[x, y]` in picture heights.
pub(super) type Point = [f64; 2];

/// Something that covers places.
pub(super) trait Shape {
    /// Upper left and lower right corner of all that it covers.
    fn bounds(&self) -> [Point; 2];
    /// 0 outside, 1 inside, between the two on a soft edge.
    fn cover(&self, place: Point) -> f64;
}

/// An ellipse with a soft edge, if wanted with a wavy outline or as a rim only.
#[derive(Clone, Debug)]
pub(super) struct Ellipse {
    pub centre: Point,
    pub radii: Point,
    /// Turn in radians.
    pub angle: f64,
    /// Half the width of the edge.
    pub softness: f64,
    /// Thickness of the rim, for an outline.
    pub rim: Option<f64>,
    waves: Option<[(f64, f64); 3]>,
}

/// How often each wave of an outline goes round.
const TURNS: [f64; 3] = [2.0, 3.0, 5.0];

impl Ellipse {
    /// An upright ellipse with a crisp edge.
    pub(super) fn new(centre: Point, radii: Point) -> Ellipse {
        Ellipse { centre, radii, angle: 0.0, softness: 0.004, rim: None, waves: None }
    }

    /// A disc with a crisp edge.
    pub(super) fn disc(centre: Point, radius: f64) -> Ellipse {
        Ellipse::new(centre, [radius, radius])
    }

    /// The same turned by `angle` radians.
    pub(super) fn turned(self, angle: f64) -> Ellipse {
        Ellipse { angle, ..self }
    }

    /// The same with an edge that fades over twice `softness`.
    pub(super) fn soft(self, softness: f64) -> Ellipse {
        Ellipse { softness, ..self }
    }

    /// Its outline only.
    pub(super) fn rim(self, thickness: f64) -> Ellipse {
        Ellipse { rim: Some(thickness), ..self }
    }

    /// The same with a wavy outline; `strength` is the waves' part of the radius.
    pub(super) fn wavy(self, strength: f64, stream: &mut Stream) -> Ellipse {
        let waves = [(); 3].map(|()| {
            let height = strength * stream.between(0.3, 1.0);
            (height, stream.between(0.0, std::f64::consts::TAU))
        });
        Ellipse { waves: Some(waves), ..self }
    }

    /// The same outline with radii multiplied by `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Ellipse {
        Ellipse { radii: self.radii.map(|radius| radius * factor), ..self.clone() }
    }

    /// The place at `share` of the radius in the direction `turn` (radians).
    pub(super) fn at(&self, share: f64, turn: f64) -> Point {
        let [u, v] = [share * self.radii[0] * turn.cos(), share * self.radii[1] * turn.sin()];
        let (sin, cos) = self.angle.sin_cos();
        [self.centre[0] + u * cos - v * sin, self.centre[1] + u * sin + v * cos]
    }

    /// A place inside `share` of the radius, uniform over the area.
    pub(super) fn draw_inside(&self, share: f64, stream: &mut Stream) -> Point {
        let radius = share * stream.unit().sqrt();
        self.at(radius, stream.between(0.0, std::f64::consts::TAU))
    }
}

impl Shape for Ellipse {
    fn bounds(&self) -> [Point; 2] {
        let swell: f64 = self.waves.iter().flatten().map(|wave| wave.0).sum();
        let radius = self.radii[0].max(self.radii[1]);
        let reach = radius * (1.0 + swell) + self.softness + self.rim.unwrap_or(0.0);
        [self.centre.map(|middle| middle - reach), self.centre.map(|middle| middle + reach)]
    }

    fn cover(&self, place: Point) -> f64 {
        let [x, y] = [place[0] - self.centre[0], place[1] - self.centre[1]];
        let (sin, cos) = self.angle.sin_cos();
        let [u, v] = [(x * cos + y * sin) / self.radii[0], (y * cos - x * sin) / self.radii[1]];
        let mut edge = 1.0;
        if let Some(waves) = &self.waves {
            let turn = v.atan2(u);
            edge += waves.iter().zip(TURNS).map(|(wave, k)| wave.0 * (k * turn + wave.1).sin()).sum::<f64>();
        }
        let outside = (u.hypot(v) - edge) * self.radii[0].min(self.radii[1]);
        let outside = self.rim.map_or(outside, |rim| outside.abs() - rim / 2.0);
        fade(outside, self.softness)
    }
}

/// A curved line that may taper: a vessel, a rib, a fibre.
#[derive(Clone, Debug)]
pub(super) struct Stroke {
    points: Vec<Point>,
    widths: [f64; 2],
    softness: f64,
}

impl Stroke {
    /// From `from` to `to`, drawn towards `bend` on the way (a quadratic Bézier curve);
    /// `widths` are those at the two ends.
    pub(super) fn curve(from: Point, bend: Point, to: Point, widths: [f64; 2]) -> Stroke {
        let steps = 10;
        let point = |step: usize| {
            let t = step as f64 / steps as f64;
            let mix =
                |k: usize| (1.0 - t) * (1.0 - t) * from[k] + 2.0 * t * (1.0 - t) * bend[k] + t * t * to[k];
            [mix(0), mix(1)]
        };
        Stroke { points: (0..=steps).map(point).collect(), widths, softness: 0.006 }
    }

    /// The same with an edge that fades over twice `softness`.
    pub(super) fn soft(self, softness: f64) -> Stroke {
        Stroke { softness, ..self }
    }
}

impl Shape for Stroke {
    fn bounds(&self) -> [Point; 2] {
        let reach = self.widths[0].max(self.widths[1]) / 2.0 + self.softness;
        let lowest = |k: usize| self.points.iter().map(|p| p[k]).fold(f64::INFINITY, f64::min) - reach;
        let highest = |k: usize| self.points.iter().map(|p| p[k]).fold(f64::NEG_INFINITY, f64::max) + reach;
        [[lowest(0), lowest(1)], [highest(0), highest(1)]]
    }

    fn cover(&self, place: Point) -> f64 {
        let pieces = self.points.len() - 1;
        let outside = (0..pieces).map(|piece| {
            let (along, distance) = nearest(place, self.points[piece], self.points[piece + 1]);
            let t = (piece as f64 + along) / pieces as f64;
            distance - (self.widths[0] + t * (self.widths[1] - self.widths[0])) / 2.0
        });
        fade(outside.fold(f64::INFINITY, f64::min), self.softness)
    }
}

/// How far along the line from `from` to `to` the nearest place lies (0 to 1), and its distance.
fn nearest(place: Point, from: Point, to: Point) -> (f64, f64) {
    let line = [to[0] - from[0], to[1] - from[1]];
    let away = [place[0] - from[0], place[1] - from[1]];
    let length = (line[0] * line[0] + line[1] * line[1]).max(1e-12);
    let along = ((away[0] * line[0] + away[1] * line[1]) / length).clamp(0.0, 1.0);
    (along, (away[0] - along * line[0]).hypot(away[1] - along * line[1]))
}

/// 1 deep inside, 0 well outside, smooth over twice `softness`.
fn fade(outside: f64, softness: f64) -> f64 {
    let t = (0.5 - outside / (2.0 * softness)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
