//! Seconds against AUROC, for readers who pay for both.

use anyhow::Result;

use super::auroc::floor;
use super::chart::{Figure, Heading, MARGIN, Panel, WIDTH, shortened, ticks};
use super::colour::MUTED;
use super::drawing::{Anchor, text_width};
use super::grid::{back_to_front, colours, legend};
use super::summary::Summary;

const HEIGHT: f64 = 420.0;
/// Size and line height of the names beside dots.
const SIZE: i32 = 10;
const LINE: f64 = 12.0;

/// One dot for each method at the most shots; `None` with fewer than two.
pub(super) fn figure(summary: &Summary) -> Result<Option<Figure>> {
    let Some(&shots) = summary.shots.last() else { return Ok(None) };
    let point = |entrant: usize| {
        let row = summary.row(entrant, shots)?;
        Some((entrant, row.seconds?.max(1e-3).log10(), row.ranked().mean?.value))
    };
    let points: Vec<_> = back_to_front(summary).into_iter().filter_map(point).collect();
    if points.len() < 2 {
        return Ok(None);
    }
    let heading = Heading {
        name: "speed",
        title: format!("Seconds per cell against mean image AUROC, {shots} shots, protocol clean"),
        caption:
            "Fit and score, mean over cells, on a logarithmic scale. Training that draws share is counted in \
                  every cell; compare times only within one device."
                .to_owned(),
        alt: "Scatter plot of seconds per cell against mean image AUROC.".to_owned(),
        warning: summary.warning.as_deref(),
        legend: legend(summary),
    };
    let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min).floor();
    let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
    let colours = colours(summary);
    let figure = heading.figure((WIDTH, HEIGHT), |sketch, top| {
        let (left, width) = (MARGIN + 56.0, WIDTH - 2.0 * MARGIN - 70.0);
        let y = (floor(summary), 1.0);
        let panel = Panel { left, top: top + 6.0, width, height: HEIGHT - 56.0, x: (low, high), y };
        let powers = (low as i32..=high as i32).map(|p| (f64::from(p), format!("{}", 10f64.powi(p))));
        panel.ticks_x(sketch, &powers.collect::<Vec<_>>());
        panel.ticks_y(sketch, &ticks(y, 6));
        panel.frame(sketch, "");
        let foot = (left + width / 2.0, panel.top + panel.height + 28.0);
        sketch.text(foot, 12, MUTED, Anchor::Middle, "seconds per cell");
        sketch.turned_text((left - 42.0, panel.top + panel.height / 2.0), 12, MUTED, "mean image AUROC");
        let dots: Vec<_> = points.iter().map(|&(_, seconds, auroc)| panel.at(seconds, auroc)).collect();
        for (&(entrant, ..), &at) in points.iter().zip(&dots) {
            sketch.dot(at, 5, colours[entrant]);
        }
        let names = points.iter().map(|p| shortened(&summary.marked(p.0), 24));
        let dots = dots.into_iter().zip(names).collect::<Vec<_>>();
        for Label { at, anchor, name } in labels(&dots, &panel) {
            sketch.text(at, SIZE, MUTED, anchor, &name);
        }
    })?;
    Ok(Some(figure))
}

/// A name beside its dot.
struct Label {
    at: (f64, f64),
    anchor: Anchor,
    name: String,
}

/// Names to the right of their dots, or to the left near the right edge, each at the nearest height inside the
/// panel that is clear of the names before it.
fn labels(dots: &[((f64, f64), String)], panel: &Panel) -> Vec<Label> {
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    let place = |((x, y), name): &((f64, f64), String)| {
        let width = text_width(name, SIZE).unwrap_or(0.0);
        let rightwards = x + 8.0 + width < panel.left + panel.width;
        let (anchor, left) =
            if rightwards { (Anchor::Start, x + 8.0) } else { (Anchor::End, x - 8.0 - width) };
        let clear = |y: f64| {
            let inside = panel.top + LINE / 2.0 <= y && y <= panel.top + panel.height - LINE / 2.0;
            let meets = |&(from, to, other): &(f64, f64, f64)| {
                left < to && from < left + width && (other - y).abs() < LINE - 1e-6
            };
            inside && !taken.iter().any(meets)
        };
        let steps = (0..60).flat_map(|step| [f64::from(step), -f64::from(step)]);
        let y = steps.map(|step| y + step * LINE / 2.0).find(|&y| clear(y)).unwrap_or(*y);
        taken.push((left, left + width, y));
        let x = if rightwards { left } else { left + width };
        Label { at: (x, y), anchor, name: name.clone() }
    };
    dots.iter().map(place).collect()
}
