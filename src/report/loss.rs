//! Figures of training: losses, and the AUROCs that are watched and select nothing.

use anyhow::Result;
use plotters::style::RGBColor;

use super::chart::{Figure, Heading, Panel, ticks};
use super::colour::SERIES;
use super::drawing::Drawing;
use super::exemplar::{Exemplar, Exemplars};
use super::grid::Grid;
use super::summary::Summary;

/// Losses and their parts over epochs; `None` if no method trains.
pub(super) fn losses(summary: &Summary, exemplars: &Exemplars) -> Result<Option<Figure>> {
    let caption = "One cell each: most shots, first draw (draws share the training). Every panel has its own scale, \
                   from zero or its lowest value to its highest. Methods that count in steps are looked at a few times, at \
                   even distances; each look is drawn as an epoch.";
    let heading = |legend| Heading {
        name: "loss",
        title: "Training loss over epochs".to_owned(),
        caption: caption.to_owned(),
        alt:
            "Line plots of the training loss and its parts over epochs, methods down, held-out tasks across."
                .to_owned(),
        warning: summary.warning.as_deref(),
        legend,
    };
    figure((summary, exemplars), heading, |quantity| !is_diagnostic(quantity) && !is_sign(quantity), None)
}

/// Signs of collapse and saturation over epochs; `None` if none was recorded.
pub(super) fn signs(summary: &Summary, exemplars: &Exemplars) -> Result<Option<Figure>> {
    let caption = "One cell each: most shots, first draw, on the same few training episodes after every epoch. Variance: of \
                   student features across pictures, relative to their mean square; near 0 is collapse. Cosine: mean \
                   over pairs of pictures; near 1 is collapse. Entropy: of the support weights over its greatest; 0 is \
                   one support alone.";
    let heading = |legend| {
        Heading {
        name: "signs",
        title: "Signs of collapse and saturation over epochs".to_owned(),
        caption: caption.to_owned(),
        alt: "Line plots of feature variance, pairwise cosine and entropy of support weights over epochs, methods \
              down, held-out tasks across."
            .to_owned(),
        warning: summary.warning.as_deref(),
        legend,
    }
    };
    figure((summary, exemplars), heading, is_sign, Some((0.0, 1.0)))
}

fn is_sign(quantity: &str) -> bool {
    quantity.starts_with("sign-")
}

/// AUROCs over epochs; `None` if none was recorded.
pub(super) fn diagnostics(summary: &Summary, exemplars: &Exemplars) -> Result<Option<Figure>> {
    let caption = "One cell each: most shots, first draw. These were watched on the test pictures while training; \
                   outside the published protocols they select nothing.";
    let heading = |legend| Heading {
        name: "diagnostics",
        title: "AUROC over epochs (diagnostic only)".to_owned(),
        caption: caption.to_owned(),
        alt: "Line plots of image AUROC over training epochs, methods down, held-out tasks across."
            .to_owned(),
        warning: summary.warning.as_deref(),
        legend,
    };
    figure((summary, exemplars), heading, is_diagnostic, Some((0.0, 1.0)))
}

fn is_diagnostic(quantity: &str) -> bool {
    quantity.starts_with("auroc-")
}

fn figure<'h>(
    (summary, exemplars): (&Summary, &Exemplars),
    heading: impl FnOnce(Vec<(String, RGBColor)>) -> Heading<'h>,
    wanted: impl Fn(&str) -> bool,
    range: Option<(f64, f64)>,
) -> Result<Option<Figure>> {
    let epochs = exemplars.all().flat_map(|cell| &cell.epochs);
    let mut quantities: Vec<&str> = epochs.map(|e| e.quantity.as_str()).filter(|name| wanted(name)).collect();
    quantities.sort_unstable_by_key(|name| (*name != "loss", *name));
    quantities.dedup();
    let trained = |index: &usize| {
        let cells = summary.tasks.iter().filter_map(|task| exemplars.of(*index, task));
        cells.flat_map(|r| &r.epochs).any(|e| wanted(&e.quantity))
    };
    let entrants: Vec<usize> = (0..summary.entrants.len()).filter(trained).collect();
    if quantities.is_empty() || entrants.is_empty() {
        return Ok(None);
    }
    let legend = quantities.iter().enumerate().map(|(place, name)| ((*name).to_owned(), colour(place)));
    let grid = Grid::new(entrants.len(), summary.tasks.len(), 92.0).with_ticks(40.0, 34.0);
    let heading = heading(legend.collect());
    let figure = heading.figure(grid.size(), |sketch, top| {
        grid.name_columns(sketch, top, &summary.tasks);
        for (row, &entrant) in entrants.iter().enumerate() {
            grid.name_row(sketch, top, row, &summary.entrants[entrant].label);
            for (column, task) in summary.tasks.iter().enumerate() {
                let Some(cell) = exemplars.of(entrant, task) else { continue };
                let lines: Vec<_> = quantities.iter().map(|name| line(cell, name)).collect();
                let y = range.unwrap_or_else(|| extent(&lines));
                let last = lines.iter().flatten().map(|point| point.0).fold(2.0, f64::max);
                draw(sketch, &grid.panel(top, row, column, (1.0, last), y), &lines);
            }
        }
    })?;
    Ok(Some(figure))
}

fn colour(place: usize) -> RGBColor {
    SERIES[place % SERIES.len()]
}

fn draw(sketch: &mut Drawing, panel: &Panel, lines: &[Vec<(f64, f64)>]) {
    panel.ticks_x(sketch, &whole(ticks(panel.x, 4)));
    panel.ticks_y(sketch, &ticks(panel.y, 4));
    panel.frame(sketch, "");
    for (place, line) in lines.iter().enumerate() {
        panel.curve(sketch, line, colour(place), 2);
    }
}

fn whole(ticks: Vec<(f64, String)>) -> Vec<(f64, String)> {
    ticks.into_iter().filter(|(value, _)| value.fract() == 0.0).map(|(v, _)| (v, format!("{v:.0}"))).collect()
}

fn line(exemplar: &Exemplar, quantity: &str) -> Vec<(f64, f64)> {
    let rows = exemplar.epochs.iter().filter(|e| e.quantity == quantity);
    let mut points: Vec<(f64, f64)> =
        rows.filter_map(|e| Some((e.epoch as f64, e.value.filter(|v| v.is_finite())?))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn extent(lines: &[Vec<(f64, f64)>]) -> (f64, f64) {
    let values = || lines.iter().flatten().map(|point| point.1);
    let (low, high) = (values().fold(0.0, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    if high > low { (low, low + (high - low) * 1.05) } else { (low, low + 1.0) }
}
