//! The test studies of a task, and what is said of those that are left out.

use std::collections::BTreeMap;

use crate::manifest::{Manifest, Rejected, Row, Split};
use crate::metric::two_level::Sample;
use crate::study::grouping::{HiddenFindings, Known, Study, studies};

/// What a task has.
pub(super) enum Found<'a> {
    Studies(TaskStudies<'a>),
    /// None of more than one picture.
    Nothing,
}

/// Test studies whose label is known, in the manifest's order.
pub(super) struct TaskStudies<'a> {
    pub studies: Vec<Study<'a>>,
    pub sample: Sample,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

impl TaskStudies<'_> {
    /// Normal and anomalous ones.
    pub(super) fn counts(&self) -> [usize; 2] {
        let n_anomalous = self.sample.is_anomalous().iter().filter(|is| **is).count();
        [self.studies.len() - n_anomalous, n_anomalous]
    }
}

/// The studies of a task's test pictures; `rejected` are the files that were found and not used.
pub(super) fn tested<'a>(manifest: &'a Manifest, rejected: &[Rejected], task: &str) -> Found<'a> {
    let rows: Vec<&Row> =
        manifest.rows.iter().filter(|row| row.task == *task && row.split == Split::Test).collect();
    let all = studies(rows.iter().copied());
    if all.iter().all(|study| study.rows.len() < 2) {
        return Found::Nothing;
    }
    let n_alone = rows.len() - all.iter().map(|study| study.rows.len()).sum::<usize>();
    let of_task = || manifest.rows.iter().filter(|row| row.task == *task);
    let hidden = HiddenFindings::new(task, of_task(), rejected);
    let n_of_no_study = hidden.n_without_study(of_task());
    let mut left_out: BTreeMap<Known, usize> = BTreeMap::new();
    let (mut kept, mut is_anomalous) = (Vec::new(), Vec::new());
    for study in all {
        match hidden.known(&study) {
            known @ (Known::Normal | Known::Anomalous) => {
                is_anomalous.push(known == Known::Anomalous);
                kept.push(study);
            }
            known => *left_out.entry(known).or_default() += 1,
        }
    }
    let mut notes = Vec::new();
    if n_alone > 0 {
        notes.push(format!("{task}: test pictures that belong to no study ({n_alone})"));
    }
    for (known, count) in left_out {
        let why = match known {
            Known::Hidden => {
                "studies whose slices here are all normal, while others of the same volume, which were not drawn, are not"
            }
            _ => "studies of which a label is not opened",
        };
        notes.push(format!("{task}: {why} ({count})"));
    }
    let is_of_files = |(study, is): (&Study, &bool)| {
        !is && study.rows.iter().any(|row| row.source_path != study.rows[0].source_path)
    };
    let n_doubtful = kept.iter().zip(&is_anomalous).filter(|(study, is)| is_of_files((study, is))).count();
    if n_of_no_study > 0 && n_doubtful > 0 {
        notes.push(format!(
            "{task}: files with a finding that no normal picture has, which were not drawn and of which nobody knows the study \
             ({n_of_no_study}): of the studies that span several files and are called normal ({n_doubtful}), any may hold one"
        ));
    }
    let units: Vec<Option<String>> = kept.iter().map(|study| Some(study.unit().to_owned())).collect();
    Found::Studies(TaskStudies { sample: Sample::new(is_anomalous, &units), studies: kept, notes })
}
