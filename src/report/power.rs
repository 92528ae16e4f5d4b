//! What the pictures and draws of a board could have shown.

use super::row::{Row, could_show};
use super::summary::Summary;
use crate::metric::quantile::median;

/// What the pictures and draws of a board could have shown between its best row and others, by number of shots;
/// empty where nothing can be said.
pub(super) fn sentence(summary: &Summary) -> String {
    let of_shots = |&shots: &usize| {
        let rows: Vec<&Row> = summary.rows.iter().filter(|row| row.shots == shots).collect();
        let (best, others) = rows.split_first()?;
        let is_other = |row: &&&Row| !summary.entrant(row).control;
        let mut sizes: Vec<f64> =
            others.iter().filter(is_other).filter_map(|row| could_show(best, row)).collect();
        others.iter().find(is_other)?;
        let Some(middle) = median(&mut sizes) else {
            return Some(format!(
                "At {shots} shots it cannot be said what these pictures and draws could show: differences from \
                the best row \
                 have no interval."
            ));
        };
        let draws = best.ground.draws();
        Some(format!(
            "At {shots} shots, these pictures and {draws} {} could show a difference of {middle:.3} in mean \
            AUROC from the best \
             row with a power of 80 % (median of {} rows; {:.3} to {:.3}): smaller ones would mostly stay unseen.",
            if draws == 1 { "draw" } else { "draws" },
            sizes.len(),
            sizes.first()?,
            sizes.last()?
        ))
    };
    summary.shots.iter().filter_map(of_shots).collect::<Vec<_>>().join(" ")
}
