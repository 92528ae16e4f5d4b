//! A picture as a list of marks, painted by plotters as SVG and, at twice the size, as PNG.

use std::io::Cursor;

use anyhow::{Context, Result, anyhow};
use askama::filters::{Escaper, Html};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::colour::PAPER;
use crate::pixels::Pixels;

/// The font of every figure; its licence lies beside it.
pub(super) const FONT: &[u8] = include_bytes!("fonts/DejaVuSans.ttf");
const FAMILY: &str = "sans-serif";
/// The PNG has this many pixels per unit, for print and slides.
const SHARPNESS: i32 = 2;

/// Where a text is held.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// What a drawing is made of; places and sizes are in units.
pub(super) enum Mark {
    Line { points: Vec<(f64, f64)>, colour: RGBColor, width: u32 },
    Block { from: (f64, f64), to: (f64, f64), colour: RGBColor },
    Dot { at: (f64, f64), radius: i32, colour: RGBColor },
    Text { at: (f64, f64), size: i32, colour: RGBColor, anchor: Anchor, upright: bool, text: String },
    Picture { at: (f64, f64), size: (f64, f64), pixels: Pixels },
}

/// Marks on a sheet of `width x height` units; one unit is one CSS pixel.
pub(super) struct Drawing {
    pub width: f64,
    pub height: f64,
    pub marks: Vec<Mark>,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64) -> Drawing {
        Drawing { width, height, marks: Vec::new() }
    }

    pub(super) fn line(&mut self, points: Vec<(f64, f64)>, colour: RGBColor, width: u32) {
        self.marks.push(Mark::Line { points, colour, width });
    }

    pub(super) fn block(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) {
        self.marks.push(Mark::Block { from, to, colour });
    }

    pub(super) fn dot(&mut self, at: (f64, f64), radius: i32, colour: RGBColor) {
        self.marks.push(Mark::Dot { at, radius, colour });
    }

    /// One line of text whose middle height is at `at`.
    pub(super) fn text(&mut self, at: (f64, f64), size: i32, colour: RGBColor, anchor: Anchor, text: &str) {
        let text = text.to_owned();
        self.marks.push(Mark::Text { at, size, colour, anchor, upright: true, text });
    }

    /// As [`Drawing::text`], read from bottom to top, for the name of an upright axis.
    pub(super) fn turned_text(&mut self, at: (f64, f64), size: i32, colour: RGBColor, text: &str) {
        let (anchor, text) = (Anchor::Middle, text.to_owned());
        self.marks.push(Mark::Text { at, size, colour, anchor, upright: false, text });
    }

    pub(super) fn picture(&mut self, at: (f64, f64), size: (f64, f64), pixels: Pixels) {
        self.marks.push(Mark::Picture { at, size, pixels });
    }

    /// The sketch as SVG with `alt` as its spoken title.
    pub(super) fn svg(&self, alt: &str) -> Result<String> {
        load_font()?;
        let mut svg = String::new();
        {
            let size = (self.width as u32, self.height as u32);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let drawn = self.marks.iter().filter(|mark| !matches!(mark, Mark::Picture { .. }));
            paint_all(&area, drawn, 1)?;
        }
        let body = svg.trim_end().strip_suffix("</svg>").context("the drawing did not close")?;
        let (open, marks) = body.split_once(">\n").context("the drawing did not open")?;
        let mut title = String::new();
        Html.write_escaped_str(&mut title, alt)?;
        let pictures = self.pictures()?;
        Ok(format!("{open} role=\"img\">\n<title>{title}</title>\n{marks}{pictures}</svg>\n"))
    }

    /// The sketch as PNG.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        load_font()?;
        let (width, height) = (self.width as u32 * SHARPNESS as u32, self.height as u32 * SHARPNESS as u32);
        let mut samples = vec![0; (width * height * 3) as usize];
        {
            let area = BitMapBackend::with_buffer(&mut samples, (width, height)).into_drawing_area();
            paint_all(&area, self.marks.iter(), SHARPNESS)?;
        }
        encode(&Pixels::new(height as usize, width as usize, 3, samples)?)
    }

    /// Plotters would draw a picture as one rectangle a pixel.
    fn pictures(&self) -> Result<String> {
        let mut images = String::new();
        for mark in &self.marks {
            if let Mark::Picture { at: (x, y), size: (width, height), pixels } = mark {
                let data = data_url(pixels)?;
                images += &format!(
                    "<image x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
                     preserveAspectRatio=\"none\" href=\"{data}\"/>\n"
                );
            }
        }
        Ok(images)
    }
}

