//! Localisation over all pixels of a test set, exact on every distinct threshold: AUROC, AP, AUPRO, Dice.
//!
//! Maps are visited, not held: pixels are sorted a range of values at a time, so that memory stays below a budget
//! however many there are.

use anyhow::{Result, ensure};

use super::component::{Neighbours, components};
use super::ranking::area_up_to;
use crate::pixels::Pixels;

/// Looks at one map and its mask.
pub type See<'a> = dyn FnMut(&[f32], Option<&Pixels>) -> Result<()> + 'a;

/// A test set's maps, each with its mask; a picture without anything to find has `None`.
pub trait Maps {
    /// Shows every picture, always in the same order.
    ///
    /// # Errors
    /// A map that cannot be had, or what `see` fails with.
    fn visit(&self, see: &mut See) -> Result<()>;
}

/// Pixels that are sorted at once: half a gibibyte of them.
pub const BUDGET: usize = 1 << 26;

/// What lies at or above one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Step {
    threshold: f32,
    /// Pixels inside masks.
    hits: u64,
    /// Pixels outside.
    false_alarms: u64,
    /// Sum over regions of the share of each that is reached.
    overlap: f64,
}

/// The curves' areas and best points; each `None` where undefined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Localisation {
    /// Area under the ROC curve of all pixels together.
    pub auroc: Option<f64>,
    /// Average precision, without interpolation.
    pub ap: Option<f64>,
    /// Area under the per-region overlap up to false positive rates of 0.3 and 0.05, over that limit.
    pub aupro_30: Option<f64>,
    /// As `aupro_30`, up to a false positive rate of 0.05.
    pub aupro_5: Option<f64>,
    /// The highest Dice of all pixels together, with its threshold: chosen with the masks, so an upper bound.
    pub best_dice: Option<(f64, f32)>,
    /// Dice of all pixels together above the threshold that was given.
    pub preset_dice: Option<f64>,
    /// Connected regions of all masks.
    pub n_regions: usize,
}

