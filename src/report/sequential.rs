//! Which methods are told from the best one by the draws that there are so far.

use std::path::Path;

use anyhow::Result;

use super::row::{Row, is_told_apart};
use super::summary::Summary;
use crate::ids::CellId;
use crate::results::{StoredCell, read_run};

/// One method at one number of shots that is told from another.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The method's name; a variant follows a colon.
    pub method: String,
    /// Size of the support set.
    pub shots: usize,
    /// The better method.
    pub from: String,
}

/// The methods that are told from the best one by the first `look` draws of the cells of a run that `is_planned`, at one of
/// `n_looks` looks. Rows that have no rank, or other draws than the best one, never are, nor are controls.
///
/// # Errors
/// A folder that holds no run, or scores that cannot be read.
pub fn told_apart(
    run: &Path,
    look: usize,
    n_looks: usize,
    is_planned: impl Fn(&CellId) -> bool,
) -> Result<Vec<Told>> {
    let is_in = |stored: &StoredCell| stored.cell.identity.draw < look && is_planned(&stored.cell.id);
    let cells: Vec<StoredCell> = read_run(run)?.into_iter().filter(is_in).collect();
    let summary = Summary::new(&cells)?;
    let mut told = Vec::new();
    for &shots in &summary.shots {
        let is_one = |row: &&Row| row.shots == shots && row.is_ranked() && !summary.entrant(row).control;
        let rows: Vec<&Row> = summary.rows.iter().filter(is_one).collect();
        let Some((best, others)) = rows.split_first().filter(|(best, _)| best.ground.draws() == look) else {
            continue;
        };
        let name = |row: &Row| summary.entrant(row).method.to_owned();
        let apart = others.iter().filter(|row| is_told_apart(best, row, n_looks) == Some(true));
        told.extend(apart.map(|row| Told { method: name(row), shots, from: name(best) }));
    }
    Ok(told)
}
