//! The heatmap gallery: input, map and overlay of telling cases, on one colour range per cell.

use anyhow::{Result, ensure};

use super::chart::{Figure, Heading, MARGIN, WIDTH, shortened};
use super::colour::{INK, MUTED, heat};
use super::drawing::{Anchor, Drawing, data_url};
use super::entrant::RANDOM_TEACHER;
use super::summary::Summary;
use crate::manifest::Label;
use crate::pixels::Pixels;
use crate::results::GALLERY;
use crate::results::gallery::{self, Case};

/// Side of the square that a picture is fitted into, in units.
const TILE: f64 = 140.0;
const CARD: f64 = (WIDTH - 2.0 * MARGIN) / 2.0;
/// Share of the heat colour in an overlay where the map is highest.
const OPACITY: f64 = 0.65;
/// Outline of a lesion mask: bright on every colour of the map.
const OUTLINE: [u8; 3] = [0, 255, 200];

/// The gallery of one cell.
pub(super) struct Gallery {
    pub entrant: usize,
    pub title: String,
    /// The lowest and highest map value of all its cases, which the colours span.
    pub range: Option<(f64, f64)>,
    pub cards: Vec<Card>,
}

/// One case, ready to show.
pub(super) struct Card {
    pub title: String,
    pub detail: String,
    /// Name and picture.
    pub views: Vec<(&'static str, Pixels)>,
}

impl Card {
    /// Each view's name, its spoken description and its picture as an address.
    pub(super) fn addresses(&self) -> Result<Vec<[String; 3]>> {
        let view = |(name, pixels): &(&str, Pixels)| {
            let alt = format!("{name} of {}, {}", self.title, self.detail);
            Ok([(*name).to_owned(), alt, data_url(pixels)?])
        };
        self.views.iter().map(view).collect()
    }
}

impl Gallery {
    /// Says what the colours mean.
    pub(super) fn caption(&self) -> String {
        match self.range {
            Some((low, high)) => format!(
                "Colours run from {low:.4} (dark) to {high:.4} (bright), the lowest and highest map value of all \
                 cases shown here; the overlay is denser where the map is higher. A green outline is the lesion mask."
            ),
            None => "This method gives scores only, so there is no map to show.".to_owned(),
        }
    }
}

/// The galleries of every entrant and task that stored one: most shots, first draw.
///
/// # Errors
/// A gallery file that cannot be read.
pub(super) fn collect(summary: &Summary) -> Result<Vec<(String, Gallery)>> {
    let mut galleries = Vec::new();
    for (entrant, described) in summary.entrants.iter().enumerate() {
        for task in &summary.tasks {
            let Some(cell) = summary.entrants[entrant].exemplar(task) else { continue };
            let path = cell.folder.join(GALLERY);
            if path.exists() {
                ensure!(
                    cell.seal.holds(GALLERY, &cell.folder),
                    "{} is not what was written with its cell; remove it, or compute the cell again",
                    path.display()
                );
                let id = &cell.cell.identity;
                let title = format!("{} on {task}, {} shots, draw {}", described.label, id.shots, id.draw);
                let name = file_name(&format!("gallery-{}-{task}", described.label));
                galleries.push((name, arrange(entrant, title, &gallery::read(&path)?)?));
            }
        }
    }
    Ok(galleries)
}

fn file_name(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    text.chars().map(keep).collect()
}

fn arrange(entrant: usize, title: String, cases: &[Case]) -> Result<Gallery> {
    let values = || cases.iter().flat_map(|case| &case.map).map(|v| f64::from(*v)).filter(|v| v.is_finite());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let range = (low <= high).then_some((low, high));
    let cards = cases.iter().map(|case| card(case, range)).collect::<Result<_>>()?;
    Ok(Gallery { entrant, title, range, cards })
}

fn card(case: &Case, range: Option<(f64, f64)>) -> Result<Card> {
    let caption = &case.caption;
    let class = if caption.label == Label::Normal { "normal" } else { "anomalous" };
    let picture = case.picture.to_rgb();
    let mut views = vec![("input", outlined(&picture, case.mask.as_ref())?)];
    if let (Some((low, high)), false) = (range, case.map.is_empty()) {
        let width = if high > low { high - low } else { 1.0 };
        let shares: Vec<f64> = case.map.iter().map(|value| (f64::from(*value) - low) / width).collect();
        let map: Vec<u8> = shares.iter().flat_map(|&share| heat(share)).collect();
        views.push(("map", Pixels::new(picture.height(), picture.width(), 3, map)?));
        views.push(("overlay", outlined(&overlay(&picture, &shares)?, case.mask.as_ref())?));
    }
    let title = format!("{} {class}", caption.role);
    let finding = if caption.finding.is_empty() { "no finding named" } else { &caption.finding };
    Ok(Card { title, detail: format!("{finding}, score {:.4}", caption.score), views })
}

/// A picture under its map: `shares` of 0 to 1, one for each pixel, as heat.
///
/// # Errors
/// A number of shares other than that of the picture's pixels.
pub fn overlay(picture: &Pixels, shares: &[f64]) -> Result<Pixels> {
    let n_pixels = picture.height() * picture.width();
    ensure!(shares.len() == n_pixels, "{} values for a picture of {n_pixels} pixels", shares.len());
    let blend = |(rgb, &share): (&[u8], &f64)| -> [u8; 3] {
        let weight = if share.is_finite() { OPACITY * share.clamp(0.0, 1.0) } else { 0.0 };
        let colour = heat(share);
        std::array::from_fn(|c| {
            (f64::from(rgb[c]) * (1.0 - weight) + f64::from(colour[c]) * weight).round() as u8
        })
    };
    let samples = picture.samples().chunks_exact(3).zip(shares).flat_map(blend).collect();
    Pixels::new(picture.height(), picture.width(), 3, samples)
}

fn outlined(picture: &Pixels, mask: Option<&Pixels>) -> Result<Pixels> {
    let (height, width) = (picture.height(), picture.width());
    let Some(mask) = mask.filter(|mask| (mask.height(), mask.width()) == (height, width)) else {
        return Ok(picture.clone());
    };
    let inside = |row: usize, column: usize| row < height && column < width && mask.at(row, column)[0] > 0;
    let is_edge = |row: usize, column: usize| {
        let around = [
            (row.wrapping_sub(1), column),
            (row + 1, column),
            (row, column.wrapping_sub(1)),
            (row, column + 1),
        ];
        inside(row, column) && !around.iter().all(|&(r, c)| inside(r, c))
    };
    let samples = (0..height * width).flat_map(|i| {
        let (row, column) = (i / width, i % width);
        if is_edge(row, column) { OUTLINE } else { [0, 1, 2].map(|c| picture.at(row, column)[c]) }
    });
    Pixels::new(height, width, 3, samples.collect())
}

/// One gallery as a figure of its own.
pub(super) fn figure(summary: &Summary, name: &str, gallery: &Gallery) -> Result<Figure> {
    let random = summary.entrants[gallery.entrant].random;
    let heading = Heading {
        name,
        title: shortened(&format!("Heatmaps: {}", gallery.title), 84),
        caption: gallery.caption(),
        alt: format!("{} cases of {} as input, anomaly map and overlay.", gallery.cards.len(), gallery.title),
        warning: random.then_some(RANDOM_TEACHER),
        legend: Vec::new(),
    };
    let pictures = gallery.cards.iter().flat_map(|card| &card.views);
    let tallest = pictures.map(|(_, pixels)| fitted(pixels).1).fold(0.0, f64::max);
    let step = tallest + 52.0;
    let height = 28.0 + gallery.cards.len().div_ceil(2) as f64 * step;
    heading.figure((WIDTH, height), |sketch, top| {
        scale(sketch, gallery.range, top);
        for (index, card) in gallery.cards.iter().enumerate() {
            let (row, column) = ((index / 2) as f64, (index % 2) as f64);
            draw(sketch, card, (MARGIN + column * CARD, top + 28.0 + row * step));
        }
    })
}

fn scale(sketch: &mut Drawing, range: Option<(f64, f64)>, top: f64) {
    let Some((low, high)) = range else { return };
    sketch.text((MARGIN + 74.0, top + 8.0), 11, MUTED, Anchor::End, &format!("{low:.4}"));
    for step in 0..100 {
        let [r, g, b] = heat(f64::from(step) / 99.0);
        let x = MARGIN + 80.0 + 2.0 * f64::from(step);
        sketch.block((x, top + 2.0), (x + 2.0, top + 14.0), plotters::style::RGBColor(r, g, b));
    }
    sketch.text((MARGIN + 286.0, top + 8.0), 11, MUTED, Anchor::Start, &format!("{high:.4}"));
    sketch.text((MARGIN + 370.0, top + 8.0), 11, MUTED, Anchor::Start, "each case: input, map, overlay");
}

fn draw(sketch: &mut Drawing, card: &Card, (x, y): (f64, f64)) {
    sketch.text((x, y + 10.0), 13, INK, Anchor::Start, &card.title);
    sketch.text((x, y + 26.0), 11, MUTED, Anchor::Start, &shortened(&card.detail, 62));
    for (place, (_, pixels)) in card.views.iter().enumerate() {
        sketch.picture((x + place as f64 * (TILE + 8.0), y + 36.0), fitted(pixels), pixels.clone());
    }
}

/// Width and height of a picture whose longer side fills a tile.
fn fitted(pixels: &Pixels) -> (f64, f64) {
    let (width, height) = (pixels.width() as f64, pixels.height() as f64);
    let zoom = TILE / height.max(width);
    (width * zoom, height * zoom)
}
