//! Seconds against AUROC, for readers who pay for both.

use anyhow::Result;

use super::auroc::floor;
use super::chart::{Figure, Heading, MARGIN, Panel, WIDTH, shortened, ticks};
use super::colour::MUTED;
use super::grid::{back_to_front, colours, legend};
use super::sketch::Anchor;
use super::summary::Summary;

const HEIGHT: f64 = 420.0;
/// Room that a label takes: across, up.
const LABEL: (f64, f64) = (120.0, 11.0);

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
        let dots: Vec<_> = points.iter().map(|&(_, seconds, auroc)| panel.at(seconds, auroc)).collect();
        for (&(entrant, ..), &at) in points.iter().zip(&dots) {
            sketch.dot(at, 5, colours[entrant]);
        }
        for (place, y) in label_heights(&dots).into_iter().enumerate() {
            let (name, x) = (shortened(&summary.entrants[points[place].0].label, 24), dots[place].0);
            let right = x < panel.left + 0.8 * panel.width;
            let (x, anchor) = if right { (x + 8.0, Anchor::Start) } else { (x - 8.0, Anchor::End) };
            sketch.text((x, y), 10, MUTED, anchor, &name);
        }
    })?;
    Ok(Some(figure))
}

/// Heights of labels beside dots: a label moves up until it is clear of those placed before it.
fn label_heights(dots: &[(f64, f64)]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..dots.len()).collect();
    order.sort_by(|&a, &b| dots[b].1.total_cmp(&dots[a].1));
    let mut placed: Vec<(f64, f64)> = Vec::new();
    let mut heights = vec![0.0; dots.len()];
    for index in order {
        let (x, mut y) = dots[index];
        while let Some(other) =
            placed.iter().find(|(px, py)| (px - x).abs() < LABEL.0 && (py - y).abs() < LABEL.1 - 1e-6)
        {
            y = other.1 - LABEL.1;
        }
        placed.push((x, y));
        heights[index] = y;
    }
    heights
}
