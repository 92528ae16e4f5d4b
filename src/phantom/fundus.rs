//! What the two fundus tasks share: colours, vessels and bleeding.

use crate::phantom::canvas::{Canvas, Colour};
use crate::phantom::shape::{Point, Stroke};
use crate::random::Stream;

pub(super) const RETINA: Colour = [0.78, 0.40, 0.17];
pub(super) const DISC: Colour = [0.95, 0.68, 0.40];
pub(super) const VESSEL: Colour = [0.50, 0.15, 0.08];
pub(super) const BLOOD: Colour = [0.30, 0.04, 0.03];

/// A vessel's course: from, bend, to, each `[x, y]`, then the width where it starts.
pub(super) type Course = ([Point; 3], f64);

/// Paints `courses`, each moved a little, scaled by `reach` about `origin`.
pub(super) fn vessels(
    canvas: &mut Canvas,
    courses: &[Course],
    origin: Point,
    reach: f64,
    stream: &mut Stream,
) {
    for (course, width) in courses {
        let [from, bend, to] = course.map(|place| {
            let moved =
                |k: usize, stream: &mut Stream| origin[k] + reach * place[k] + stream.between(-0.007, 0.007);
            [moved(0, stream), moved(1, stream)]
        });
        let width = width * stream.between(0.9, 1.1);
        canvas.paint(&Stroke::curve(from, bend, to, [width, 0.5 * width]), VESSEL, 0.75);
    }
}
