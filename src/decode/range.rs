//! Values to 0 to 255 between two ends, and the ends from a distribution of values.

use anyhow::{Result, ensure};

use crate::spec::Intensity;

/// The values that become 0 and 255; linear between, clipped outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    /// A window by its exact ends, as LINEAR_EXACT of PS3.3 C.11.2.1.3.2.
    pub(super) fn window(center: f64, width: f64) -> Range {
        Range { low: center - width / 2.0, high: center + width / 2.0 }
    }

    /// `low` itself is 0, `high` 255. Where both are one, everything but 0 from there on is 255.
    /// What is no number is 0.
    pub(super) fn grey(&self, value: f64) -> u8 {
        // Halved, so that the span of any two numbers is one.
        let span = self.high / 2.0 - self.low / 2.0;
        if span > 0.0 {
            to_grey((value / 2.0 - self.low / 2.0) / span)
        } else {
            to_grey(f64::from(u8::from(value >= self.high && value != 0.0)))
        }
    }
}

/// A share of 0 to 1 to 8 bits, rounded.
pub(super) fn to_grey(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// The numbers that samples of a file can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codes {
    pub least: i64,
    pub bits: u16,
}

impl Codes {
    pub(super) fn unsigned(bits: u16) -> Codes {
        Codes { least: 0, bits }
    }

    pub(super) fn greatest(&self) -> i64 {
        self.least + ((1i64 << self.bits) - 1)
    }

    /// How samples are spread once each has become its value. Up to 16 bits are counted, others sorted.
    pub(super) fn distribution<T: Copy + Into<i64>>(
        &self,
        samples: &[T],
        value: impl Fn(i64) -> f64,
    ) -> Distribution {
        if self.bits > 16 {
            return Distribution::new(samples.iter().map(|&sample| (value(sample.into()), 1)));
        }
        let mut counts = vec![0u64; 1 << self.bits];
        for &sample in samples {
            counts[(sample.into() - self.least) as usize] += 1;
        }
        Distribution::new((self.least..).zip(counts).map(|(code, count)| (value(code), count)))
    }

    /// Samples to grey values, through a table where that is shorter.
    pub(super) fn map<T: Copy + Into<i64>>(&self, samples: &[T], grey: impl Fn(i64) -> u8) -> Vec<u8> {
        if self.bits > 16 || samples.len() >> self.bits == 0 {
            return samples.iter().map(|&sample| grey(sample.into())).collect();
        }
        let table: Vec<u8> = (self.least..=self.greatest()).map(grey).collect();
        samples.iter().map(|&sample| table[(sample.into() - self.least) as usize]).collect()
    }

    /// Samples of any channels to 8 bits under one range, and how to call it; not for [`Intensity::Stated`].
    pub(super) fn spread<T: Copy + Into<i64>>(
        &self,
        samples: &[T],
        intensity: &Intensity,
        whole: &str,
    ) -> Result<(Vec<u8>, String)> {
        let full = || Ok(Range { low: self.least as f64, high: self.greatest() as f64 });
        let distribution = || self.distribution(samples, |code| code as f64);
        let (range, name) = chosen(intensity, full, distribution, whole)?;
        Ok((self.map(samples, |code| range.grey(code as f64)), name))
    }
}

/// Finite values in rising order, each with how often it occurs.
pub(super) struct Distribution(Vec<(f64, u64)>);

impl Distribution {
    /// Of values and how often each occurs; those that are no numbers or infinite are left out.
    pub(super) fn new(counted: impl Iterator<Item = (f64, u64)>) -> Distribution {
        let mut counted: Vec<(f64, u64)> =
            counted.filter(|(value, count)| value.is_finite() && *count > 0).collect();
        counted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        Distribution(counted)
    }

    /// Of an index into 256 or 65,536 counts to its value.
    pub(super) fn of_counts(counts: &[u64], value: impl Fn(usize) -> f64) -> Distribution {
        Distribution::new(counts.iter().enumerate().map(|(index, &count)| (value(index), count)))
    }

    /// Without the value 0, which is background in most volumes.
    pub(super) fn without_zero(mut self) -> Distribution {
        self.0.retain(|(value, _)| *value != 0.0);
        self
    }

    /// From least to greatest; a range of one value shows it as 0. `None` of no values.
    pub(super) fn min_max(&self) -> Option<Range> {
        let (low, high) = (self.0.first()?.0, self.0.last()?.0);
        Some(Range { low, high: if low < high { high } else { f64::INFINITY } })
    }

    /// Between two percentiles of 0 to 100, linear between ranks as in NumPy. `None` of no values.
    pub(super) fn percentiles(&self, low: f64, high: f64) -> Option<Range> {
        let n: u64 = self.0.iter().map(|(_, count)| count).sum();
        let at = |percent: f64| -> Option<f64> {
            let place = percent / 100.0 * n.checked_sub(1)? as f64;
            let (below, share) = (place.floor() as u64, place.fract());
            let [lower, upper] = [self.ranked(below)?, self.ranked((below + 1).min(n - 1))?];
            Some(lower * (1.0 - share) + upper * share)
        };
        Some(Range { low: at(low)?, high: at(high)? })
    }

    fn ranked(&self, rank: u64) -> Option<f64> {
        let mut passed = 0;
        self.0.iter().find_map(|(value, count)| {
            passed += count;
            (rank < passed).then_some(*value)
        })
    }
}

/// The range that a reading asks for, and how to call it; [`Intensity::Stated`] is the caller's to resolve.
/// `full` are the ends of the stored bits, or why there are none.
pub(super) fn chosen(
    intensity: &Intensity,
    full: impl FnOnce() -> Result<Range>,
    distribution: impl FnOnce() -> Distribution,
    whole: &str,
) -> Result<(Range, String)> {
    let chosen = match *intensity {
        Intensity::Window { center, width } => {
            Some((Range::window(center, width), format!("given window centre {center} width {width}")))
        }
        Intensity::FullRange => Some((full()?, "full range of the stored bits".to_owned())),
        Intensity::MinMax => {
            distribution().min_max().map(|range| (range, format!("minimum to maximum of {whole}")))
        }
        Intensity::Percentiles { low, high } => distribution()
            .percentiles(low, high)
            .map(|range| (range, format!("percentiles {low} to {high} of {whole}, {}", ends(&range)))),
        Intensity::Stated => None,
    };
    ensure!(chosen.is_some() || *intensity != Intensity::Stated, "no intensity was chosen");
    Ok(chosen.unwrap_or((Range { low: 0.0, high: 1.0 }, format!("{whole} holds no number but 0"))))
}

fn ends(range: &Range) -> String {
    format!("{} to {}", range.low, range.high)
}
