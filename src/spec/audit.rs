//! What an audit asks of a curated benchmark: the table `[audit]` of a spec.

use serde::{Deserialize, Serialize};

/// What follows when a gate finds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The audit fails.
    Fail,
    /// It is reported.
    Warn,
    /// The gate is not run, and the report says so.
    Off,
}

/// Gates and their thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// One patient or group on two sides.
    pub patients: Level,
    /// Pictures of equal bytes or equal pixels on two sides or in two tasks.
    pub copies: Level,
    /// Nearly equal pictures on two sides or in two tasks, also flipped or turned.
    pub near_copies: Level,
    /// Neighbours in a pretrained network's features on two sides or in two tasks, where a network is given.
    pub embedding_neighbours: Level,
    /// Copies or near copies with different labels.
    pub label_conflicts: Level,
    /// Acquisition that predicts the label.
    pub shortcuts: Level,
    /// Files that name people or carry comments.
    pub privacy: Level,
    /// Names of files that hold what looks like a person's name or a date.
    pub file_names: Level,
    /// Near copies differ in at most this many of the 64 bits of the difference hash ...
    pub near_bits: u32,
    /// ... and correlate at least this much (normalised cross-correlation of the details of 32 x 32 grey
    /// pictures), and more where unrelated pictures of a task are much alike.
    pub near_correlation: f64,
    /// A shortcut is an AUROC whose 95 % interval lies wholly further from 0.5 than this.
    pub shortcut_margin: f64,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit {
            patients: Level::Fail,
            copies: Level::Fail,
            near_copies: Level::Fail,
            embedding_neighbours: Level::Fail,
            label_conflicts: Level::Fail,
            shortcuts: Level::Warn,
            privacy: Level::Warn,
            file_names: Level::Warn,
            near_bits: 12,
            near_correlation: 0.75,
            shortcut_margin: 0.1,
        }
    }
}

impl Audit {
    /// Gates in the order in which they run, as an audit calls them.
    pub const GATES: [&str; 8] = [
        "patients",
        "copies",
        "near-copies",
        "embedding-neighbours",
        "label-conflicts",
        "shortcuts",
        "privacy",
        "file-names",
    ];

    /// The same, with every gate off that `gates` does not name.
    #[must_use]
    pub fn only(mut self, gates: &[String]) -> Audit {
        let levels = [
            &mut self.patients,
            &mut self.copies,
            &mut self.near_copies,
            &mut self.embedding_neighbours,
            &mut self.label_conflicts,
            &mut self.shortcuts,
            &mut self.privacy,
            &mut self.file_names,
        ];
        for (name, level) in Audit::GATES.into_iter().zip(levels) {
            if !gates.iter().any(|gate| gate == name) {
                *level = Level::Off;
            }
        }
        self
    }
}
