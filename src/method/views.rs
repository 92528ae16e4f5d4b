//! Rotated, shifted and mirrored views of a few supports, so that few-shot statistics have something to rest on.

use tch::{Kind, Tensor};

use crate::network::spatial_transformer::warp;

/// Views that [`augmented`] makes of a picture.
pub const COUNT: usize = 22;

/// The 22 views of RegAD (arXiv 2207.10361) of pictures `[k, 3, h, w]` of 0 to 255, view after view
/// `[22 k, 3, h, w]`, of the same kind: the pictures; turned by 1, 2, 3 and 4 sixteenths of pi either way;
/// shifted by a tenth and a twentieth of the side along both diagonals; mirrored; grey; turned by quarters.
/// What a turn or shift brings in from outside is reflected.
pub fn augmented(pictures: &Tensor) -> Tensor {
    let floating = pictures.to_kind(Kind::Float);
    let mut views = vec![floating.shallow_clone()];
    for step in [1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0] {
        views.push(turned(&floating, step * std::f64::consts::PI / 16.0));
    }
    for reach in [0.2, 0.1] {
        for (x, y) in [(1.0, 1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0)] {
            views.push(shifted(&floating, [reach * x, reach * y]));
        }
    }
    views.push(floating.flip([3]));
    views.push(grey(&floating));
    views.extend([1, 2, 3].map(|quarters| floating.rot90(quarters, [2, 3])));
    Tensor::cat(&views, 0).round().clamp(0.0, 255.0).to_kind(pictures.kind())
}

/// Pictures turned by `angle` (radians) about their centre, `[k, 3, h, w]`.
pub fn turned(pictures: &Tensor, angle: f64) -> Tensor {
    warped(pictures, turn(pictures, angle))
}

/// A turn in normalised coordinates, which a rectangle stretches.
fn turn(pictures: &Tensor, angle: f64) -> [[f64; 3]; 2] {
    let (sin, cos) = angle.sin_cos();
    let (h, w) = (pictures.size()[2] as f64, pictures.size()[3] as f64);
    [[cos, -sin * (h / w), 0.0], [sin * (w / h), cos, 0.0]]
}

/// Pictures shifted to the left and up by parts of half their side, `[k, 3, h, w]`.
pub fn shifted(pictures: &Tensor, [x, y]: [f64; 2]) -> Tensor {
    warped(pictures, [[1.0, 0.0, x], [0.0, 1.0, y]])
}

/// As [`turned`], from the nearest pixels, and black where a turn brings in what lies outside.
pub fn turned_on_black(pictures: &Tensor, angle: f64) -> Tensor {
    let theta = theta(pictures, turn(pictures, angle));
    let grid = Tensor::affine_grid_generator(&theta, pictures.size(), false);
    // Nearest is 1, zeros are 0.
    pictures.grid_sampler(&grid, 1, 0, false)
}

/// Samples pictures at `transform` of their normalised coordinates, bilinearly, reflected at the border.
fn warped(pictures: &Tensor, transform: [[f64; 3]; 2]) -> Tensor {
    warp(pictures, &theta(pictures, transform))
}

/// One transform for each picture, `[k, 2, 3]`.
fn theta(pictures: &Tensor, transform: [[f64; 3]; 2]) -> Tensor {
    let values: Vec<f32> = transform.concat().into_iter().map(|value| value as f32).collect();
    let theta = Tensor::from_slice(&values).view([1, 2, 3]).to_device(pictures.device());
    theta.expand([pictures.size()[0], 2, 3], false)
}

/// Rec. 601 luma in all three channels.
fn grey(pictures: &Tensor) -> Tensor {
    let weights =
        Tensor::from_slice(&[0.299f32, 0.587, 0.114]).view([1, 3, 1, 1]).to_device(pictures.device());
    (pictures * weights).sum_dim_intlist(1, true, None::<Kind>).expand_as(pictures)
}
