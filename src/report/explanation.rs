//! The page of explanations: what each map is made of, and the region of a reference that its peak is most like.

use anyhow::Result;
use askama::Template;

use super::display_table::three_decimals;
use super::drawing::data_url;
use super::gallery::overlay;
use crate::metric::explanation::{Curves, Occlusion};
use crate::pixels::Pixels;

/// Pictures that the page shows; the tables beside it hold all.
pub const N_SHOWN: usize = 100;

/// Frames around places: seen on grey, on tissue and on every heat colour.
const FRAME: [u8; 3] = [0, 255, 200];

/// One picture and why it scored as it did.
pub struct Explained {
    /// Name of the picture's file.
    pub name: String,
    /// Image score; higher is more anomalous.
    pub score: f64,
    /// Row and column of the smoothed map's highest value.
    pub peak: (usize, usize),
    /// The picture, resized to a square.
    pub picture: Pixels,
    /// The smoothed map, and what each scale adds to it, shallow to deep.
    pub map: Vec<f32>,
    /// What each scale adds to the map, of the map's size.
    pub scales: [Vec<f32>; 3],
    /// What each scale adds at the peak.
    pub shares: [f64; 3],
    /// Of the references, per scale.
    pub weights: [Vec<f32>; 3],
    /// The region of a reference that the peak is most like.
    pub nearest: Nearest,
    /// Share of the score lost when places are hidden; `None` for a score of nothing or less.
    pub occlusion: Option<Occlusion>,
    /// Deletion and insertion areas; `None` where they were not asked for or are undefined.
    pub curves: Option<Curves>,
    /// Whether the peak hits the mask; `None` without a mask.
    pub pointing: Option<bool>,
    /// Share of the map inside the mask; `None` without a mask or where the map is nowhere positive.
    pub energy: Option<f64>,
    /// Rank correlation with the map of a student that has learnt nothing.
    pub untrained_similarity: Option<f64>,
}

/// The region of a reference that the peak is most like, in pixels.
pub struct Nearest {
    /// The reference's file name.
    pub reference: String,
    /// The whole reference, resized to a square.
    pub picture: Pixels,
    /// Top row of the region.
    pub row: usize,
    /// Left column of the region.
    pub column: usize,
    /// Side of the region.
    pub side: usize,
    /// Cosine of the teacher's features there and at the peak.
    pub cosine: f64,
    /// Scale of the comparison: the one that adds most at the peak.
    pub scale: usize,
}

#[derive(Template)]
#[template(path = "explanation.html", config = "src/report/askama.toml")]
struct Page {
    title: String,
    about: String,
    more: Option<String>,
    pictures: Vec<Shown>,
    summary: Vec<(String, String)>,
}

struct Shown {
    name: String,
    score: String,
    /// Name, spoken description, address.
    views: Vec<[String; 3]>,
    sentences: Vec<String>,
    references: Vec<String>,
    /// Per scale, of each reference: weight in words, in percent.
    weights: Vec<Vec<(String, f32)>>,
}

/// The page, highest scores first. `about` says what was asked of which model, `summary` are means over all pictures.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn page(
    about: String,
    explained: &[Explained],
    references: &[String],
    summary: Vec<(String, String)>,
) -> Result<String> {
    let mut order: Vec<&Explained> = explained.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let more = (order.len() > N_SHOWN).then(|| {
        format!("The {N_SHOWN} highest scores of {}; the tables beside this page hold all.", order.len())
    });
    let low = explained.iter().flat_map(|one| &one.map).copied().fold(f32::INFINITY, f32::min);
    let high = explained.iter().flat_map(|one| &one.map).copied().fold(f32::NEG_INFINITY, f32::max);
    let pictures = order
        .into_iter()
        .take(N_SHOWN)
        .map(|one| shown(one, references, [low, high]))
        .collect::<Result<Vec<_>>>()?;
    let title = "Why these pictures scored as they did".to_owned();
    Ok(Page { title, about, more, pictures, summary }.render()?)
}

