//! How good an explaining map is: pointing game, energy inside a mask, deletion and insertion, occlusion.

use anyhow::{Result, ensure};

use super::quantile::median;
use crate::maps::MapStack;
use crate::pixels::Pixels;
use crate::random::Stream;

/// How far from the mask a map's peak still hits it, in pixels (Zhang et al., Excitation Backprop, 2016).
pub const TOLERANCE: f64 = 15.0;

/// Steps of deletion and insertion.
pub const STEPS: usize = 20;

/// Deviation of the Gaussian that hides pixels, in pixels.
const HIDING: f64 = 10.0;

/// Places, beside the peak, that are covered for comparison.
const ELSEWHERE: usize = 8;

/// Scores of pictures, in their order.
pub type Score<'a> = dyn FnMut(&[Pixels]) -> Result<Vec<f64>> + 'a;

/// Row and column of the highest value; the first of equals.
pub fn peak(map: &[f32], width: usize) -> (usize, usize) {
    let mut best = 0;
    for (at, value) in map.iter().enumerate() {
        if *value > map[best] {
            best = at;
        }
    }
    (best / width, best % width)
}

/// Whether the map's highest value lies inside the mask or at most [`TOLERANCE`] from it; `None` without a mask.
pub fn pointing(map: &[f32], mask: &Pixels) -> Option<bool> {
    let (row, column) = peak(map, mask.width());
    let inside = |at: usize| mask.samples()[at * mask.channels()] > 0;
    let near = |at: usize| {
        let (down, right) = ((at / mask.width()).abs_diff(row), (at % mask.width()).abs_diff(column));
        (down as f64).hypot(right as f64) <= TOLERANCE
    };
    let mut pixels = (0..map.len()).filter(|&at| inside(at)).peekable();
    pixels.peek()?;
    Some(pixels.any(near))
}

/// The share of the map that lies inside the mask (0 to 1); `None` without a mask, or for a map that is nowhere
/// positive. Values below zero count as none.
pub fn energy(map: &[f32], mask: &Pixels) -> Option<f64> {
    let (mut inside, mut total, mut area) = (0.0, 0.0, 0);
    for (at, &value) in map.iter().enumerate() {
        let value = f64::from(value.max(0.0));
        total += value;
        if mask.samples()[at * mask.channels()] > 0 {
            inside += value;
            area += 1;
        }
    }
    (area > 0 && total > 0.0).then(|| inside / total)
}

/// `picture` as it looks with nothing to see in it: smoothed until only broad shapes are left.
///
/// # Errors
/// As [`Pixels::from_planes`].
pub fn hidden(picture: &Pixels) -> Result<Pixels> {
    let (height, width, channels) = (picture.height(), picture.width(), picture.channels());
    let planes = picture.to_planes().into_iter().map(f32::from).collect();
    let smooth = MapStack::new(channels, height, width, planes)?.smoothed(HIDING);
    let planes: Vec<u8> = smooth.values().iter().map(|value| value.round() as u8).collect();
    Pixels::from_planes(height, width, channels, &planes)
}

/// `base` with those pixels of `other` that `take` says.
fn mixed(base: &Pixels, other: &Pixels, take: impl Fn(usize) -> bool) -> Result<Pixels> {
    let channels = base.channels();
    let samples = base.samples().chunks_exact(channels).zip(other.samples().chunks_exact(channels));
    let samples = samples.enumerate().flat_map(|(at, (own, other))| if take(at) { other } else { own });
    Pixels::new(base.height(), base.width(), channels, samples.copied().collect())
}

/// Areas under the score's curve while the pixels where the map is highest are hidden (deletion) or shown
/// (insertion), a twentieth at a time, over the score of the picture as it is (Petsiuk et al., RISE, 2018). A
/// faithful map has a low deletion and a high insertion area.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curves {
    /// Area while the highest pixels are hidden; low is faithful.
    pub deletion: f64,
    /// Area while the highest pixels are shown; high is faithful.
    pub insertion: f64,
}

/// `None` where the picture as it is scores nothing or less.
///
/// # Errors
/// What `score` fails with.
pub fn curves(map: &[f32], picture: &Pixels, score: &mut Score) -> Result<Option<Curves>> {
    ensure!(map.len() == picture.width() * picture.height(), "a map of another size than its picture");
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by(|&a, &b| map[b].total_cmp(&map[a]));
    let mut ranks = vec![0; map.len()];
    for (rank, &at) in order.iter().enumerate() {
        ranks[at] = rank;
    }
    let hidden = hidden(picture)?;
    let limit = |step: usize| step * map.len() / STEPS;
    let steps = |base: &Pixels, other: &Pixels| -> Result<Vec<Pixels>> {
        (0..=STEPS).map(|step| mixed(base, other, |at| ranks[at] < limit(step))).collect()
    };
    let deleted = score(&steps(picture, &hidden)?)?;
    let inserted = score(&steps(&hidden, picture)?)?;
    let whole = deleted[0];
    let area = |scores: &[f64]| {
        let sum: f64 = scores.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum();
        sum / STEPS as f64 / whole
    };
    Ok((whole > 0.0).then(|| Curves { deletion: area(&deleted), insertion: area(&inserted) }))
}

/// By how much, as a share of it, the score falls when a square around the map's peak is hidden, and when squares
/// elsewhere are (median).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Occlusion {
    /// Share lost when the peak is hidden.
    pub at_peak: f64,
    /// Median share lost when a square elsewhere is hidden.
    pub elsewhere: f64,
}

/// Hides squares of an eighth of the side; those elsewhere are drawn from `seed`. `None` where the picture as it is
/// scores nothing or less.
///
/// # Errors
/// What `score` fails with.
pub fn occlusion(
    peak: (usize, usize),
    picture: &Pixels,
    seed: u64,
    score: &mut Score,
) -> Result<Option<Occlusion>> {
    let (height, width) = (picture.height(), picture.width());
    let reach = height.max(width) / 16;
    let hidden = hidden(picture)?;
    let covered = |(row, column): (usize, usize)| {
        mixed(picture, &hidden, |at| {
            (at / width).abs_diff(row) <= reach && (at % width).abs_diff(column) <= reach
        })
    };
    let mut stream = Stream::new(seed, &format!("occlusion {}", picture.hash()), 0);
    let mut pictures = vec![picture.clone(), covered(peak)?];
    for _ in 0..ELSEWHERE {
        let mut place = || (stream.below(height), stream.below(width));
        let apart = |(row, column): (usize, usize)| {
            row.abs_diff(peak.0) > 2 * reach || column.abs_diff(peak.1) > 2 * reach
        };
        let place = std::iter::repeat_with(&mut place).find(|&place| apart(place)).expect("most places are");
        pictures.push(covered(place)?);
    }
    let scores = score(&pictures)?;
    let whole = scores[0];
    let fall = |score: f64| (whole - score) / whole;
    let mut elsewhere: Vec<f64> = scores[2..].iter().map(|&score| fall(score)).collect();
    let elsewhere = median(&mut elsewhere).filter(|_| whole > 0.0);
    Ok(elsewhere.map(|elsewhere| Occlusion { at_peak: fall(scores[1]), elsewhere }))
}
