//! The cells that stand for their method and task in figures of single cells, with what those figures draw.

use std::collections::BTreeMap;

use anyhow::Result;

use super::summary::Summary;
use crate::manifest::Label;
use crate::protocol::Protocol;
use crate::results::{Epoch, Score, StoredCell};

/// One such cell.
pub(super) struct Exemplar {
    /// Finite scores under the protocol that ranks, of pictures whose label is opened.
    pub scores: Vec<(f64, Label)>,
    /// Figures of its training.
    pub epochs: Vec<Epoch>,
}

/// By entrant and task.
pub(super) struct Exemplars(BTreeMap<(usize, String), Exemplar>);

impl Exemplars {
    /// Reads them.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(summary: &Summary) -> Result<Exemplars> {
        let mut exemplars = BTreeMap::new();
        for entrant in 0..summary.entrants.len() {
            for task in &summary.tasks {
                if let Some(cell) = summary.entrants[entrant].exemplar(task) {
                    exemplars.insert((entrant, (*task).to_owned()), Exemplar::read(cell)?);
                }
            }
        }
        Ok(Exemplars(exemplars))
    }

    /// The one of an entrant and a task, if a cell of theirs ran.
    pub(super) fn of(&self, entrant: usize, task: &str) -> Option<&Exemplar> {
        self.0.get(&(entrant, task.to_owned()))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Exemplar> {
        self.0.values()
    }
}

impl Exemplar {
    fn read(cell: &StoredCell) -> Result<Exemplar> {
        let finite = |s: &Score| Some((s.under(Protocol::RANKED).filter(|v| v.is_finite())?, s.label));
        let scores = cell.scores()?;
        let opened = scores.iter().filter(|score| score.label != Label::Unopened);
        let scores = opened.filter_map(finite).collect();
        Ok(Exemplar { scores, epochs: cell.epochs()? })
    }
}
