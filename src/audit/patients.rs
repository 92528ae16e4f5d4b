//! One patient, or one group such as a volume, stands on one side.

use std::collections::BTreeMap;

use super::{Finding, Gate, Picture};
use crate::manifest::Row;
use crate::spec::Level;

pub(super) fn gate(rows: &[Row], level: Level) -> Gate {
    let mut gate = Gate::new("patients", "does a patient or group stand on two sides of a task?", level);
    if gate.left_out.is_some() {
        return gate;
    }
    for (kind, key) in [
        ("patient", (|row: &Row| row.patient_id.clone()) as fn(&Row) -> Option<String>),
        ("group", |row| row.group_id.clone()),
    ] {
        let mut members: BTreeMap<(&str, String), Vec<&Row>> = BTreeMap::new();
        for row in rows {
            if let Some(key) = key(row) {
                members.entry((&row.task, key)).or_default().push(row);
            }
        }
        for ((_, key), members) in members {
            // One pair for each further side, so that a patient of a hundred slices is one finding.
            let first = members[0];
            if let Some(other) = members.iter().find(|row| row.split != first.split) {
                gate.findings.push(Finding {
                    what: format!("{kind} {key} stands on two sides, with {} pictures", members.len()),
                    pictures: vec![Picture::of(first), Picture::of(other)],
                });
            }
        }
    }
    let unknown = |of: &dyn Fn(&Row) -> bool| {
        let rows = rows.iter().filter(|row| row.patient_id.is_none() && of(row));
        let mut tasks: Vec<&str> = rows.map(|row| row.task.as_str()).collect();
        tasks.dedup();
        (!tasks.is_empty()).then(|| tasks.join(", "))
    };
    if let Some(tasks) = unknown(&|_| true) {
        gate.notes.push(format!("patients are not known in {tasks}"));
    }
    if let Some(tasks) = unknown(&|row| row.source == "folders") {
        gate.notes.push(format!(
            "where names of files tell patients apart in {tasks}, build with `build-dataset --group-by REGEX`, whose \
             first group is the patient"
        ));
    }
    gate
}
