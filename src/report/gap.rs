//! What the protocol alone does to the numbers, and the paper's own numbers beside ours.

use anyhow::Result;
use plotters::style::RGBColor;

use super::auroc::floor;
use super::chart::{Figure, Heading, Panel, ticks};
use super::colour::{INK, SERIES};
use super::display_table::{DisplayTable, Entry, Line, signed, three_decimals};
use super::drawing::Drawing;
use super::entrant::Entrant;
use super::grid::Grid;
use super::leaderboard::score;
use super::published;
use super::row::{Row, shown};
use super::summary::Summary;
use crate::protocol::Protocol;
use crate::spec::is_drawn;
use crate::words;

/// Why the three protocols differ, for the page and the Markdown.
pub(super) const WHY: &str = "All protocols read raw anomaly maps of one training, so their difference is the protocol alone. \
The published code stacks sixteen test pictures and smooths along the stack as well as within each picture; as the \
list is sorted by class, every map borrows from neighbours that nearly always share its label, and label \
information leaks into the score. It also drops the last, incomplete batch and reports the epoch that is best on the \
test set. Protocol published does all three; published-shuffled too, with the pictures in an order drawn at random, so \
that neighbours tell nothing of the label; published-2d smooths each picture alone and keeps the other two; clean \
does none of them: it smooths each picture alone, scores every picture and takes the last epoch. Only \
clean ranks.";

/// Image AUROC of a coin.
const CHANCE: f64 = 0.5;
/// Height of one bar and the gap below it.
const BAR: f64 = 9.0;
/// Of the protocols as they are shown, over again where there are more.
const COLOURS: [RGBColor; 4] = [SERIES[0], SERIES[4], SERIES[2], SERIES[1]];

/// Methods down, tasks across, one bar for each protocol, at the most shots.
pub(super) fn bars(summary: &Summary) -> Result<Option<Figure>> {
    let Some(&shots) = summary.shots.last() else { return Ok(None) };
    let columns: Vec<&str> = summary.tasks.iter().copied().chain(["mean"]).collect();
    let grid = Grid::new(summary.entrants.len(), columns.len(), 6.0 + BAR * shown().len() as f64);
    let legend =
        shown().into_iter().zip(COLOURS.into_iter().cycle()).map(|(name, colour)| (name.to_string(), colour));
    let heading = Heading {
        name: "protocol-gap",
        title: format!("Image AUROC by protocol, {shots} shots"),
        caption: format!(
            "Mean over draws. Bars grow from chance, 0.5, to the right if better. The dark upright line in the rows of {} is the paper's own value, beside real pictures only: not the same data \
             or weights. A missing bar is undefined or was not measured.",
            published::METHOD
        ),
        alt: format!(
            "Bars of image AUROC under the protocols {}, methods down, tasks across.",
            words::list(shown())
        ),
        warning: summary.warning.as_deref(),
        legend: legend.collect(),
    };
    let range = (floor(summary), 1.0);
    let figure = heading.figure(grid.size(), |sketch, top| {
        grid.name_columns(sketch, top, &columns);
        for (column, task) in columns.iter().enumerate() {
            let panel = grid.column(top, column, range);
            panel.ticks_x(sketch, &ticks(range, 3));
            panel.frame(sketch, "");
            for row in summary.rows.iter().filter(|row| row.shots == shots) {
                let values = row.averages.iter().map(|(_, b)| b.tasks.get(column).copied().unwrap_or(b.mean));
                bars_of(sketch, &panel, row.entrant, values.map(|estimate| estimate.map(|e| e.value)));
                paper_mark(sketch, &panel, row.entrant, theirs(summary.entrant(row), task, shots));
            }
        }
        for index in 0..summary.entrants.len() {
            grid.name_row(sketch, top, index, &summary.marked(index));
        }
    })?;
    Ok(Some(figure))
}

fn bars_of(sketch: &mut Drawing, panel: &Panel, entrant: usize, values: impl Iterator<Item = Option<f64>>) {
    for (place, value) in values.enumerate() {
        let Some(value) = value else { continue };
        let (x, y) = panel.at(value, entrant as f64);
        let (chance, y) = (panel.at(CHANCE, 0.0).0, y + 4.0 + BAR * place as f64);
        sketch.block(
            (chance.min(x), y),
            (chance.max(x).max(chance.min(x) + 1.0), y + 7.5),
            COLOURS[place % COLOURS.len()],
        );
    }
}

