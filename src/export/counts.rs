//! What metadata say of a manifest's rows in sum, so that the rows need not be in memory together.

use std::collections::BTreeSet;

use crate::ids::TaskName;
use crate::manifest::{Label, MaskKind, Row, Split};

/// Rows of all tasks.
#[derive(Default)]
pub(super) struct Counts {
    /// In order of first appearance.
    pub(super) tasks: Vec<OfTask>,
    /// All intensity policies.
    pub(super) policies: BTreeSet<String>,
    /// Pictures whose files had defects that were forgiven.
    pub(super) repaired: usize,
    /// Masks drawn pixel by pixel.
    pub(super) pixel_masks: usize,
    /// Masks made from boxes.
    pub(super) box_masks: usize,
    /// Rows that name a patient.
    pub(super) patients: usize,
    /// Rows that name a study.
    pub(super) studies: usize,
}

/// Rows of one task.
#[derive(Default)]
pub(super) struct OfTask {
    pub(super) name: TaskName,
    pub(super) pictures: usize,
    pub(super) train_normal: usize,
    pub(super) test_normal: usize,
    pub(super) test_anomalous: usize,
    pub(super) without_patient: usize,
}

impl Counts {
    pub(super) fn add(&mut self, row: &Row) {
        if !self.policies.contains(&row.intensity_policy) {
            self.policies.insert(row.intensity_policy.clone());
        }
        self.repaired += usize::from(row.repaired.is_some());
        self.pixel_masks += usize::from(row.mask_kind == Some(MaskKind::Pixels));
        self.box_masks += usize::from(row.mask_kind == Some(MaskKind::Boxes));
        self.patients += usize::from(row.patient_id.is_some());
        self.studies += usize::from(row.study_id.is_some());
        let of_task = self.of_task(&row.task);
        of_task.pictures += 1;
        of_task.without_patient += usize::from(row.patient_id.is_none());
        match (row.split, row.label) {
            (Split::Train, Label::Normal) => of_task.train_normal += 1,
            (Split::Test, Label::Normal) => of_task.test_normal += 1,
            (Split::Test, Label::Anomalous) => of_task.test_anomalous += 1,
            _ => {}
        }
    }

    fn of_task(&mut self, name: &TaskName) -> &mut OfTask {
        let place = self.tasks.iter().rposition(|task| task.name == *name).unwrap_or_else(|| {
            self.tasks.push(OfTask { name: name.clone(), ..OfTask::default() });
            self.tasks.len() - 1
        });
        &mut self.tasks[place]
    }
}
