//! What a teacher's file says of its training on source tasks of a benchmark.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::weights;
use crate::episode::HeldOut;
use crate::ids::{ImageId, TaskName};
use crate::manifest::{Label, Row};
use crate::regime::Regime;
use crate::words::word;

/// What the classes are that a teacher learnt to tell apart.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Classes {
    /// Which task a normal picture is of; no anomaly is seen.
    Task,
    /// Task, and normal or anomalous.
    #[default]
    Label,
    /// Task, and normal or the finding: a grade, a kind of tumour.
    Finding,
}

word!(Classes, "kind of classes");

impl Classes {
    /// The class of a picture.
    pub fn of(self, row: &Row) -> String {
        match (self, row.label) {
            (Classes::Task, _) => row.task.to_string(),
            (Classes::Finding, Label::Anomalous) => format!("{}: {}", row.task, row.finding),
            (_, Label::Anomalous) => format!("{}: anomalous", row.task),
            _ => format!("{}: normal", row.task),
        }
    }

    /// What a method sees beside its own regime, with such a teacher.
    pub fn regime(self) -> Regime {
        match self {
            Classes::Task => Regime::OtherNormals,
            Classes::Label | Classes::Finding => Regime::OtherAnomalies,
        }
    }
}

/// The record in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// What was trained, in words.
    pub what: String,
    /// The task that was left out: the only one that it may be used for.
    pub target: TaskName,
    /// The rule by which other tasks were left out with it.
    pub held_out: HeldOut,
    /// The tasks that it was trained on.
    pub tasks: Vec<TaskName>,
    /// What it learnt to tell apart.
    pub classes: Classes,
    /// Every class with its number of pictures.
    pub pictures: Vec<(String, usize)>,
    /// The weights that it began with, in words.
    pub from: String,
    /// The SHA-256 of these.
    pub from_sha256: String,
    /// All settings of the training, as JSON.
    pub settings: String,
    /// Names the training but for its target: files that were made alike for several targets have the same.
    pub recipe: String,
    /// Hash of the manifest.
    pub manifest_hash: String,
    /// Version and revision of this program.
    pub program: String,
    /// Ids of all pictures that it has seen.
    pub image_ids: Vec<ImageId>,
    /// And hashes of their pixels, in the same order.
    pub pixel_hashes: Vec<String>,
}

/// Key of the record in the file's metadata.
const KEY: &str = "medfsad-tuned-teacher";

impl Tuned {
    /// The record of a weights file; `None` where it has none, as published weights.
    ///
    /// # Errors
    /// A file that cannot be read, or a record of another version.
    pub fn of(path: &Path) -> Result<Option<Tuned>> {
        let Some(text) = weights::metadata(path)?.remove(KEY) else { return Ok(None) };
        let tuned = serde_json::from_str(&text).with_context(|| {
            format!("{}: what it says of its training is of another version; train it again", path.display())
        })?;
        Ok(Some(tuned))
    }

    /// As a weights file's metadata hold it.
    ///
    /// # Errors
    /// A record that cannot be put into JSON.
    pub fn metadata(&self) -> Result<(String, String)> {
        Ok((KEY.to_owned(), serde_json::to_string(self)?))
    }

    /// Refuses a rule that leaves out tasks on which it was trained.
    ///
    /// # Errors
    /// `organ`, where only the target itself was left out.
    pub fn check_rule(&self, rule: HeldOut) -> Result<()> {
        ensure!(
            rule != HeldOut::Organ || self.held_out == HeldOut::Organ,
            "it was trained with only `{}` left out, and here all tasks of its organ are left out: train it with --held-out \
             organ, or leave out the data set alone",
            self.target
        );
        Ok(())
    }

    /// Refuses a target of which it has seen pictures.
    ///
    /// # Errors
    /// Names the task, the number of its pictures that were seen, and the task that it may be used for.
    pub fn check_unseen<'r>(&self, task: &str, rows: impl Iterator<Item = &'r Row>) -> Result<()> {
        let ids: HashSet<&str> = self.image_ids.iter().map(ImageId::as_str).collect();
        let pixels: HashSet<&str> = self.pixel_hashes.iter().map(String::as_str).collect();
        let is_seen =
            |row: &&Row| ids.contains(row.image_id.as_str()) || pixels.contains(row.pixel_hash.as_str());
        let n = rows.filter(is_seen).count();
        if n > 0 {
            bail!(
                "it was trained on {n} pictures of `{task}`: it is for `{}` alone (--task {0}); a folder with a teacher for each \
                 task, as `weights train` writes it, serves all",
                self.target
            );
        }
        Ok(())
    }
}