/// Sorted first by value: two numbers of 32 bits in one.
fn key(value: f32) -> u32 {
    // Zero has two signs and is one value.
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Keys are counted by their high bits first.
const BINS: usize = 1 << 16;

/// Measures maps against masks, sorting at most `budget` pixels at once (more only where more have nearly the same
/// value). `threshold` is one that was set before, for Dice.
///
/// # Errors
/// A map that is not of its mask's size or holds what is no number.
pub fn localisation(maps: &dyn Maps, threshold: Option<f32>, budget: usize) -> Result<Localisation> {
    let mut bins = vec![0usize; BINS];
    let mut sizes = Vec::new();
    let mut n_inside = 0u64;
    maps.visit(&mut |map, mask| {
        if let Some(mask) = mask {
            ensure!(mask.width() * mask.height() == map.len(), "a map of another size than its mask");
            let (_, own) = components(mask, Neighbours::Eight);
            n_inside += own.iter().sum::<usize>() as u64;
            sizes.extend(own);
        }
        for &value in map {
            ensure!(value.is_finite(), "a map holds {value}");
            bins[(key(value) >> 16) as usize] += 1;
        }
        Ok(())
    })?;
    let n_pixels = bins.iter().sum::<usize>() as u64;
    let totals = Totals { n_inside, n_outside: n_pixels - n_inside, n_regions: sizes.len() };
    let mut curve = Curve::new(totals, threshold);
    let mut high = BINS;
    while high > 0 {
        let (mut low, mut count) = (high, 0);
        while low > 0 && (count == 0 || count + bins[low - 1] <= budget) {
            low -= 1;
            count += bins[low];
        }
        if count > 0 {
            sweep(maps, low..high, count, &sizes, &mut curve)?;
        }
        high = low;
    }
    Ok(curve.finish())
}

/// Takes the pixels of `range` (of bins) in falling order of their values.
fn sweep(
    maps: &dyn Maps,
    range: std::ops::Range<usize>,
    count: usize,
    sizes: &[usize],
    curve: &mut Curve,
) -> Result<()> {
    let mut pixels: Vec<u64> = Vec::with_capacity(count);
    let mut n_regions_before = 0;
    maps.visit(&mut |map, mask| {
        let (regions, own) = mask.map_or_else(Default::default, |mask| components(mask, Neighbours::Eight));
        for (at, &value) in map.iter().enumerate() {
            let key = key(value);
            if range.contains(&((key >> 16) as usize)) {
                let region = regions.get(at).filter(|region| **region > 0);
                let region = region.map_or(0, |region| region + n_regions_before);
                pixels.push(u64::from(key) << 32 | u64::from(region));
            }
        }
        n_regions_before += own.len() as u32;
        Ok(())
    })?;
    pixels.sort_unstable_by(|a, b| b.cmp(a));
    for ties in pixels.chunk_by(|a, b| a >> 32 == b >> 32) {
        let mut step = Step { threshold: value((ties[0] >> 32) as u32), ..curve.last };
        for &pixel in ties {
            match (pixel as u32).checked_sub(1) {
                None => step.false_alarms += 1,
                Some(region) => {
                    step.hits += 1;
                    step.overlap += 1.0 / sizes[region as usize] as f64;
                }
            }
        }
        curve.add(step);
    }
    Ok(())
}

struct Totals {
    n_inside: u64,
    n_outside: u64,
    n_regions: usize,
}

/// What is gathered while the threshold falls.
struct Curve {
    totals: Totals,
    preset: Option<f32>,
    last: Step,
    auroc: f64,
    ap: f64,
    best_dice: (f64, f32),
    /// At the lowest threshold above the one that was set.
    above_preset: Step,
    /// False positive rate and per-region overlap, up to the first point beyond the greater limit.
    overlap: Vec<(f64, f64)>,
}

const LIMIT: f64 = 0.3;
const STRICT_LIMIT: f64 = 0.05;

impl Curve {
    fn new(totals: Totals, preset: Option<f32>) -> Curve {
        Curve {
            totals,
            preset,
            last: Step::default(),
            auroc: 0.0,
            ap: 0.0,
            best_dice: (f64::NEG_INFINITY, 0.0),
            above_preset: Step::default(),
            overlap: Vec::new(),
        }
    }

    fn dice(&self, step: &Step) -> f64 {
        2.0 * step.hits as f64 / (self.totals.n_inside + step.hits + step.false_alarms) as f64
    }

    fn add(&mut self, step: Step) {
        let (before, n_inside, n_outside) = (self.last, self.totals.n_inside, self.totals.n_outside);
        let hits = (step.hits - before.hits) as f64;
        self.auroc += (step.false_alarms - before.false_alarms) as f64 * (before.hits as f64 + hits / 2.0);
        self.ap += hits / n_inside as f64 * step.hits as f64 / (step.hits + step.false_alarms) as f64;
        let dice = self.dice(&step);
        if dice > self.best_dice.0 {
            self.best_dice = (dice, step.threshold);
        }
        if self.preset.is_some_and(|preset| step.threshold > preset) {
            self.above_preset = step;
        }
        if self.overlap.last().is_none_or(|(rate, _)| *rate <= LIMIT) {
            let rate = step.false_alarms as f64 / n_outside as f64;
            self.overlap.push((rate, step.overlap / self.totals.n_regions as f64));
        }
        self.last = step;
    }

    fn finish(self) -> Localisation {
        let Totals { n_inside, n_outside, n_regions } = self.totals;
        if n_inside == 0 {
            return Localisation::default();
        }
        let both = n_outside > 0;
        let aupro = |limit: f64| both.then(|| area_up_to(self.overlap.iter().copied(), limit));
        Localisation {
            auroc: both.then(|| self.auroc / (n_inside as f64 * n_outside as f64)),
            ap: Some(self.ap),
            aupro_30: aupro(LIMIT),
            aupro_5: aupro(STRICT_LIMIT),
            best_dice: Some(self.best_dice),
            preset_dice: self.preset.map(|_| self.dice(&self.above_preset)),
            n_regions,
        }
    }
}