fn paper_mark(sketch: &mut Drawing, panel: &Panel, entrant: usize, value: Option<f64>) {
    let Some(value) = value else { return };
    let (x, y) = panel.at(value, entrant as f64);
    sketch.line(vec![(x, y + 3.0), (x, y + 3.0 + BAR * shown().len() as f64)], INK, 2);
}

/// Mean over tasks under each protocol.
pub(super) fn table(summary: &Summary) -> DisplayTable {
    let gaps = Protocol::with_gap();
    let mut head = ["method", "shots", "regime"].map(str::to_owned).to_vec();
    head.extend(shown().iter().map(Protocol::to_string));
    head.extend(gaps.iter().map(|protocol| format!("{protocol} less {}", Protocol::RANKED)));
    let line = |row: &Row| {
        let entrant = summary.entrant(row);
        let mut entries = vec![
            Entry::text(&entrant.label).detail(if row.off_ground.is_some() { "not ranked" } else { "" }),
            Entry::number(row.shots.to_string()),
            Entry::text(entrant.regime_words()),
        ];
        entries.extend(row.averages.iter().map(|(_, average)| score(average.mean, 0)));
        entries.extend(gaps.iter().map(|&protocol| Entry::number(signed(row.gap(protocol)))));
        Line { class: summary.class(row), entries }
    };
    DisplayTable {
        name: "gap",
        title: "Protocol gap".to_owned(),
        caption: "Image AUROC, mean over tasks and draws, with the 95 % interval over draws and pictures and the lowest draw. \
                  A gap above zero is what the published protocol adds to the same training."
            .to_owned(),
        head,
        rows: summary.rows.iter().map(line).collect(),
    }
}

/// The paper's value for a task, if this is its method and the pictures are real: synthetic ones share no more
/// than a task's name.
fn theirs(entrant: &Entrant, task: &str, shots: usize) -> Option<f64> {
    let is_real = entrant.cells.iter().all(|result| !is_drawn(&result.cell.provenance.spec));
    (entrant.method == published::METHOD && is_real).then(|| published::auroc(task, shots)).flatten()
}

/// Published values beside ours; `None` if the method or its tasks are not in the run, or its pictures not real.
pub(super) fn paper_sheet(summary: &Summary) -> Option<DisplayTable> {
    let mut rows = Vec::new();
    for row in summary.rows.iter().filter(|row| summary.entrant(row).method == published::METHOD) {
        for (index, task) in summary.tasks.iter().enumerate() {
            let Some(theirs) = theirs(summary.entrant(row), task, row.shots) else { continue };
            let ours = row.averages.iter().rev().map(|(_, average)| average.tasks[index].map(|e| e.value));
            rows.push(line(
                [*task, &summary.entrant(row).label, summary.entrant(row).regime.name()],
                row.shots,
                theirs,
                ours.collect(),
            ));
            let is_here = |rival: &&published::Rival| rival.task == *task && rival.shots == row.shots;
            for rival in published::RIVALS.iter().filter(is_here) {
                let names = [rival.task, rival.method, rival.regime];
                rows.push(line(names, rival.shots, rival.auroc, vec![None; row.averages.len()]));
            }
        }
    }
    let mut head = ["task", "shots", "method", "regime", "paper"].map(str::to_owned).to_vec();
    head.extend(shown().iter().rev().map(|protocol| format!("ours, {protocol}")));
    let table = DisplayTable {
        name: "paper",
        title: "Published values beside ours".to_owned(),
        caption: "Image AUROC of D2-4FAD and its rivals as the D2-4FAD paper reports them (arXiv 2603.01713, main table, \
                  as quoted in notes on it), beside ours: not the same data or weights. The paper's selection of \
                  pictures is not public, so a difference proves nothing by itself. InCTRL was \
                  given anomalies of other data (R3), MVFA of the target (R4)."
            .to_owned(),
        head,
        rows,
    };
    (!table.rows.is_empty()).then_some(table)
}

fn line([task, method, regime]: [&str; 3], shots: usize, theirs: f64, ours: Vec<Option<f64>>) -> Line {
    let mut entries = vec![
        Entry::text(task),
        Entry::number(shots.to_string()),
        Entry::text(method),
        Entry::text(regime),
        Entry::number(three_decimals(Some(theirs))),
    ];
    entries.extend(ours.into_iter().map(|value| Entry::number(three_decimals(value))));
    Line { class: String::new(), entries }
}
