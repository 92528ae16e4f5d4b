//! A picture's marks as PDF: lines stay lines, and text stays text, in the part of the embedded font that it needs.

use ab_glyph::{Font as _, FontRef, GlyphId};
use anyhow::{Context, Result, anyhow};
use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{Path, PathBuilder, Point, Rect, Size, Transform};
use krilla::image::Image;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::text::{Font, KrillaGlyph};
use plotters::style::RGBColor;

use super::colour::PAPER;
use super::drawing::{Anchor, Drawing, FONT, Mark, encode};

/// A unit is a CSS pixel, which is so many of PDF's points.
const POINTS: f32 = 0.75;
/// What plotters' SVG divides the size of a text by; both files are to show letters of one size.
const SVG_SIZE: f64 = 1.24;
/// Of the radius: how far the handles of a cubic curve lie from the ends of a quarter circle.
const HANDLE: f32 = 0.552_284_8;

/// One page of the drawing's size with `alt` as its title. It holds no date, and the same drawing gives the same bytes.
///
/// # Errors
/// Only if a picture cannot be encoded or the file cannot be made.
pub(super) fn of(drawing: &Drawing, alt: &str) -> Result<Vec<u8>> {
    let (width, height) = (drawing.width.trunc() as f32, drawing.height.trunc() as f32);
    let page = PageSettings::from_wh(width * POINTS, height * POINTS).context("a figure without a size")?;
    let letters = Letters::new()?;
    let mut document = Document::new();
    let creator = format!("medfsad {}", crate::VERSION);
    document.set_metadata(Metadata::new().title(alt.to_owned()).creator(creator).language("en".to_owned()));
    let mut page = document.start_page_with(page);
    let mut surface = page.surface();
    surface.push_transform(&Transform::from_scale(POINTS, POINTS));
    fill(&mut surface, PAPER);
    surface.draw_path(&block((0.0, 0.0), (width.into(), height.into()))?);
    for mark in &drawing.marks {
        paint(&mut surface, mark, &letters)?;
    }
    surface.pop();
    surface.finish();
    page.finish();
    document.finish().map_err(|error| anyhow!("writing a figure as PDF: {error}"))
}

fn paint(surface: &mut Surface, mark: &Mark, letters: &Letters) -> Result<()> {
    match mark {
        Mark::Line { points, colour, width } => {
            if let Some(path) = line(points) {
                surface.set_fill(None);
                let paint = ink(*colour).into();
                surface.set_stroke(Some(Stroke { paint, width: *width as f32, ..Stroke::default() }));
                surface.draw_path(&path);
                surface.set_stroke(None);
            }
        }
        Mark::Block { from, to, colour } => {
            fill(surface, *colour);
            surface.draw_path(&block(*from, *to)?);
        }
        Mark::Dot { at, radius, colour } => {
            fill(surface, *colour);
            surface.draw_path(&dot(*at, *radius as f32)?);
        }
        Mark::Text { at, size, colour, anchor, upright, text } => {
            fill(surface, *colour);
            surface.push_transform(&Transform::from_translate(at.0 as f32, at.1 as f32));
            let turn = if *upright { 0.0 } else { -90.0 };
            surface.push_transform(&Transform::from_rotate(turn));
            letters.draw(surface, (f64::from(*size) / SVG_SIZE) as f32, *anchor, text);
            surface.pop();
            surface.pop();
        }
        Mark::Picture { at, size, pixels } => {
            let image = Image::from_png(encode(pixels)?.into(), false);
            let image = image.map_err(|error| anyhow!("a picture in a figure: {error}"))?;
            let size = Size::from_wh(size.0 as f32, size.1 as f32).context("a picture without a size")?;
            surface.push_transform(&Transform::from_translate(at.0 as f32, at.1 as f32));
            surface.draw_image(image, size);
            surface.pop();
        }
    }
    Ok(())
}

fn ink(RGBColor(red, green, blue): RGBColor) -> rgb::Color {
    rgb::Color::new(red, green, blue)
}

fn fill(surface: &mut Surface, colour: RGBColor) {
    surface.set_fill(Some(Fill { paint: ink(colour).into(), ..Fill::default() }));
}