/// A PNG of `pixels`.
///
/// # Errors
/// What the PNG encoder fails with.
pub fn encode(pixels: &Pixels) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let kind = if pixels.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let (width, height) = (pixels.width() as u32, pixels.height() as u32);
    PngEncoder::new(&mut png).write_image(pixels.samples(), width, height, kind)?;
    Ok(png.into_inner())
}

/// `pixels` as a PNG inside an address, for a page that asks nobody for anything.
pub(super) fn data_url(pixels: &Pixels) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(encode(pixels)?)))
}

/// The width of `text` in the embedded font, which is wider than most.
pub(super) fn text_width(text: &str, size: i32) -> Result<f64> {
    load_font()?;
    let extent =
        (FAMILY, size).into_font().box_size(text).map_err(|error| anyhow!("measuring text: {error}"))?;
    Ok(f64::from(extent.0))
}

fn load_font() -> Result<()> {
    plotters::style::register_font(FAMILY, FontStyle::Normal, FONT)
        .map_err(|_| anyhow!("the embedded font is damaged; build the program again"))
}

fn paint_all<'m, B>(
    area: &DrawingArea<B, Shift>,
    marks: impl Iterator<Item = &'m Mark>,
    scale: i32,
) -> Result<()>
where
    B: DrawingBackend,
    B::ErrorType: 'static,
{
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| anyhow!("drawing a figure: {error}");
    area.fill(&PAPER).map_err(failed)?;
    for mark in marks {
        paint(area, mark, scale).map_err(failed)?;
    }
    area.present().map_err(failed)
}

fn paint<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    mark: &Mark,
    scale: i32,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let place = |(x, y): (f64, f64)| {
        let scale = f64::from(scale);
        ((x * scale).round() as i32, (y * scale).round() as i32)
    };
    match mark {
        Mark::Line { points, colour, width } => {
            let points: Vec<(i32, i32)> = points.iter().map(|&point| place(point)).collect();
            area.draw(&PathElement::new(points, colour.stroke_width(width * scale as u32)))
        }
        Mark::Block { from, to, colour } => {
            area.draw(&Rectangle::new([place(*from), place(*to)], colour.filled()))
        }
        Mark::Dot { at, radius, colour } => {
            area.draw(&Circle::new(place(*at), radius * scale, colour.filled()))
        }
        Mark::Text { at, size, colour, anchor, upright, text } => {
            let side = match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            let turn = if *upright { FontTransform::None } else { FontTransform::Rotate270 };
            let font = (FAMILY, size * scale).into_font().transform(turn);
            area.draw_text(text, &font.color(colour).pos(Pos::new(side, VPos::Center)), place(*at))
        }
        Mark::Picture { at, size, pixels } => {
            let (width, height) = place(*size);
            let samples = stretched(pixels, height as usize, width as usize);
            match BitMapElement::with_owned_buffer(place(*at), (width as u32, height as u32), samples) {
                Some(element) => area.draw(&element),
                None => Ok(()),
            }
        }
    }
}

fn stretched(pixels: &Pixels, height: usize, width: usize) -> Vec<u8> {
    let rgb = pixels.to_rgb();
    let cell = |i: usize| {
        let (row, column) = (i / width, i % width);
        rgb.at(row * rgb.height() / height, column * rgb.width() / width).to_vec()
    };
    (0..height * width).flat_map(cell).collect()
}
