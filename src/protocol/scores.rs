//! Image scores of a test set under every protocol, from raw maps or from a method's own scores.

use std::collections::BTreeMap;
use std::ops::Index;

use anyhow::Result;
use rayon::prelude::*;

use super::{LastBatch, Protocol, Reduction, Rule, Smoothing, TestOrder};
use crate::maps::MapStack;
use crate::random::Stream;

/// Gaussian deviation, in pixels.
pub const SIGMA: f64 = 4.0;

/// Pictures per batch of the published evaluation.
pub const PUBLISHED_BATCH: usize = 16;

/// Image scores of one test set by protocol, one for each picture; `None` for those that a protocol leaves out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageScores(BTreeMap<Protocol, Vec<Option<f64>>>);

impl ImageScores {
    /// The scores under a protocol; `None` where the method gives nothing that it could read.
    pub fn get(&self, protocol: Protocol) -> Option<&[Option<f64>]> {
        self.0.get(&protocol).map(Vec::as_slice)
    }

    /// All protocols that the method has scores under, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Protocol, &[Option<f64>])> {
        self.0.iter().map(|(protocol, scores)| (*protocol, scores.as_slice()))
    }

    /// The scores that rank, which every method has for every picture.
    pub fn ranked(&self) -> Vec<f64> {
        let scores = self[Protocol::RANKED].iter();
        scores.map(|score| score.expect("the ranked protocol leaves no picture out")).collect()
    }
}

impl Index<Protocol> for ImageScores {
    type Output = [Option<f64>];

    /// # Panics
    /// Without scores under the protocol.
    fn index(&self, protocol: Protocol) -> &[Option<f64>] {
        &self.0[&protocol]
    }
}

/// What smooths raw maps and reads scores off them: the host, or a device that the maps lie on.
pub trait Smoother {
    /// Of each map smoothed by itself.
    ///
    /// # Errors
    /// What the device refuses.
    fn own(&self) -> Result<Summary>;

    /// The highest value of each map of `order`, which is cut into stacks of [`PUBLISHED_BATCH`] that are smoothed over
    /// all three axes; its length is a multiple of that.
    ///
    /// # Errors
    /// What the device refuses.
    fn across(&self, order: &[usize]) -> Result<Vec<f64>>;
}

/// What is read off smoothed maps, one value for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Highest value of each map.
    pub maximum: Vec<f64>,
    /// Mean of each map.
    pub mean: Vec<f64>,
    /// Mean of the highest [`top`] values.
    pub top: Vec<f64>,
}

impl Summary {
    fn of(&self, reduction: Reduction) -> &[f64] {
        match reduction {
            Reduction::Maximum => &self.maximum,
            Reduction::Mean => &self.mean,
            Reduction::Top1 => &self.top,
        }
    }
}

/// Values of a map of `area` that are its highest 1 %, at least one.
pub fn top(area: usize) -> usize {
    (area / 100).max(1)
}

/// Smooths on the host, on all cores.
pub struct Host<'a>(pub &'a MapStack);

impl Smoother for Host<'_> {
    fn own(&self) -> Result<Summary> {
        let own = self.0.smoothed(SIGMA);
        let each = |reduction| reduced(&own, reduction);
        Ok(Summary {
            maximum: each(Reduction::Maximum),
            mean: each(Reduction::Mean),
            top: each(Reduction::Top1),
        })
    }

    fn across(&self, order: &[usize]) -> Result<Vec<f64>> {
        let stack = |batch: &[usize]| reduced(&self.0.at(batch).smoothed_across(SIGMA), Reduction::Maximum);
        Ok(order.chunks_exact(PUBLISHED_BATCH).flat_map(stack).collect())
    }
}

/// What `protocol` reads off each smoothed map, whatever it does to batches and epochs.
pub fn of_each(protocol: Protocol, maps: &MapStack) -> Vec<f64> {
    reduced(&maps.smoothed(SIGMA), protocol.rule().reduction)
}

/// Scores raw maps, which stand in class-sorted order, on the host.
pub fn score_maps(maps: &MapStack) -> ImageScores {
    score(&Host(maps)).expect("the host refuses nothing")
}

/// Scores raw maps, which stand in class-sorted order, under every protocol.
///
/// # Errors
/// What the smoother refuses.
pub fn score(maps: &dyn Smoother) -> Result<ImageScores> {
    let own = maps.own()?;
    let under = |protocol: Protocol| {
        let rule = protocol.rule();
        let mut scores = vec![None; own.maximum.len()];
        let batched = rule.batched(scores.len());
        let values = match rule.smoothing {
            Smoothing::Alone => batched.iter().map(|&index| own.of(rule.reduction)[index]).collect(),
            Smoothing::Stacked => maps.across(&batched)?,
        };
        batched.into_iter().zip(values).for_each(|(index, value)| scores[index] = Some(value));
        Ok((protocol, scores))
    };
    Protocol::all().map(under).collect::<Result<_>>().map(ImageScores)
}

/// Passes through the scores of a method without maps: there is nothing to smooth, to stack or to reduce, so the
/// protocols only drop the incomplete last batch and choose the epoch.
pub fn pass_scores(scores: &[f64]) -> ImageScores {
    let under = |protocol: Protocol| {
        let rule = protocol.rule();
        let n_kept = rule.n_kept(scores.len());
        let kept = scores.iter().enumerate().map(|(index, &score)| (index < n_kept).then_some(score));
        (rule.reduction == Reduction::Maximum).then(|| (protocol, kept.collect()))
    };
    ImageScores(Protocol::all().filter_map(under).collect())
}

/// Image scores by a method's own published rule, beside what the other reductions read off its maps. Smoothing does
/// not touch them, so the protocols only drop the incomplete last batch and choose the epoch.
pub fn own_scores(scores: &[f64], of_maps: ImageScores) -> ImageScores {
    let ImageScores(mut all) = of_maps;
    all.extend(pass_scores(scores).0);
    ImageScores(all)
}

impl Rule {
    /// How many of `count` pictures have a score.
    fn n_kept(self, count: usize) -> usize {
        match self.last_batch {
            LastBatch::Kept => count,
            LastBatch::Dropped => count - count % PUBLISHED_BATCH,
        }
    }

    /// The pictures that have a score, of `count`, in the order in which they are batched.
    fn batched(self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if self.order == TestOrder::Drawn {
            Stream::new(0, "shuffled test order", 0).shuffle(&mut order);
        }
        order.truncate(self.n_kept(count));
        order
    }
}

/// One number for each map, which is not smoothed here.
pub fn reduced(maps: &MapStack, reduction: Reduction) -> Vec<f64> {
    let reduce = match reduction {
        Reduction::Maximum => maximum,
        Reduction::Mean => mean,
        Reduction::Top1 => top_share,
    };
    (0..maps.count()).into_par_iter().map(|index| reduce(maps.map(index))).collect()
}

fn maximum(map: &[f32]) -> f64 {
    map.iter().copied().fold(f32::NEG_INFINITY, f32::max).into()
}

fn mean(map: &[f32]) -> f64 {
    map.iter().map(|&value| f64::from(value)).sum::<f64>() / map.len() as f64
}

/// Mean of the highest 1 %, at least one value.
fn top_share(map: &[f32]) -> f64 {
    let mut values = map.to_vec();
    let n = top(map.len());
    values.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
    values[..n].sort_unstable_by(|a, b| b.total_cmp(a));
    mean(&values[..n])
}
