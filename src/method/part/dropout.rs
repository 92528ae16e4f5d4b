//! Dropout by named streams, so that a training does not depend on libtorch's global generator.

use rayon::prelude::*;
use tch::{Device, Tensor};

use crate::episode::batch;
use crate::random::Stream;

/// Values that one stream decides on; another number makes another draw.
const CHUNK: usize = 1 << 18;

/// Drops values in one step of a training.
pub struct Dropout<'a> {
    seed: u64,
    purpose: &'a str,
    step: u64,
    share: f64,
    device: Device,
    n_drops: usize,
}

impl Dropout<'_> {
    /// A `share` of values, in the step of that number.
    pub fn new(seed: u64, purpose: &str, step: u64, share: f64, device: Device) -> Dropout<'_> {
        Dropout { seed, purpose, step, share, device, n_drops: 0 }
    }

    /// Each call draws anew.
    pub fn drop(&mut self, x: &Tensor) -> Tensor {
        if self.share == 0.0 {
            return x.shallow_clone();
        }
        let mut decided = vec![0; x.numel()];
        decided.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, decided)| {
            let purpose = format!("{} {} {chunk}", self.purpose, self.n_drops);
            let mut stream = Stream::new(self.seed, &purpose, self.step);
            decide(&mut stream, self.share, decided);
        });
        self.n_drops += 1;
        let decided = Tensor::from_slice(&decided).view(x.size().as_slice());
        dropped(x, &batch::to(&decided, self.device), self.share)
    }
}

/// For each value, 1 where it is kept and 0 for a `share` of them, in steps of 2^-16.
pub fn decide(stream: &mut Stream, share: f64, kept: &mut [u8]) {
    let least = (share * f64::from(1u32 << 16)).round() as u64;
    // A word of 64 bits decides on four values.
    for four in kept.chunks_mut(4) {
        let word = stream.bits();
        for (place, kept) in four.iter_mut().enumerate() {
            *kept = u8::from((word >> (16 * place)) & 0xffff >= least);
        }
    }
}

/// Values of which a `share` is set to 0 (where `kept` is), and the others are larger for it.
pub fn dropped(x: &Tensor, kept: &Tensor, share: f64) -> Tensor {
    x * (kept.to_kind(x.kind()) / (1.0 - share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_dropped_the_mean_stays_and_each_call_draws_anew() {
        let ones = Tensor::from_slice(&vec![1f32; CHUNK + 10_000]);
        let mut dropout = Dropout::new(7, "test", 3, 0.2, Device::Cpu);
        let [first, second] = [0, 1].map(|_| dropout.drop(&ones));
        let mean = |x: &Tensor| x.mean(None::<tch::Kind>).double_value(&[]);
        for drawn in [&first, &second] {
            assert!((mean(&drawn.eq(0.0).to_kind(tch::Kind::Float)) - 0.2).abs() < 3e-3);
            assert!((mean(drawn) - 1.0).abs() < 3e-3);
        }
        assert!(!first.equal(&second), "two calls drop the same values");
        // What lies beyond a chunk does not repeat it.
        assert!(!first.narrow(0, 0, 10_000).equal(&first.narrow(0, CHUNK as i64, 10_000)));
        let again = Dropout::new(7, "test", 3, 0.2, Device::Cpu).drop(&ones);
        assert!(again.equal(&first), "the same step drops other values");
        assert!(!Dropout::new(7, "test", 4, 0.2, Device::Cpu).drop(&ones).equal(&first));
        assert!(Dropout::new(7, "test", 3, 0.0, Device::Cpu).drop(&ones).equal(&ones));
    }
}