fn shown(one: &Explained, references: &[String], range: [f32; 2]) -> Result<Shown> {
    let weights = one
        .weights
        .iter()
        .map(|scale| scale.iter().map(|&weight| (format!("{weight:.3}"), 100.0 * weight)).collect());
    Ok(Shown {
        name: one.name.clone(),
        score: format!("{:.4}", one.score),
        views: views(one, range)?,
        sentences: sentences(one),
        references: references.to_vec(),
        weights: weights.collect(),
    })
}

/// Pictures with their captions and what they show, for each as a data URL.
fn views(one: &Explained, range: [f32; 2]) -> Result<Vec<[String; 3]>> {
    let highest = one.scales.iter().flatten().copied().fold(0.0, f32::max);
    let scale_range = [0.0, highest];
    let (row, column) = one.peak;
    let side = (one.picture.width() / 16).max(4);
    let corner = (row.saturating_sub(side / 2), column.saturating_sub(side / 2));
    let nearest = &one.nearest;
    let mut views =
        vec![("picture", framed(&one.picture, corner, side)?), ("map", over(&one.picture, &one.map, range)?)];
    for (name, scale) in ["scale 1 (fine)", "scale 2", "scale 3 (coarse)"].into_iter().zip(&one.scales) {
        views.push((name, over(&one.picture, scale, scale_range)?));
    }
    views.push(("nearest region", framed(&nearest.picture, (nearest.row, nearest.column), nearest.side)?));
    views
        .into_iter()
        .map(|(name, pixels)| Ok([name.to_owned(), format!("{name}, {}", one.name), data_url(&pixels)?]))
        .collect()
}

/// What the figures say, in words.
fn sentences(one: &Explained) -> Vec<String> {
    let ((row, column), nearest) = (one.peak, &one.nearest);
    let total: f64 = one.shares.iter().sum();
    let share = |scale: usize| format!("{:.0} %", 100.0 * one.shares[scale] / total.max(f64::MIN_POSITIVE));
    let mut sentences = vec![
        format!(
            "The smoothed map is highest at row {row}, column {column}; the scales add {}, {} and {} there.",
            share(0),
            share(1),
            share(2)
        ),
        format!(
            "At scale {} the place is most like row {}, column {} of {}: cosine {:.3}.",
            nearest.scale + 1,
            nearest.row + nearest.side / 2,
            nearest.column + nearest.side / 2,
            nearest.reference,
            nearest.cosine
        ),
    ];
    if let Some(Occlusion { at_peak, elsewhere }) = one.occlusion {
        let change = |fall: f64| format!("{:+.1} %", -100.0 * fall);
        sentences.push(format!(
            "Hiding the place changes the score by {}, hiding others by {} (median).",
            change(at_peak),
            change(elsewhere)
        ));
    }
    if let Some(Curves { deletion, insertion }) = one.curves {
        sentences.push(format!("Deletion {deletion:.3}, insertion {insertion:.3}."));
    }
    if let Some(hit) = one.pointing {
        let hit = if hit { "hits" } else { "misses" };
        sentences.push(format!("The peak {hit} the mask; energy inside it {}.", three_decimals(one.energy)));
    }
    sentences
}

fn over(picture: &Pixels, map: &[f32], [low, high]: [f32; 2]) -> Result<Pixels> {
    let width = f64::from(if high > low { high - low } else { 1.0 });
    let shares: Vec<f64> = map.iter().map(|&value| f64::from(value - low) / width).collect();
    overlay(picture, &shares)
}

/// The picture with a square frame of `side` pixels from `corner` (row, column).
fn framed(picture: &Pixels, corner: (usize, usize), side: usize) -> Result<Pixels> {
    let rgb = picture.to_rgb();
    let (height, width) = (rgb.height(), rgb.width());
    let mut samples = rgb.samples().to_vec();
    let bottom = (corner.0 + side).min(height) - 1;
    let right = (corner.1 + side).min(width) - 1;
    for row in corner.0..=bottom {
        for column in corner.1..=right {
            if row == corner.0 || row == bottom || column == corner.1 || column == right {
                let at = 3 * (row * width + column);
                samples[at..at + 3].copy_from_slice(&FRAME);
            }
        }
    }
    Pixels::new(height, width, 3, samples)
}
