//! Figures of the ranked metric: by task and shots with intervals, and as curves over shots.

use anyhow::Result;
use plotters::style::RGBColor;

use super::averages::Estimate;
use super::chart::{Figure, Heading, Panel, ticks};
use super::colour::{FAINT, MUTED, SERIES};
use super::drawing::{Anchor, Drawing};
use super::grid::{Grid, Multiples, back_to_front, colours, legend};
use super::row::Row;
use super::summary::Summary;

/// Methods down, tasks across, one dot with interval for each number of shots.
pub(super) fn by_task(summary: &Summary) -> Result<Figure> {
    let columns: Vec<&str> = summary.tasks.iter().copied().chain(["mean"]).collect();
    let grid = Grid::new(summary.entrants.len(), columns.len(), 13.0 * summary.shots.len() as f64 + 14.0);
    let heading = Heading {
        name: "auroc",
        title: "Image AUROC by task and shots, protocol clean".to_owned(),
        caption:
            "Dots are means over draws, bars the 95 % interval over draws and pictures; a missing dot is undefined. \
                  The upright line at 0.5 is chance. Methods are in the order of their best mean."
                .to_owned(),
        alt: format!(
            "Dot plot of image AUROC under protocol clean for {} methods on {} tasks; numbers are in the leaderboard.",
            summary.entrants.len(),
            summary.tasks.len()
        ),
        warning: summary.warning.as_deref(),
        legend: summary.shots.iter().enumerate().map(|(i, k)| (format!("{k} shots"), shade(i))).collect(),
    };
    let range = (floor(summary), 1.0);
    heading.figure(grid.size(), |sketch, top| {
        grid.name_columns(sketch, top, &columns);
        for column in 0..columns.len() {
            let panel = grid.column(top, column, range);
            panel.ticks_x(sketch, &ticks(range, 3));
            chance(sketch, &panel);
            for row in &summary.rows {
                let average = row.ranked();
                let estimate = average.tasks.get(column).copied().unwrap_or(average.mean);
                whisker(sketch, &panel, estimate, offset(summary, row), shade(place(summary, row)));
            }
            panel.frame(sketch, "");
        }
        for index in 0..summary.entrants.len() {
            grid.name_row(sketch, top, index, &summary.marked(index));
        }
    })
}

fn shade(place: usize) -> RGBColor {
    [SERIES[5], SERIES[0], SERIES[1], SERIES[2], SERIES[3], SERIES[4]][place % SERIES.len()]
}

fn place(summary: &Summary, row: &Row) -> usize {
    summary.shots.iter().position(|&k| k == row.shots).unwrap_or(0)
}

fn offset(summary: &Summary, row: &Row) -> f64 {
    row.entrant as f64 + (place(summary, row) as f64 + 1.0) / (summary.shots.len() as f64 + 1.0)
}

/// A round lower end below every interval, at most 0.4 so that chance is in sight.
pub(super) fn floor(summary: &Summary) -> f64 {
    let averages = summary.rows.iter().flat_map(|row| &row.averages);
    let ends = averages.flat_map(|(_, average)| &average.tasks).flatten().map(|e| e.low.unwrap_or(e.value));
    (ends.fold(0.4, f64::min) * 10.0).floor().max(0.0) / 10.0
}

fn chance(sketch: &mut Drawing, panel: &Panel) {
    panel.curve(sketch, &[(0.5, panel.y.0), (0.5, panel.y.1)], FAINT, 1);
}

fn whisker(sketch: &mut Drawing, panel: &Panel, estimate: Option<Estimate>, y: f64, colour: RGBColor) {
    let Some(estimate) = estimate else { return };
    if let (Some(low), Some(high)) = (estimate.low, estimate.high) {
        panel.curve(sketch, &[(low, y), (high, y)], colour, 2);
    }
    sketch.dot(panel.at(estimate.value, y), 3, colour);
}

/// One panel for each task and one for the mean, one line for each method.
pub(super) fn over_shots(summary: &Summary) -> Result<Figure> {
    let panels: Vec<&str> = summary.tasks.iter().copied().chain(["mean"]).collect();
    let multiples = Multiples::new(panels.len());
    let heading = Heading {
        name: "shots",
        title: "Image AUROC over shots, protocol clean".to_owned(),
        caption:
            "Mean over draws. Shots are set at even distances. Grey lines are controls and, where there are \
                  more methods than colours, the lower-ranked ones."
                .to_owned(),
        alt: "Line plots of image AUROC over the number of shots, one panel for each task.".to_owned(),
        warning: summary.warning.as_deref(),
        legend: legend(summary),
    };
    let (x, y) = ((-0.3, summary.shots.len() as f64 - 0.7), (floor(summary), 1.0));
    let colours = colours(summary);
    let shots: Vec<_> = summary.shots.iter().enumerate().map(|(i, k)| (i as f64, k.to_string())).collect();
    heading.figure(multiples.size(), |sketch, top| {
        for (index, name) in panels.iter().enumerate() {
            let panel = multiples.panel(top, index, x, y);
            panel.ticks_y(sketch, &ticks(y, 6));
            panel.ticks_x(sketch, &shots);
            panel.frame(sketch, name);
            let foot = (panel.left + panel.width / 2.0, panel.top + panel.height + 26.0);
            sketch.text(foot, 11, MUTED, Anchor::Middle, "shots");
            for entrant in back_to_front(summary) {
                curve(sketch, &panel, summary, (entrant, index), colours[entrant]);
            }
        }
    })
}

fn curve(
    sketch: &mut Drawing,
    panel: &Panel,
    summary: &Summary,
    (entrant, column): (usize, usize),
    colour: RGBColor,
) {
    let point = |(place, &shots): (usize, &usize)| {
        let average = summary.row(entrant, shots)?.ranked();
        let estimate = average.tasks.get(column).copied().unwrap_or(average.mean)?;
        Some((place as f64, estimate.value))
    };
    let points: Vec<Option<(f64, f64)>> = summary.shots.iter().enumerate().map(point).collect();
    for known in points.split(Option::is_none) {
        let known: Vec<(f64, f64)> = known.iter().copied().flatten().collect();
        panel.curve(sketch, &known, colour, 2);
        for &(x, y) in &known {
            sketch.dot(panel.at(x, y), 4, colour);
        }
    }
}
