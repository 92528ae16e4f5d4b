//! An audit as sentences for a data set's metadata.

use super::{Gate, Outcome, Report};
use crate::export::Audited;

/// Gates of which a finding is a bias.
const BIASES: [&str; 2] = ["shortcuts", "label-conflicts"];
/// Gates of which a finding is about people.
const SENSITIVE: [&str; 2] = ["privacy", "file-names"];

impl Report {
    /// What it says of biases, limits and sensitive data. Names no file.
    pub fn sentences(&self) -> Audited {
        let mut audited = Audited::default();
        for gate in &self.gates {
            let list = match gate.name.as_str() {
                name if BIASES.contains(&name) => &mut audited.biases,
                name if SENSITIVE.contains(&name) => &mut audited.sensitive,
                _ => &mut audited.limitations,
            };
            list.push(sentence(gate));
        }
        let beyond = self.shortcuts.iter().filter(|one| one.is_beyond(self.thresholds.shortcut_margin));
        audited.biases.extend(beyond.filter_map(|one| {
            Some(format!(
                "{}: {} alone tells the label with an AUROC of {:.3}.",
                one.task, one.what, one.auroc?
            ))
        }));
        audited
    }
}

fn sentence(gate: &Gate) -> String {
    let Gate { name, asks, findings, .. } = gate;
    match (gate.outcome(), &gate.left_out) {
        (Outcome::LeftOut, reason) => {
            format!(
                "Audit `{name}` ({asks}) was left out: {}.",
                reason.as_deref().unwrap_or("no reason is known")
            )
        }
        (Outcome::Pass, _) => format!("Audit `{name}` ({asks}): nothing was found."),
        _ => format!("Audit `{name}` ({asks}): {} findings.", findings.len()),
    }
}
