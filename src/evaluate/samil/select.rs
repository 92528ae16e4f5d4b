//! Which studies train SAMIL for a target, and which are scored.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Result, ensure};

use crate::ids::{ImageId, TaskName};
use crate::manifest::{Manifest, Rejected, Row, Split};
use crate::study::grouping::{HiddenFindings, Known, Study, studies};
use crate::study::slices::SliceScores;

/// Studies of other tasks, with what they are.
pub struct Sources<'a> {
    /// The tasks that train.
    pub tasks: Vec<TaskName>,
    /// Of which task, and whether it is anomalous.
    pub studies: Vec<(TaskName, Study<'a>, bool)>,
    /// Normal and anomalous ones.
    pub counts: [usize; 2],
    /// Those that share a picture, a file or a patient with the target.
    pub n_left_out: usize,
}

impl Sources<'_> {
    /// Refuses a view that no slice has: nothing would be relevant.
    ///
    /// # Errors
    /// Names it, and the views that there are.
    pub(super) fn check_views(&self, views: &[String]) -> Result<()> {
        let rows = self.studies.iter().flat_map(|(_, study, _)| &study.rows);
        let known: BTreeSet<&str> = rows.filter_map(|row| row.view.as_deref()).collect();
        let unknown: Vec<&str> =
            views.iter().map(String::as_str).filter(|view| !known.contains(view)).collect();
        let there = known.iter().copied().collect::<Vec<_>>().join(", ");
        ensure!(
            unknown.is_empty(),
            "SAMIL: relevant_views names {}, which no slice of a study that trains is (there are: {}); name one of these, or \
             leave the setting out, and the share of tissue counts",
            unknown.join(", "),
            if there.is_empty() { "none, as the manifest knows no views" } else { &there }
        );
        Ok(())
    }
}

/// What may train for `target`: of other tasks, studies of train normals alone and every anomalous study with all its
/// slices; where slice scores enter, the test studies, which alone have them. A study that shares a patient, a picture or a
/// file with the target does not train, whichever frames of the file either has. `rejected` are the files that were found
/// and not used.
///
/// # Errors
/// No study of a class.
pub fn sources<'a>(
    manifest: &'a Manifest,
    rejected: &[Rejected],
    target: &str,
    tasks: Vec<TaskName>,
    scores: Option<&SliceScores>,
) -> Result<Sources<'a>> {
    let of_target = || manifest.rows.iter().filter(|row| row.task == *target);
    let others = manifest.without_pictures_of(target, manifest.rows.iter());
    let others: HashSet<&str> = others.into_iter().map(|row| row.image_id.as_str()).collect();
    let files: HashSet<&str> = of_target().map(|row| row.file_sha256.as_str()).collect();
    let patients: HashSet<&str> = of_target().filter_map(|row| row.patient_id.as_deref()).collect();
    let is_shared = |row: &&Row| {
        !others.contains(row.image_id.as_str())
            || files.contains(row.file_sha256.as_str())
            || row.patient_id.as_deref().is_some_and(|patient| patients.contains(patient))
    };
    let mut found = Sources { tasks: tasks.clone(), studies: Vec::new(), counts: [0; 2], n_left_out: 0 };
    for task in tasks {
        let rows = || manifest.rows.iter().filter(|row| row.task == *task);
        let hidden = HiddenFindings::new(&task, rows(), rejected);
        for study in studies(rows()) {
            let known = hidden.known(&study);
            let has_scores = |row: &&Row| is_scored(scores, &task, &row.image_id);
            let may_train = match (known, scores) {
                (Known::Hidden | Known::Unopened, _) => false,
                (_, Some(_)) => study.rows.iter().all(has_scores),
                (Known::Normal, None) => study.rows.iter().all(|row| row.split == Split::Train),
                (Known::Anomalous, None) => true,
            };
            if !may_train {
                continue;
            }
            if study.rows.iter().any(is_shared) {
                found.n_left_out += 1;
                continue;
            }
            let is_anomalous = known == Known::Anomalous;
            found.counts[usize::from(is_anomalous)] += 1;
            found.studies.push((task.clone(), study, is_anomalous));
        }
    }
    let names: Vec<&str> = found.tasks.iter().map(TaskName::as_str).collect();
    ensure!(
        found.counts.iter().all(|count| *count > 0),
        "SAMIL for {target} trains on labelled studies of other tasks, and {} have {} normal and {} anomalous ones that may \
         train{}; curate a benchmark in which at least two tasks have studies of both classes",
        if names.is_empty() { "there are no other tasks, which".to_owned() } else { names.join(", ") },
        found.counts[0],
        found.counts[1],
        if scores.is_some() { " (with slice scores, test studies alone)" } else { "" }
    );
    Ok(found)
}

/// Whether every draw of a task scored a slice.
fn is_scored(scores: Option<&SliceScores>, task: &str, id: &ImageId) -> bool {
    let draws = scores.and_then(|scores| scores.draws.get(task));
    draws.is_some_and(|draws| !draws.is_empty() && draws.iter().all(|draw| draw.places.contains_key(id)))
}

/// The studies of the target that are scored: all of its test pictures', whatever they are.
pub(super) fn queries<'a>(manifest: &'a Manifest, target: &'a str) -> Vec<Study<'a>> {
    studies(manifest.select(target, Split::Test))
}
