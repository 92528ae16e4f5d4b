//! The scores that a method gave the slices of all tasks, as a trained aggregator sees them.

use std::collections::BTreeMap;

use crate::ids::{CellId, ImageId, TaskName};
use crate::regime::Regime;

/// Scores of one method at one number of shots.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceScores {
    /// The method, as tables name it.
    pub label: String,
    /// What that method was given, and its teacher before it.
    pub regime: Regime,
    /// Size of the support set.
    pub shots: usize,
    /// By task, each support draw's.
    pub draws: BTreeMap<TaskName, Vec<Draw>>,
}

/// Of one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// The cell that scored.
    pub cell: CellId,
    /// Each slice's place among all scored slices of the cell, strictly between 0 and 1
    /// ([`calibrated`](super::aggregator::calibrated)): tasks are comparable then, at the price that a place rests on the
    /// other slices' scores. No label enters.
    pub places: BTreeMap<ImageId, f64>,
}
