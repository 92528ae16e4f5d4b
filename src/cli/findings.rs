//! What a check found, in sentences.

use anyhow::Result;

/// What was found, in sentences.
#[derive(Default)]
pub(super) struct Findings {
    pub holds: Vec<String>,
    pub unchecked: Vec<String>,
    pub broken: Vec<String>,
}

impl Findings {
    pub(super) fn print(&self) {
        let parts =
            [("holds", &self.holds), ("not checked", &self.unchecked), ("DOES NOT HOLD", &self.broken)];
        for (word, sentences) in parts {
            sentences.iter().for_each(|sentence| println!("{word}: {sentence}"));
        }
    }

    /// `what` holds, or does not for the reason in `outcome`.
    pub(super) fn of(&mut self, what: &str, outcome: Result<String>) {
        match outcome {
            Ok(detail) => self.holds.push(format!("{what}: {detail}")),
            Err(error) => self.broken.push(format!("{what}: {error:#}")),
        }
    }
}