/// `None` for fewer than two points.
fn line(points: &[(f64, f64)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    path.move_to(first.0 as f32, first.1 as f32);
    rest.iter().for_each(|point| path.line_to(point.0 as f32, point.1 as f32));
    path.finish()
}

fn block(from: (f64, f64), to: (f64, f64)) -> Result<Path> {
    let (left, right) = (from.0.min(to.0) as f32, from.0.max(to.0) as f32);
    let (top, foot) = (from.1.min(to.1) as f32, from.1.max(to.1) as f32);
    let mut path = PathBuilder::new();
    path.push_rect(Rect::from_ltrb(left, top, right, foot).context("a block without a place")?);
    path.finish().context("a block without a place")
}

fn dot((x, y): (f64, f64), radius: f32) -> Result<Path> {
    let (x, y, handle) = (x as f32, y as f32, HANDLE * radius);
    let mut path = PathBuilder::new();
    path.move_to(x + radius, y);
    path.cubic_to(x + radius, y + handle, x + handle, y + radius, x, y + radius);
    path.cubic_to(x - handle, y + radius, x - radius, y + handle, x - radius, y);
    path.cubic_to(x - radius, y - handle, x - handle, y - radius, x, y - radius);
    path.cubic_to(x + handle, y - radius, x + radius, y - handle, x + radius, y);
    path.close();
    path.finish().context("a dot without a place")
}

/// The embedded font, for measuring and for drawing.
struct Letters {
    measures: FontRef<'static>,
    font: Font,
    units: f32,
    /// Height of a small x, as a share of the size.
    x_height: f32,
}

impl Letters {
    fn new() -> Result<Letters> {
        let damaged = "the embedded font is damaged; build the program again";
        let measures = FontRef::try_from_slice(FONT).context(damaged)?;
        let units = measures.units_per_em().context(damaged)?;
        let outline = measures.outline(measures.glyph_id('x')).context(damaged)?;
        let x_height = (outline.bounds.max.y - outline.bounds.min.y).abs() / units;
        Ok(Letters { measures, font: Font::new(FONT.into(), 0).context(damaged)?, units, x_height })
    }

    /// A line of text whose middle height is at the origin.
    fn draw(&self, surface: &mut Surface, size: f32, anchor: Anchor, text: &str) {
        let glyphs = self.glyphs(text);
        let width = size * glyphs.iter().map(|glyph| glyph.x_advance).sum::<f32>();
        let left = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let start = Point::from_xy(left, size * self.x_height / 2.0);
        surface.draw_glyphs(start, &glyphs, self.font.clone(), text, size, false);
    }

    /// A glyph for each letter, with advances as shares of the size.
    fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        let ids: Vec<GlyphId> = text.chars().map(|letter| self.measures.glyph_id(letter)).collect();
        let glyph = |(place, (at, letter)): (usize, (usize, char))| {
            let id = ids[place];
            let kern = ids.get(place + 1).map_or(0.0, |&next| self.measures.kern_unscaled(id, next));
            KrillaGlyph::new(
                krilla::text::GlyphId::new(id.0.into()),
                (self.measures.h_advance_unscaled(id) + kern) / self.units,
                0.0,
                0.0,
                0.0,
                at..at + letter.len_utf8(),
                None,
            )
        };
        text.char_indices().enumerate().map(glyph).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bar of no height, an interval of no width, a dot of no size: a figure has them where a number is 0.
    #[test]
    fn what_has_no_extent_spoils_no_figure() {
        let colour = RGBColor(0, 0, 0);
        let marks = vec![
            Mark::Block { from: (1.0, 5.0), to: (4.0, 5.0), colour },
            Mark::Block { from: (5.0, 5.0), to: (5.0, 5.0), colour },
            Mark::Line { points: vec![(2.0, 2.0), (2.0, 2.0)], colour, width: 1 },
            Mark::Line { points: vec![(2.0, 2.0)], colour, width: 1 },
            Mark::Dot { at: (3.0, 3.0), radius: 0, colour },
        ];
        let drawing = Drawing { marks, ..Drawing::new(10.0, 10.0) };
        assert!(of(&drawing, "nothing").unwrap().starts_with(b"%PDF"));
    }
}
