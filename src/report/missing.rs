//! Cells that were planned and are not there: a mean over the rest may look better than the method is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;

use super::display_table::{DisplayTable, Entry, Line};
use crate::results::{Place, StoredCell, missing, planned};

/// Cells that a row of the table names.
const NAMED: usize = 4;

/// What is missing of the runs' plans.
pub(super) struct Missing {
    planned: usize,
    places: BTreeSet<Place>,
    /// Whether a run has no plan.
    unplanned: bool,
}

impl Missing {
    /// Of all plans together: a cell that lies in another of the runs with the same settings is not missing.
    ///
    /// # Errors
    /// A plan that cannot be read.
    pub(super) fn new(runs: &[PathBuf], results: &[StoredCell]) -> Result<Missing> {
        let (mut all, mut places, mut unplanned) = (BTreeSet::new(), BTreeSet::new(), false);
        for run in runs {
            match planned(run)? {
                Some(planned) => {
                    places.extend(missing(run, &planned, results));
                    all.extend(planned);
                }
                None => unplanned = true,
            }
        }
        Ok(Missing { planned: all.len(), places, unplanned })
    }

    /// In a sentence or two; `None` if nothing is missing.
    pub(super) fn caution(&self) -> Option<String> {
        let mut sentences = Vec::new();
        if !self.places.is_empty() {
            let methods: BTreeSet<&str> = self.places.iter().map(|place| place.method.as_str()).collect();
            let methods = methods.into_iter().collect::<Vec<_>>().join(", ");
            let (n, planned) = (self.places.len(), self.planned);
            sentences.push(format!(
                "{n} of {planned} planned cells are missing, not computed yet or removed: of {methods}."
            ));
        }
        if self.unplanned {
            sentences.push(
                "Whether cells are missing cannot be told where no plan.json names methods and tasks."
                    .to_owned(),
            );
        }
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }

    /// By method and shots; `None` if nothing is missing.
    pub(super) fn table(&self) -> Option<DisplayTable> {
        let mut rows: BTreeMap<(&str, usize), Vec<&Place>> = BTreeMap::new();
        for place in &self.places {
            rows.entry((&place.method, place.shots)).or_default().push(place);
        }
        let head = ["method", "shots", "missing", "which"].map(str::to_owned).to_vec();
        let table = DisplayTable {
            name: "missing",
            title: "Missing cells".to_owned(),
            caption: "Planned cells that are not there: not computed yet, or removed.".to_owned(),
            head,
            rows: rows.into_iter().map(|((method, shots), places)| line(method, shots, &places)).collect(),
        };
        (!table.rows.is_empty()).then_some(table)
    }
}

fn line(method: &str, shots: usize, places: &[&Place]) -> Line {
    let named = places.iter().take(NAMED);
    let mut which: Vec<String> =
        named.map(|place| format!("{} draw {} seed {}", place.task, place.draw, place.seed)).collect();
    if places.len() > NAMED {
        which.push(format!("{} more", places.len() - NAMED));
    }
    Line {
        class: String::new(),
        entries: vec![
            Entry::text(method),
            Entry::number(shots.to_string()),
            Entry::number(places.len().to_string()),
            Entry::text(which.join(", ")),
        ],
    }
}
