//! Which slices make a study, and whether it is anomalous.
//!
//! A study is what the owner calls one ([`Row::study_id`]). Where a source names none, a volume or a file of several frames
//! is: slices with the same [`Row::group_id`] and a [`Row::slice_index`]. A picture of neither belongs to no study.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::manifest::{Label, Rejected, Row};

/// Slices of one study.
#[derive(Clone, Debug)]
pub struct Study<'a> {
    /// The owner's name of it, or of its volume, as a pseudonym.
    pub id: &'a str,
    /// In the order of slices, then of files.
    pub rows: Vec<&'a Row>,
}

/// What is known of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// None of its slices is anomalous, and none of its files holds a slice that is not among them and might be. Of a study
    /// of several files that is no certainty: one of its files may not have been drawn
    /// ([`HiddenFindings::n_without_study`]).
    Normal,
    /// At least one slice is.
    Anomalous,
    /// None of its slices is, but a slice of the same file that was not drawn has a finding that no normal picture has.
    Hidden,
    /// None is known to be anomalous, and the label of at least one is not opened.
    Unopened,
}

impl Study<'_> {
    /// The patient, else the study itself: what is resampled together.
    pub fn unit(&self) -> &str {
        self.rows[0].patient_id.as_deref().unwrap_or(self.id)
    }

    /// How many slices are anomalous.
    pub fn n_anomalous(&self) -> usize {
        self.rows.iter().filter(|row| row.label == Label::Anomalous).count()
    }
}

/// The study of a picture; `None` where it belongs to none.
pub fn study_of(row: &Row) -> Option<&str> {
    let volume = || row.group_id.as_deref().filter(|_| row.slice_index.is_some());
    row.study_id.as_deref().or_else(volume)
}

/// Whether any study of these pictures has more than one.
pub fn have_several<'a>(rows: impl Iterator<Item = &'a Row>) -> bool {
    studies(rows).iter().any(|study| study.rows.len() > 1)
}

/// Studies of one task's pictures, in the order of their first ones: names are pseudonyms, and no key may move a result.
/// Pictures without a study are left out.
pub fn studies<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Study<'a>> {
    let mut studies: Vec<Study> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for row in rows {
        let Some(id) = study_of(row) else { continue };
        let place = *places.entry(id).or_insert(studies.len());
        if place == studies.len() {
            studies.push(Study { id, rows: Vec::new() });
        }
        studies[place].rows.push(row);
    }
    for study in &mut studies {
        study.rows.sort_by_key(|row| (row.slice_index, &row.source_path, row.frame));
    }
    studies
}

/// Files of a task that hold a finding which no normal picture has, among slices that were found and not drawn: what they
/// show besides is not normal, whatever the slices say that were.
pub struct HiddenFindings<'a>(HashSet<&'a str>);

impl<'a> HiddenFindings<'a> {
    /// Of one task: all its rows, and all that was rejected.
    pub fn new<'r>(
        task: &str,
        rows: impl Iterator<Item = &'r Row>,
        rejected: &'a [Rejected],
    ) -> HiddenFindings<'a> {
        let normal: BTreeSet<&str> =
            rows.filter(|row| row.label == Label::Normal).map(|row| row.finding.as_str()).collect();
        let hides = |file: &&Rejected| {
            file.task == task && file.finding.as_deref().is_some_and(|finding| !normal.contains(finding))
        };
        HiddenFindings(rejected.iter().filter(hides).map(|file| file.source_path.as_str()).collect())
    }

    /// How many of them hold none of these pictures, so that nobody knows of which study they are: a source with a file for
    /// each slice names a study for those alone that were drawn.
    pub fn n_without_study<'r>(&self, rows: impl Iterator<Item = &'r Row>) -> usize {
        let drawn: HashSet<&str> = rows.map(|row| row.source_path.as_str()).collect();
        self.0.iter().filter(|file| !drawn.contains(**file)).count()
    }

    /// What is known of a study.
    pub fn known(&self, study: &Study) -> Known {
        let has = |label: Label| study.rows.iter().any(|row| row.label == label);
        let is_hidden = || study.rows.iter().any(|row| self.0.contains(row.source_path.as_str()));
        match () {
            () if has(Label::Anomalous) => Known::Anomalous,
            () if has(Label::Unopened) => Known::Unopened,
            () if is_hidden() => Known::Hidden,
            () => Known::Normal,
        }
    }
}
