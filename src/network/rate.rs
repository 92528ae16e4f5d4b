//! How many floating-point operations a device does in a second.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

use super::card;
use super::precision::Precision;

/// Operations a second of the fastest of the wide decoder's 3 x 3 convolutions, in `precision` on a CPU; on a card of a
/// product of two large matrices, in the numbers that its convolutions multiply in.
pub fn of(precision: Precision, device: Device) -> f64 {
    if device.is_cuda() {
        return of_products(precision, device);
    }
    let of_shape = |(channels, side): (i64, i64)| {
        let x = precision.enter(&Tensor::rand([16, channels, side, side], (Kind::Float, device)));
        let kernel = Tensor::rand([channels, channels, 3, 3], (Kind::Float, device)).to_kind(x.kind());
        let operations = 2.0 * (x.numel() as i64 * 9 * channels) as f64;
        operations / least(device, &|| x.conv2d(&kernel, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1))
    };
    [(512, 8), (256, 16), (128, 32)].map(of_shape).into_iter().fold(0.0, f64::max)
}

/// A product of matrices as a convolution by 1 x 1, so that TensorFloat-32 is what it is for convolutions.
fn of_products(precision: Precision, device: Device) -> f64 {
    const SIDE: i64 = 8192;
    let x = precision.enter(&(Tensor::rand([1, SIDE, SIDE / 64, 64], (Kind::Float, device)) - 0.5));
    let kernel = (Tensor::rand([SIDE, SIDE, 1, 1], (Kind::Float, device)) - 0.5).to_kind(x.kind());
    let seconds = least(device, &|| x.conv2d(&kernel, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1));
    2.0 * (SIDE as f64).powi(3) / seconds
}

/// The shortest of some runs.
fn least(device: Device, work: &dyn Fn() -> Tensor) -> f64 {
    let seconds = (0..12).map(|_| {
        card::wait_for(device);
        let clock = Instant::now();
        let _ = tch::no_grad(work);
        card::wait_for(device);
        clock.elapsed().as_secs_f64()
    });
    seconds.fold(f64::MAX, f64::min)
}
