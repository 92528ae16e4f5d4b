//! Named random streams: adding a draw somewhere moves no draw elsewhere.
//!
//! Only the raw ChaCha8 words come from a crate; the sampling on top is ours, so that a release
//! of somebody else's library never changes a split. Golden vectors in the tests hold it.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One stream of numbers, fixed by a seed, a purpose and an index.
///
/// ```
/// use medfsad::random::Stream;
///
/// let draw = |purpose| Stream::new(1, purpose, 0).below(1000);
/// assert_eq!(draw("support his"), draw("support his"));
/// assert_ne!(draw("support his"), draw("support lag"));
/// ```
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream for `purpose` (a sentence fragment such as `"support his"`) and `index`.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Stream {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(&index.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Stream(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`, without bias (Lemire's multiply and reject).
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "nothing to draw from");
        let bound = bound as u64;
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as usize;
            }
        }
    }

    /// Uniform in `0..n` but for `index`.
    ///
    /// # Panics
    /// If there is no other.
    pub fn other_than(&mut self, index: usize, n: usize) -> usize {
        let other = self.below(n - 1);
        if other < index { other } else { other + 1 }
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Puts `items` in a uniformly random order (Fisher and Yates, from the end).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A rank for `key` that depends on nothing else, so that drawing the lowest ranks
/// of a pool is a random draw which adding another key cannot disturb.
pub fn rank(seed: u64, purpose: &str, key: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for part in [purpose, key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut rank = [0; 16];
    rank.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    rank
}
