//! Which methods need no more support draws, since they are told from the best one.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::row::{Row, is_told_apart};
use super::summary::Summary;
use crate::results::{Stopped, StoredCell, read_run};

/// Of those of `methods` that are stored with `look` draws in a run: the ones that are told from the best method at one of
/// `n_looks` looks, by number of shots. Rows that have no rank, or other draws than the best one, never are.
///
/// # Errors
/// A folder that holds no run, or scores that cannot be read.
pub fn told_apart(
    run: &Path,
    look: usize,
    n_looks: usize,
    methods: &BTreeSet<String>,
) -> Result<Vec<Stopped>> {
    let is_in = |stored: &StoredCell| stored.cell.identity.draw < look;
    let cells: Vec<StoredCell> = read_run(run)?.into_iter().filter(is_in).collect();
    let summary = Summary::new(&cells)?;
    let mut stopped = Vec::new();
    for &shots in &summary.shots {
        let is_one = |row: &&Row| row.shots == shots && row.is_ranked() && !summary.entrant(row).control;
        let rows: Vec<&Row> = summary.rows.iter().filter(is_one).collect();
        let Some((best, others)) = rows.split_first().filter(|(best, _)| best.ground.draws() == look) else {
            continue;
        };
        for row in others {
            let method = summary.entrant(row).method;
            if methods.contains(method) && is_told_apart(best, row, n_looks) == Some(true) {
                let from = summary.entrant(best).method.to_owned();
                stopped.push(Stopped { method: method.to_owned(), shots, draws: look, from });
            }
        }
    }
    Ok(stopped)
}
