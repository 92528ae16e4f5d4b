//! The mean of every row of the board with its interval.

use anyhow::Result;

use super::board::Board;
use crate::report::chart::Figure;
use crate::report::colour::SERIES;
use crate::report::forest::{Bar, Words, bars};
use crate::report::verdict::counted;

/// Draws the board's means.
///
/// # Errors
/// Only if the drawing or its encoding fails.
pub(super) fn draw(board: &Board, warning: Option<&str>) -> Result<Figure> {
    let rows = board.rows.iter().map(|row| Bar {
        name: format!("{}, {}", row.method, board.aggregator(row)),
        value: row.auroc.map(|number| (number.value, number.interval)),
        colour: match row.class {
            _ if row.saw.is_some() => SERIES[1],
            "control" => SERIES[2],
            _ => SERIES[0],
        },
    });
    let words = Words {
        name: "studies",
        title: format!(
            "Mean AUROC of studies over {}, {}",
            counted(board.tasks.len(), "task"),
            counted(board.shots, "shot")
        ),
        caption: "Dots are means over tasks and draws under protocol clean, bars their 95 % interval over draws and studies. \
                  The upright line at 0.5 is chance."
            .to_owned(),
        alt: format!("Means and intervals of {} rows; numbers are in the table.", board.rows.len()),
        legend: [("not trained", SERIES[0]), ("SAMIL", SERIES[1]), ("control", SERIES[2])]
            .map(|(name, colour)| (name.to_owned(), colour))
            .to_vec(),
    };
    bars(words, &rows.collect::<Vec<_>>(), warning)
}
