//! Seconds against AUROC, for readers who pay for both.

use anyhow::Result;

use super::auroc::floor;
use super::chart::{Figure, Heading, MARGIN, Panel, WIDTH, ticks};
use super::colour::MUTED;
use super::grid::{back_to_front, colours, legend};
use super::sketch::Anchor;
use super::summary::Summary;

const HEIGHT: f64 = 360.0;

/// One dot for each method at the most shots; `None` with fewer than two.
pub fn figure(summary: &Summary) -> Result<Option<Figure>> {
    let Some(&shots) = summary.shots.last() else { return Ok(None) };
    let point = |entrant: usize| {
        let row = summary.row(entrant, shots)?;
        Some((entrant, row.seconds?.max(1e-3).log10(), row.clean().mean?.value))
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
        for &(entrant, seconds, auroc) in &points {
            sketch.dot(panel.at(seconds, auroc), 6, colours[entrant]);
        }
    })?;
    Ok(Some(figure))
}
