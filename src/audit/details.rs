//! What a small grey picture has beyond a much smaller one, and how far that of two pictures correlates, whatever way
//! they lie.

use crate::decode::resize;
use crate::pixels::Pixels;

/// Side of the pictures that are correlated, and of those that hold no details.
pub(super) const SIDE: usize = 32;
const BLURRED: usize = 8;

/// Side of the squares whose parts of a correlation are bounded before they are computed, and their number.
const BLOCK: usize = 8;
const N_BLOCKS: usize = (SIDE / BLOCK).pow(2);
/// More than rounding adds to a correlation or to its bound.
pub(super) const ROUNDING: f64 = 1e-5;

/// The eight orientations to lay down a square: quarter turns, then the same of the mirrored picture.
pub const ORIENTATIONS: [&str; 8] = [
    "upright",
    "turned by 90 degrees",
    "turned by 180 degrees",
    "turned by 270 degrees",
    "mirrored",
    "mirrored and turned by 90 degrees",
    "mirrored and turned by 180 degrees",
    "mirrored and turned by 270 degrees",
];

/// `SIDE x SIDE` values with mean 0 and norm 1.
pub(super) struct Details {
    values: Vec<f32>,
    /// Of each block.
    norms: [f64; N_BLOCKS],
}

impl Details {
    /// Of a grey picture, `SIDE x SIDE`; `None` if it has none.
    pub(super) fn of(grey: &Pixels) -> Option<Details> {
        let blurred = resize::bilinear(&resize::bilinear(grey, BLURRED, BLURRED), SIDE, SIDE);
        let pairs = grey.samples().iter().zip(blurred.samples());
        let values: Vec<f64> =
            pairs.map(|(&value, &blurred)| f64::from(value) - f64::from(blurred)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let norm = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
        (norm > 0.0).then(|| {
            let values: Vec<f32> = values.iter().map(|value| ((value - mean) / norm) as f32).collect();
            let mut squares = [0.0; N_BLOCKS];
            values
                .iter()
                .enumerate()
                .for_each(|(at, &value)| squares[block_at(at)] += f64::from(value).powi(2));
            Details { values, norms: squares.map(f64::sqrt) }
        })
    }

    /// Row by row.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same, laid down in an orientation.
    pub(super) fn oriented(&self, orientation: usize) -> Vec<f32> {
        ORIGINS[orientation].iter().map(|&at| self.values[usize::from(at)]).collect()
    }

    /// The correlation with `other`, laid down in an orientation.
    pub(super) fn correlation(&self, other: &Details, orientation: usize) -> f64 {
        // Eight sums at once: one alone would wait for each addition before the next.
        let mut sums = [0.0f64; 8];
        for (a, origins) in self.values.chunks_exact(8).zip(ORIGINS[orientation].chunks_exact(8)) {
            for place in 0..8 {
                sums[place] += f64::from(a[place]) * f64::from(other.values[usize::from(origins[place])]);
            }
        }
        sums.iter().sum()
    }

    /// Whether that correlation may be `least` or more, which most pairs show to be wrong after a block or two: each
    /// block adds at most the product of its norms (Cauchy and Schwarz), and one after the other is replaced by what
    /// it does add.
    pub(super) fn may_reach(&self, other: &Details, orientation: usize, least: f64) -> bool {
        let least = least - ROUNDING;
        let origins = &ORIGINS[orientation];
        let most = |block: usize| {
            let origin = usize::from(origins[BLOCK_STARTS[block]]);
            self.norms[block] * other.norms[block_at(origin)]
        };
        let mut bound: f64 = (0..N_BLOCKS).map(most).sum();
        for (block, start) in BLOCK_STARTS.iter().enumerate() {
            if bound < least {
                return false;
            }
            let mut sums = [0.0f64; BLOCK];
            for row in 0..BLOCK {
                let from = start + row * SIDE;
                let (a, origins) = (&self.values[from..from + BLOCK], &origins[from..from + BLOCK]);
                for place in 0..BLOCK {
                    sums[place] += f64::from(a[place]) * f64::from(other.values[usize::from(origins[place])]);
                }
            }
            bound += sums.iter().sum::<f64>() - most(block);
        }
        bound >= least
    }
}

/// The block that a sample lies in.
const fn block_at(at: usize) -> usize {
    at / SIDE / BLOCK * (SIDE / BLOCK) + at % SIDE / BLOCK
}

/// The first sample of each block.
const BLOCK_STARTS: [usize; N_BLOCKS] = {
    let mut starts = [0; N_BLOCKS];
    let mut block = 0;
    while block < N_BLOCKS {
        starts[block] = (block / (SIDE / BLOCK) * SIDE + block % (SIDE / BLOCK)) * BLOCK;
        block += 1;
    }
    starts
};

/// The small square picture, laid down in one of [`ORIENTATIONS`].
pub(super) fn oriented(small: &Pixels, orientation: usize) -> Pixels {
    let samples = ORIGINS[orientation].iter().map(|&at| small.samples()[usize::from(at)]).collect();
    Pixels::new(SIDE, SIDE, 1, samples).expect("a square stays one")
}

/// For each of [`ORIENTATIONS`]: where the sample that comes to lie at each place was before.
static ORIGINS: [[u16; SIDE * SIDE]; ORIENTATIONS.len()] = origins();

const fn origins() -> [[u16; SIDE * SIDE]; ORIENTATIONS.len()] {
    let mut origins = [[0; SIDE * SIDE]; ORIENTATIONS.len()];
    let mut orientation = 0;
    while orientation < ORIENTATIONS.len() {
        let mut at = 0;
        while at < SIDE * SIDE {
            let (mut row, mut column) = (at / SIDE, at % SIDE);
            let mut turn = 0;
            while turn < orientation % 4 {
                (row, column) = (SIDE - 1 - column, row);
                turn += 1;
            }
            if orientation >= 4 {
                column = SIDE - 1 - column;
            }
            origins[orientation][at] = (row * SIDE + column) as u16;
            at += 1;
        }
        orientation += 1;
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    /// Details of a picture of noise, of which `share` of the samples are those of another one, laid down in an
    /// orientation.
    fn pair(seed: u64, share: usize, orientation: usize) -> (Details, Details) {
        let mut stream = Stream::new(seed, "details", 0);
        let mut sample = || stream.below(256) as u8;
        let original: Vec<u8> = (0..SIDE * SIDE).map(|_| sample()).collect();
        let original = Pixels::new(SIDE, SIDE, 1, original).unwrap();
        let mut copy = oriented(&original, orientation).samples().to_vec();
        copy.iter_mut()
            .enumerate()
            .filter(|(at, _)| at * 7 % 10 >= share)
            .for_each(|(_, value)| *value = sample());
        let copy = Pixels::new(SIDE, SIDE, 1, copy).unwrap();
        (Details::of(&copy).unwrap(), Details::of(&original).unwrap())
    }

    #[test]
    fn no_bound_rules_out_a_correlation_that_is_reached_and_far_ones_are_ruled_out() {
        for orientation in 0..ORIENTATIONS.len() {
            for share in 0..=10 {
                let (a, b) = pair(share as u64, share, orientation);
                let correlation = a.correlation(&b, orientation);
                assert!(a.may_reach(&b, orientation, correlation), "{orientation} {share}");
                assert!(!a.may_reach(&b, orientation, correlation + 0.001), "{orientation} {share}");
                assert!(share < 10 || correlation > 0.99, "{orientation}: {correlation}");
            }
        }
    }
}
