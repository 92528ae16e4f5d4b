//! Anomaly maps become image scores, under named protocols; all from maps of one training.
//!
//! `published` is what the published evaluation code does: pictures in class-sorted order, batches of 16,
//! a Gaussian over all three axes of the batch (so that neighbours, which share the label, leak into each
//! other), the incomplete last batch dropped, the best epoch on the test set. `published-shuffled` differs from
//! it in the order of the pictures alone, which is drawn, so that neighbours tell nothing of the label.
//! `published-2d` differs from it in the Gaussian alone, which stays inside each picture. `clean` looks at every picture by itself,
//! keeps all of them and takes the last epoch; it is the only one that is ranked.

use anyhow::Result;
use rayon::prelude::*;

use crate::maps::MapStack;
use crate::random::Stream;

/// Gaussian deviation, in pixels.
pub const SIGMA: f64 = 4.0;

/// Pictures per batch of the published evaluation.
pub const PUBLISHED_BATCH: usize = 16;

/// Image scores of one test set under every protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageScores {
    /// Maximum of the picture's own smoothed map.
    pub clean: Vec<f64>,
    /// Mean of the same map; `None` for methods without maps.
    pub clean_mean: Option<Vec<f64>>,
    /// Mean of the highest 1 % of the same map.
    pub clean_top1: Option<Vec<f64>>,
    /// As `clean`, `None` for pictures of an incomplete last batch.
    pub published_2d: Vec<Option<f64>>,
    /// Maximum after smoothing across the batch of 16.
    pub published: Vec<Option<f64>>,
    /// As `published`, with pictures in an order drawn at random.
    pub published_shuffled: Vec<Option<f64>>,
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
    pub maximum: Vec<f64>,
    pub mean: Vec<f64>,
    /// Mean of the highest [`top`] values.
    pub top: Vec<f64>,
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
        let each =
            |f: fn(&[f32]) -> f64| (0..own.count()).into_par_iter().map(|index| f(own.map(index))).collect();
        Ok(Summary { maximum: each(maximum), mean: each(mean), top: each(top_share) })
    }

    fn across(&self, order: &[usize]) -> Result<Vec<f64>> {
        let stack = |batch: &[usize]| {
            let smoothed = self.0.at(batch).smoothed_across(SIGMA);
            (0..batch.len()).map(move |place| maximum(smoothed.map(place)))
        };
        Ok(order.chunks_exact(PUBLISHED_BATCH).flat_map(stack).collect())
    }
}

/// Scores raw maps, which stand in class-sorted order, on the host.
pub fn score_maps(maps: &MapStack) -> ImageScores {
    score(&Host(maps)).expect("the host refuses nothing")
}

/// Scores raw maps, which stand in class-sorted order.
///
/// # Errors
/// What the smoother refuses.
pub fn score(maps: &dyn Smoother) -> Result<ImageScores> {
    let Summary { maximum: clean, mean, top } = maps.own()?;
    let sorted: Vec<usize> = (0..clean.len()).collect();
    let mut shuffled = sorted.clone();
    Stream::new(0, "shuffled test order", 0).shuffle(&mut shuffled);
    Ok(ImageScores {
        clean_mean: Some(mean),
        clean_top1: Some(top),
        published_2d: without_last_batch(&clean),
        published: across(maps, &sorted)?,
        published_shuffled: across(maps, &shuffled)?,
        clean,
    })
}

/// Maxima after smoothing across batches of pictures in that order; `None` for those of an incomplete last batch.
fn across(maps: &dyn Smoother, order: &[usize]) -> Result<Vec<Option<f64>>> {
    let mut scores = vec![None; order.len()];
    let order = &order[..full_batches(order.len())];
    for (&index, score) in order.iter().zip(maps.across(order)?) {
        scores[index] = Some(score);
    }
    Ok(scores)
}

/// Passes through the scores of a method without maps: there is nothing to smooth, so the published
/// protocols only drop the incomplete last batch.
pub fn pass_scores(scores: Vec<f64>) -> ImageScores {
    let kept = without_last_batch(&scores);
    ImageScores {
        clean: scores,
        clean_mean: None,
        clean_top1: None,
        published_2d: kept.clone(),
        published_shuffled: kept.clone(),
        published: kept,
    }
}

/// Image scores by a method's own published rule, beside mean and top share of its maps. Smoothing does not
/// touch them, so the published protocols only drop the incomplete last batch and choose the epoch.
pub fn own_scores(scores: Vec<f64>, of_maps: ImageScores) -> ImageScores {
    ImageScores { clean_mean: of_maps.clean_mean, clean_top1: of_maps.clean_top1, ..pass_scores(scores) }
}

fn full_batches(count: usize) -> usize {
    count - count % PUBLISHED_BATCH
}

fn without_last_batch(scores: &[f64]) -> Vec<Option<f64>> {
    let kept = full_batches(scores.len());
    scores.iter().enumerate().map(|(index, &score)| (index < kept).then_some(score)).collect()
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
