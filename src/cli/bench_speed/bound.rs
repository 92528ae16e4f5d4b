//! How fast a training step could be at best: the decoder's multiplications, at this machine's fastest rate.

use std::time::Instant;

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::network::precision::Precision;

/// Floating-point operations of one picture through the decoder whose variables are `decoder.*` in `store`, forward,
/// for pictures of `size` pixels; a multiplication with its addition counts two, norms and sums nothing.
pub fn operations(store: &VarStore, size: i64) -> f64 {
    let kernels = store
        .variables()
        .into_iter()
        .filter(|(name, tensor)| name.starts_with("decoder.") && tensor.dim() == 4);
    let of_kernel = |(name, tensor): (String, Tensor)| {
        let mut parts = name.split('.').skip(1);
        let (stage, block, layer) = (parts.next(), parts.next(), parts.next());
        let stage: u32 = stage.and_then(|stage| stage.strip_prefix("layer")?.parse().ok()).expect("a stage");
        let side = (size / 32) << stage;
        // A stage's first block doubles the side by 2 x 2 kernels, and what comes before them sees the lower one.
        let before = block == Some("0") && (layer == Some("conv1") || tensor.size()[3] == 2);
        let side = if before { side / 2 } else { side };
        2.0 * (tensor.numel() as i64 * side * side) as f64
    };
    kernels.map(of_kernel).sum()
}

/// Operations a second of the fastest of the wide decoder's 3 x 3 convolutions, in `precision` on the CPU.
pub fn rate(precision: Precision) -> f64 {
    let of_shape = |(channels, side): (i64, i64)| {
        let x = precision.enter(&Tensor::rand([16, channels, side, side], (Kind::Float, Device::Cpu)));
        let kernel = Tensor::rand([channels, channels, 3, 3], (Kind::Float, Device::Cpu)).to_kind(x.kind());
        let seconds = (0..12).map(|_| {
            let clock = Instant::now();
            let _ = tch::no_grad(|| x.conv2d(&kernel, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1));
            clock.elapsed().as_secs_f64()
        });
        2.0 * (x.numel() as i64 * 9 * channels) as f64 / seconds.fold(f64::MAX, f64::min)
    };
    [(512, 8), (256, 16), (128, 32)].map(of_shape).into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::d24fad::student::Student;
    use crate::network::Backbone;

    #[test]
    fn the_wide_decoder_takes_the_published_operations() {
        let student = Student::new(Backbone::WideResnet50x2, Device::Cpu);
        assert_eq!((operations(&student.store, 128) / 1e7).round(), 557.0);
    }

    #[test]
    fn the_plain_decoder_is_counted_too() {
        // resnet18 at 32 pixels, by hand: stages end at 2, 4 and 8 pixels.
        let first = 2.0 * (512 * 256 * 4 * 2 + 256 * 256 * 9 * 4 * 3) as f64;
        let second = 2.0 * (256 * 128 * 4 * 4 * 2 + 128 * 128 * 9 * 16 * 3) as f64;
        let third = 2.0 * (128 * 64 * 4 * 16 * 2 + 64 * 64 * 9 * 64 * 3) as f64;
        let student = Student::new(Backbone::Resnet18, Device::Cpu);
        assert_eq!(operations(&student.store, 32), first + second + third);
    }
}
