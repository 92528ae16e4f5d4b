//! The mean of every row of the headline with its interval: methods and trivial controls in different colours.

use anyhow::Result;
use plotters::style::RGBColor;

use super::chart::{Figure, Heading, MARGIN, Panel, WIDTH, ticks};
use super::colour::{FAINT, INK, SERIES};
use super::drawing::{Anchor, text_width};
use super::row::Row;
use super::summary::Summary;
use super::verdict::{counted, headline};

const ROW: f64 = 20.0;
/// Room for the numbers on the right.
const NUMBERS: f64 = 170.0;
/// Letters' height of names and numbers.
const LETTERS: i32 = 12;

/// A row of the figure.
pub(super) struct Bar {
    pub name: String,
    /// A mean and its interval; `None` leaves the row empty.
    pub value: Option<(f64, Option<(f64, f64)>)>,
    pub colour: RGBColor,
}

/// What is said of the figure.
pub(super) struct Words {
    pub name: &'static str,
    pub title: String,
    pub caption: String,
    pub alt: String,
    pub legend: Vec<(String, RGBColor)>,
}

/// `None` where no method has a mean.
///
/// # Errors
/// Only if the drawing or its encoding fails.
pub(super) fn means(summary: &Summary) -> Result<Option<Figure>> {
    let Some(headline) = headline(summary) else { return Ok(None) };
    let mut rows: Vec<&Row> = headline.methods.iter().chain(&headline.controls).copied().collect();
    let value = |row: &Row| row.ranked().mean.map_or(f64::NEG_INFINITY, |mean| mean.value);
    rows.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.entrant.cmp(&b.entrant)));
    let bar = |row: &&Row| Bar {
        name: summary.marked(row.entrant),
        value: row.ranked().mean.map(|mean| (mean.value, mean.low.zip(mean.high))),
        colour: if summary.entrant(row).control { SERIES[1] } else { SERIES[0] },
    };
    let words = Words {
        name: "means",
        title: format!(
            "Mean image AUROC over {}, {}",
            counted(summary.tasks.len(), "task"),
            counted(headline.shots, "shot")
        ),
        caption: "Dots are means over tasks and draws under protocol clean, bars their 95 % interval over draws and pictures. \
                  A trivial control knows nothing of disease: a method beside or below one has shown nothing yet. The upright \
                  line at 0.5 is chance."
            .to_owned(),
        alt: format!("Means and intervals of {} methods and controls; numbers are in the leaderboard.", rows.len()),
        legend: vec![("method".to_owned(), SERIES[0]), ("trivial control".to_owned(), SERIES[1])],
    };
    let rows: Vec<Bar> = rows.iter().map(bar).collect();
    bars(words, &rows, summary.warning.as_deref()).map(Some)
}

/// Means of AUROC from top to bottom, each with its interval and numbers.
///
/// # Errors
/// Only if the drawing or its encoding fails.
pub(super) fn bars(words: Words, rows: &[Bar], warning: Option<&str>) -> Result<Figure> {
    let names = rows.iter().map(|row| text_width(&row.name, LETTERS));
    let names = names.collect::<Result<Vec<_>>>()?.into_iter().fold(80.0, f64::max);
    let ends =
        rows.iter().filter_map(|row| row.value).map(|(value, ends)| ends.map_or(value, |(low, _)| low));
    let low = (ends.fold(0.4, f64::min) * 10.0).floor().max(0.0) / 10.0;
    let height = rows.len() as f64 * ROW;
    let Words { name, title, caption, alt, legend } = words;
    let heading = Heading { name, title, caption, alt, warning, legend };
    let width = WIDTH - 2.0 * MARGIN - names - NUMBERS;
    heading.figure((WIDTH, height + 34.0), |sketch, top| {
        let panel = Panel {
            left: MARGIN + names + 14.0,
            top: top + 8.0,
            width,
            height,
            x: (low, 1.0),
            y: (rows.len() as f64, 0.0),
        };
        panel.ticks_x(sketch, &ticks((low, 1.0), 6));
        panel.curve(sketch, &[(0.5, 0.0), (0.5, rows.len() as f64)], FAINT, 2);
        panel.frame(sketch, "");
        for (place, row) in rows.iter().enumerate() {
            let y = place as f64 + 0.5;
            let Some((value, ends)) = row.value else { continue };
            let at = panel.at(low, y).1;
            sketch.text((panel.left - 8.0, at), LETTERS, INK, Anchor::End, &row.name);
            let mut text = format!("{value:.3}");
            if let Some((low, high)) = ends {
                panel.curve(sketch, &[(low, y), (high, y)], row.colour, 2);
                text += &format!("  [{low:.3}, {high:.3}]");
            }
            sketch.dot(panel.at(value, y), 4, row.colour);
            sketch.text((panel.left + width + 10.0, at), LETTERS, INK, Anchor::Start, &text);
        }
    })
}
