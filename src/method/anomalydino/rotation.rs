//! Pictures turned about their middle as OpenCV turns them: bilinearly, the size kept, reflected at the border without
//! repeating the edge.
//!
//! The centre is half the size, counted in pixels from the middle of the first one: half a pixel beyond the middle, so that
//! a quarter turn is one pixel off an exact one.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

/// Views that [`eighths`] makes.
pub const COUNT: usize = 8;

/// Pictures `[k, 3, h, w]` of bytes (others are rounded) turned by 0, 45, ..., 315 degrees against the clock, view after
/// view: `[8 k, 3, h, w]`, bytes on the CPU.
pub fn eighths(pictures: &Tensor) -> Tensor {
    let bytes = match pictures.kind() {
        Kind::Uint8 => pictures.shallow_clone(),
        _ => pictures.round().clamp(0.0, 255.0).to_kind(Kind::Uint8),
    };
    let (k, c, h, w) = bytes.size4().expect("pictures are [k, 3, h, w]");
    let planes =
        Vec::<u8>::try_from(bytes.to_device(Device::Cpu).contiguous().flatten(0, -1)).expect("bytes");
    let size = [h as usize, w as usize];
    let views: Vec<Vec<u8>> =
        (0..COUNT).into_par_iter().map(|step| turned(&planes, size, 45.0 * step as f64)).collect();
    Tensor::from_data_size(&views.concat(), &[COUNT as i64 * k, c, h, w], Kind::Uint8)
}

/// Planes of `h x w` bytes, each turned by that many degrees against the clock.
pub fn turned(planes: &[u8], [h, w]: [usize; 2], degrees: f64) -> Vec<u8> {
    let (sin, cos) = exact(degrees);
    let (x0, y0) = (w as f64 / 2.0, h as f64 / 2.0);
    let from = |place: usize| {
        let (x, y) = ((place % w) as f64 - x0, (place / w) as f64 - y0);
        let (x, y) = (cos * x - sin * y + x0, sin * x + cos * y + y0);
        let (left, top) = (x.floor(), y.floor());
        let columns = [0, 1].map(|step| reflected(left as i64 + step, w));
        let rows = [0, 1].map(|step| reflected(top as i64 + step, h));
        ([x - left, y - top], rows, columns)
    };
    let mut turned = vec![0; planes.len()];
    for row in 0..h {
        let places = row * w..(row + 1) * w;
        let sources: Vec<_> = places.clone().map(from).collect();
        for (plane, turned) in planes.chunks_exact(h * w).zip(turned.chunks_exact_mut(h * w)) {
            for (turned, ([right, down], rows, columns)) in turned[places.clone()].iter_mut().zip(&sources) {
                let at = |row: usize, column: usize| f64::from(plane[rows[row] * w + columns[column]]);
                let along = |row: usize| at(row, 0) + right * (at(row, 1) - at(row, 0));
                *turned = (along(0) + down * (along(1) - along(0))).round_ties_even() as u8;
            }
        }
    }
    turned
}

/// Where in a picture of `h x w` pixels a place of one of its [`eighths`] comes from, down and right, as parts of both sides.
pub fn origin([down, right]: [f64; 2], [h, w]: [f64; 2], step: usize) -> [f64; 2] {
    let (sin, cos) = exact(45.0 * step as f64);
    // Pixels are counted from the middle of the first one.
    let (x, y) = (right * w - 0.5 - w / 2.0, down * h - 0.5 - h / 2.0);
    let (x, y) = (cos * x - sin * y + w / 2.0, sin * x + cos * y + h / 2.0);
    let inside = |part: f64| if part > 1.0 { 2.0 - part } else { part.abs() };
    [(y + 0.5) / h, (x + 0.5) / w].map(|part| inside(part).clamp(0.0, 1.0))
}

/// Sine and cosine, without rounding errors at quarter turns.
fn exact(degrees: f64) -> (f64, f64) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let snapped = |value: f64| if (value - value.round()).abs() < 1e-12 { value.round() } else { value };
    (snapped(sin), snapped(cos))
}

/// A place of a row of `n` that goes on as its own reflection: ... 2 1 0 1 2 ... n-2 n-1 n-2 ...
fn reflected(place: i64, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as i64 - 1);
    let within = place.rem_euclid(period);
    within.min(period - within) as usize
}

#[cfg(test)]
mod tests {
    use super::reflected;

    #[test]
    fn edges_are_not_repeated() {
        let places: Vec<usize> = (-4..8).map(|place| reflected(place, 4)).collect();
        assert_eq!(places, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(reflected(-3, 1), 0);
    }
}
