//! What all figures share: heading, legend, panels and ticks.

use std::path::Path;

use anyhow::Result;
use plotters::style::RGBColor;

use super::colour::{ALARM, GRID, INK, MUTED};
use super::drawing::{Anchor, Drawing, text_width};
use super::pdf;
use crate::files;

/// Width of every figure with at most six columns, in units.
pub(super) const WIDTH: f64 = 960.0;
/// Free space along the edges.
pub(super) const MARGIN: f64 = 18.0;

/// A finished figure.
pub(super) struct Figure {
    /// Its file's name without ending.
    pub name: String,
    /// What the reader has to know to read it.
    pub caption: String,
    /// What it shows, for a reader who cannot see it.
    pub alt: String,
    pub svg: String,
    pub png: Vec<u8>,
    pub pdf: Vec<u8>,
}

impl Figure {
    /// Writes the figure into `folder`, as SVG for pages, as PNG for slides and as PDF for papers.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = |ending| folder.join(format!("{}.{ending}", self.name));
        files::write_whole(&path("svg"), self.svg.as_bytes())?;
        files::write_whole(&path("png"), &self.png)?;
        files::write_whole(&path("pdf"), &self.pdf)
    }
}

/// What is said above a figure's panels.
pub(super) struct Heading<'a> {
    pub name: &'a str,
    pub title: String,
    pub caption: String,
    pub alt: String,
    /// The loud label of a run without trained weights.
    pub warning: Option<&'a str>,
    pub legend: Vec<(String, RGBColor)>,
}

impl Heading<'_> {
    /// Draws the heading, then `body` of `size` below it: `body` is given the height to start at.
    ///
    /// # Errors
    /// Only if the drawing or its encoding fails.
    pub(super) fn figure(self, size: (f64, f64), body: impl FnOnce(&mut Drawing, f64)) -> Result<Figure> {
        let width = size.0.max(WIDTH);
        let warning = self.warning.map_or(Ok(Vec::new()), |text| wrapped(text, 12, width - 2.0 * MARGIN))?;
        let legend = rows(&self.legend, width - 2.0 * MARGIN)?;
        let top = 40.0 + 17.0 * warning.len() as f64 + 20.0 * legend.len() as f64 + 8.0;
        let mut sketch = Drawing::new(width, top + size.1 + 12.0);
        sketch.text((MARGIN, 24.0), 19, INK, Anchor::Start, &self.title);
        let mut y = 46.0;
        for line in &warning {
            sketch.text((MARGIN, y), 12, ALARM, Anchor::Start, line);
            y += 17.0;
        }
        for row in &legend {
            for (x, text, colour) in row {
                sketch.block((*x, y - 5.0), (x + 14.0, y + 5.0), *colour);
                sketch.text((x + 19.0, y), 12, INK, Anchor::Start, text);
            }
            y += 20.0;
        }
        body(&mut sketch, top);
        let (svg, png, pdf) = (sketch.svg(&self.alt)?, sketch.png()?, pdf::of(&sketch, &self.alt)?);
        let Heading { name, caption, alt, .. } = self;
        Ok(Figure { name: name.to_owned(), caption, alt, svg, png, pdf })
    }
}

fn wrapped(text: &str, size: i32, width: f64) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || text_width(&longer, size)? <= width {
            line = longer;
        } else {
            lines.push(std::mem::replace(&mut line, word.to_owned()));
        }
    }
    lines.push(line);
    Ok(lines)
}

type Entry<'a> = (f64, &'a str, RGBColor);

fn rows(legend: &[(String, RGBColor)], width: f64) -> Result<Vec<Vec<Entry<'_>>>> {
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    let mut x = f64::INFINITY;
    for (text, colour) in legend {
        let length = 19.0 + text_width(text, 12)? + 18.0;
        if x + length > MARGIN + width {
            rows.push(Vec::new());
            x = MARGIN;
        }
        if let Some(row) = rows.last_mut() {
            row.push((x, text, *colour));
        }
        x += length;
    }
    Ok(rows)
}

/// A rectangle of the sketch with linear axes; `y` grows upwards.
pub(super) struct Panel {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Panel {
    /// The place of a value pair on the sketch.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| ((value - low) / (high - low)).clamp(0.0, 1.0);
        (self.left + self.width * share(x, self.x), self.top + self.height * (1.0 - share(y, self.y)))
    }

    /// Grid lines and labels along the lower edge.
    pub(super) fn ticks_x(&self, sketch: &mut Drawing, ticks: &[(f64, String)]) {
        let foot = self.top + self.height;
        for (value, text) in ticks {
            let x = self.at(*value, self.y.0).0;
            sketch.line(vec![(x, self.top), (x, foot)], GRID, 1);
            sketch.text((x, foot + 10.0), 11, MUTED, Anchor::Middle, text);
        }
    }

    /// Grid lines and labels along the left edge.
    pub(super) fn ticks_y(&self, sketch: &mut Drawing, ticks: &[(f64, String)]) {
        for (value, text) in ticks {
            let y = self.at(self.x.0, *value).1;
            sketch.line(vec![(self.left, y), (self.left + self.width, y)], GRID, 1);
            sketch.text((self.left - 5.0, y), 11, MUTED, Anchor::End, text);
        }
    }

    /// The panel's name above it and its outline.
    pub(super) fn frame(&self, sketch: &mut Drawing, name: &str) {
        let (right, foot) = (self.left + self.width, self.top + self.height);
        let outline = vec![
            (self.left, self.top),
            (right, self.top),
            (right, foot),
            (self.left, foot),
            (self.left, self.top),
        ];
        sketch.line(outline, GRID, 1);
        sketch.text((self.left + self.width / 2.0, self.top - 10.0), 13, INK, Anchor::Middle, name);
    }

    /// A connected line through value pairs.
    pub(super) fn curve(&self, sketch: &mut Drawing, points: &[(f64, f64)], colour: RGBColor, width: u32) {
        if points.len() > 1 {
            sketch.line(points.iter().map(|&(x, y)| self.at(x, y)).collect(), colour, width);
        }
    }
}

/// About `count` round values within `range`, with just the decimals they need.
pub(super) fn ticks(range: (f64, f64), count: usize) -> Vec<(f64, String)> {
    let rough = (range.1 - range.0) / count.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return Vec::new();
    }
    let power = 10f64.powf(rough.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    let step = factor * power;
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    let (first, last) = ((range.0 / step - 1e-9).ceil() as i64, (range.1 / step + 1e-9).floor() as i64);
    (first..=last).map(|k| (k as f64 * step, label(k as f64 * step, step, decimals))).collect()
}

fn label(value: f64, step: f64, decimals: usize) -> String {
    if (1e-4..1e5).contains(&step) { format!("{value:.decimals$}") } else { format!("{value:.1e}") }
}

/// The text, cut in the middle with an ellipsis if it is longer than `limit` characters.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= limit {
        return text.to_owned();
    }
    let (head, tail) = (limit * 2 / 3, limit - limit * 2 / 3 - 1);
    letters[..head].iter().chain(&['…']).chain(&letters[letters.len() - tail..]).collect()
}
