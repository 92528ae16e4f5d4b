//! Panels in rows and columns: methods down, tasks across; or tasks alone, three a row.

use super::chart::{MARGIN, Panel, WIDTH, shortened};
use super::colour::{FAINT, INK, SERIES};
use super::drawing::{Anchor, Drawing};
use super::summary::Summary;
use plotters::style::RGBColor;

/// Methods that get a colour of their own; the others are drawn in grey.
const COLOURED: usize = SERIES.len();
const LABELS: f64 = 160.0;
const GAP: f64 = 28.0;
const COLUMN: f64 = 118.0;

/// Methods down, tasks across; all panels share one size.
pub(super) struct Grid {
    columns: usize,
    rows: usize,
    pub row_height: f64,
    column_width: f64,
    /// Space under each row for tick labels.
    foot: f64,
    /// Space left of each panel for tick labels.
    side: f64,
}

impl Grid {
    pub(super) fn new(rows: usize, columns: usize, row_height: f64) -> Grid {
        let fit = (WIDTH - 2.0 * MARGIN - LABELS) / columns.max(1) as f64;
        Grid { columns, rows, row_height, column_width: fit.max(COLUMN), foot: 0.0, side: 0.0 }
    }

    /// Leaves room for tick labels under every row and left of every panel.
    pub(super) fn with_ticks(self, foot: f64, side: f64) -> Grid {
        Grid { foot, side, ..self }
    }

    /// Units taken, with the names above and the ticks below.
    pub(super) fn size(&self) -> (f64, f64) {
        let height = 30.0
            + self.rows as f64 * (self.row_height + self.foot)
            + if self.foot > 0.0 { 0.0 } else { 24.0 };
        (2.0 * MARGIN + LABELS + self.columns as f64 * self.column_width, height)
    }

    /// The panel of a row and column of a figure whose body starts at `top`.
    pub(super) fn panel(&self, top: f64, row: usize, column: usize, x: (f64, f64), y: (f64, f64)) -> Panel {
        Panel {
            left: MARGIN + LABELS + column as f64 * self.column_width + GAP / 2.0 + self.side,
            top: top + 30.0 + row as f64 * (self.row_height + self.foot),
            width: self.column_width - GAP - self.side,
            height: self.row_height,
            x,
            y,
        }
    }

    /// One panel over all rows of a column.
    pub(super) fn column(&self, top: f64, column: usize, x: (f64, f64)) -> Panel {
        let rows = self.rows as f64;
        let panel = self.panel(top, 0, column, x, (rows, 0.0));
        Panel { height: rows * (self.row_height + self.foot), ..panel }
    }

    /// Names the columns.
    pub(super) fn name_columns(&self, sketch: &mut Drawing, top: f64, names: &[&str]) {
        for (column, name) in names.iter().enumerate() {
            let panel = self.panel(top, 0, column, (0.0, 1.0), (0.0, 1.0));
            let at = (panel.left + panel.width / 2.0, top + 16.0);
            sketch.text(at, 13, INK, Anchor::Middle, &shortened(name, 15));
        }
    }

    /// Names a row.
    pub(super) fn name_row(&self, sketch: &mut Drawing, top: f64, row: usize, name: &str) {
        let y = top + 30.0 + row as f64 * (self.row_height + self.foot) + self.row_height / 2.0;
        sketch.text((MARGIN + LABELS - 6.0, y), 12, INK, Anchor::End, &shortened(name, 23));
    }
}

/// Panels of the tasks, three a row.
pub(super) struct Multiples {
    count: usize,
    height: f64,
}

impl Multiples {
    pub(super) fn new(count: usize) -> Multiples {
        Multiples { count, height: 230.0 }
    }

    pub(super) fn size(&self) -> (f64, f64) {
        (WIDTH, self.count.div_ceil(3) as f64 * (self.height + 66.0))
    }

    pub(super) fn panel(&self, top: f64, index: usize, x: (f64, f64), y: (f64, f64)) -> Panel {
        let third = (WIDTH - 2.0 * MARGIN) / 3.0;
        Panel {
            left: MARGIN + (index % 3) as f64 * third + 52.0,
            top: top + (index / 3) as f64 * (self.height + 66.0) + 24.0,
            width: third - 66.0,
            height: self.height,
            x,
            y,
        }
    }
}

/// The colour of every entrant: the best methods their own, controls and the rest grey.
pub(super) fn colours(summary: &Summary) -> Vec<RGBColor> {
    let mut free = SERIES.iter();
    let colour = |control: bool| if control { FAINT } else { *free.next().unwrap_or(&FAINT) };
    summary.entrants.iter().map(|entrant| entrant.control).map(colour).collect()
}

/// The legend to [`colours`].
pub(super) fn legend(summary: &Summary) -> Vec<(String, RGBColor)> {
    let methods = colours(summary).into_iter().enumerate().filter(|(_, colour)| *colour != FAINT);
    let mut legend: Vec<_> =
        methods.map(|(index, colour)| (shortened(&summary.marked(index), 28), colour)).collect();
    let grey = summary.entrants.len() - legend.len();
    let others = summary.entrants.iter().filter(|e| !e.control).count().saturating_sub(COLOURED);
    let name = if others == 0 { "controls" } else { "controls and further methods" };
    if grey > 0 {
        legend.push((format!("{name} ({grey})"), FAINT));
    }
    legend
}

/// Indices of entrants, grey ones first so that the others are drawn over them.
pub(super) fn back_to_front(summary: &Summary) -> Vec<usize> {
    let colours = colours(summary);
    let mut order: Vec<usize> = (0..colours.len()).rev().collect();
    order.sort_by_key(|&index| colours[index] != FAINT);
    order
}
