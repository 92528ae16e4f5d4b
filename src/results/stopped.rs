//! Methods that were stopped before all planned draws were scored, since they were told from the best one.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Identity;
use crate::files;

/// One method at one number of shots that needs no more draws.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stopped {
    /// The method's name; a variant follows a colon.
    pub method: String,
    /// Size of the support set.
    pub shots: usize,
    /// Draws that were scored.
    pub draws: usize,
    /// The method that it was told from.
    pub from: String,
    /// Hash over the ids of its cells as planned, all draws: with other settings, data or code it holds no more. Empty where an
    /// earlier version did not say.
    #[serde(default)]
    pub planned: String,
}

/// File of a run that lists them.
const FILE: &str = "stopped.json";

impl Stopped {
    /// Those of a run; none where it was not asked for.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(run: &Path) -> Result<Vec<Stopped>> {
        let path = run.join(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&files::read_text(&path)?)
            .with_context(|| format!("{} is damaged; remove it to score all draws", path.display()))
    }

    /// Writes the list of a run, sorted; an empty one is no file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(run: &Path, all: &[Stopped]) -> Result<()> {
        let path = run.join(FILE);
        if all.is_empty() {
            return files::remove_if_there(&path);
        }
        let mut sorted = all.to_vec();
        sorted.sort();
        files::write_whole(&path, serde_json::to_string_pretty(&sorted)?.as_bytes())
    }

    /// Whether it leaves out this draw of a method at a number of shots.
    pub fn leaves_out(&self, method: &str, shots: usize, draw: usize) -> bool {
        self.method == method && self.shots == shots && draw >= self.draws
    }

    /// Whether it leaves out this cell.
    pub fn leaves_out_cell(&self, identity: &Identity) -> bool {
        self.leaves_out(&identity.method, identity.shots, identity.draw)
    }
}
