//! CONTRACT: what a trained aggregator leaves behind, one folder for each training below `RUN/studies/samil`.
//!
//! `samil.json` is written last, so its presence means done; it holds hashes of the tables beside it, which every reader
//! checks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::episode::HeldOut;
use crate::files;
use crate::ids::{CellId, ImageId, TaskName};
use crate::regime::Regime;
use crate::results::{Epoch, Seed};
use crate::table::{Record, Seals, record};

/// Version of the files below; a reader refuses another.
pub const FORMAT: u32 = 2;

/// Folder of all trainings, in a run.
pub const FOLDER: &str = "studies/samil";

/// The file that says that a training is done, and what it was.
pub const SAID: &str = "samil.json";
const STUDIES: &str = "studies.parquet";
const ATTENTION: &str = "attention.parquet";
const EPOCHS: &str = "epochs.parquet";

/// Everything that determines a trained aggregator's scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnedIdentity {
    /// Settings as resolved, one JSON object.
    pub settings: String,
    /// The task held out.
    pub task: TaskName,
    /// The method whose slice scores enter, as tables name it; null where features alone do.
    pub scores_of: Option<String>,
    /// Size of that method's support set; null without.
    pub shots: Option<usize>,
    /// The cells whose scores enter, of all tasks.
    pub cells: Vec<CellId>,
    /// Of the training.
    pub seed: Seed,
    /// Side of the pictures in pixels.
    pub size: usize,
    /// Which tasks trained.
    pub held_out: HeldOut,
    /// Over the manifest's rows.
    pub manifest_hash: String,
    /// Over all source files that can change a score.
    pub code_hash: String,
    /// Of the frozen network's weights.
    pub weights_hash: String,
    /// `cpu` or `cuda`, with a precision where that is not the usual one.
    pub device_class: String,
}

impl LearnedIdentity {
    /// The training's id, which names its folder: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let text = serde_json::to_vec(self).expect("identities are plain data");
        files::fingerprint(&text)[..16].to_owned()
    }
}

/// How a trained aggregator came about; none of it changes a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The frozen network and its weights, in words.
    pub teacher: String,
    /// Names how the network was trained but for its target: what teachers of several targets share. Null for others.
    pub teacher_recipe: Option<String>,
    /// Whether these weights are random.
    pub random_weights: bool,
    /// What it was given, and the method whose scores enter.
    pub regime: Regime,
    /// Settings that differ from the defaults, one JSON object.
    pub changed_settings: String,
    /// The tasks that trained.
    pub sources: Vec<TaskName>,
    /// Their normal and anomalous studies.
    pub n_studies: [usize; 2],
    /// Studies of them that share a picture, a file or a patient with the target, and were left out.
    pub n_left_out: usize,
    /// Wall time; varies between runs.
    pub seconds: f64,
}

record! {
/// One study of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct StudyScore {
    /// As in the manifest.
    pub study: String,
    /// Which support set's slice scores entered, in the order of draws and seeds; 0 where none did.
    pub draw: u64,
    /// Difference of the two classes' outputs: higher is more anomalous.
    pub score: f64,
}
}

record! {
/// What one slice of the target counts in its study.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceAttention {
    /// As in the manifest.
    pub image_id: ImageId,
    /// As in [`StudyScore`].
    pub draw: u64,
    /// The supervised branch's; sums to 1 over the study, as the others do.
    pub supervised: f64,
    /// The free branch's.
    pub free: f64,
    /// Their product, scaled.
    pub combined: f64,
    /// Relevance before it is sharpened: the share of the slice that is tissue, or 1 and 0 for views.
    pub relevance: f64,
}
}

/// What one training scored.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Everything that determines the scores.
    pub identity: LearnedIdentity,
    /// How it came about.
    pub training: Training,
    /// Of every study of the target that has a score.
    pub studies: Vec<StudyScore>,
    /// Of every slice of these.
    pub attention: Vec<SliceAttention>,
    /// Losses by epoch.
    pub epochs: Vec<Epoch>,
}

/// What is read first: of another format the rest may be something else.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Said {
    format: u32,
    identity: LearnedIdentity,
    training: Training,
    seals: Seals,
}

impl Learned {
    /// Its folder in a run.
    pub fn folder(run: &Path, identity: &LearnedIdentity) -> PathBuf {
        run.join(FOLDER).join(identity.id())
    }

    /// Writes it; `samil.json` comes last.
    ///
    /// # Errors
    /// A file that cannot be written, or a score that is no finite number.
    pub fn write(&self, run: &Path) -> Result<()> {
        let folder = Learned::folder(run, &self.identity);
        let broken = self.studies.iter().find(|study| !study.score.is_finite());
        ensure!(broken.is_none(), "the score of a study is no number; nothing is stored: {broken:?}");
        StudyScore::write(&folder.join(STUDIES), &self.studies)?;
        SliceAttention::write(&folder.join(ATTENTION), &self.attention)?;
        Epoch::write(&folder.join(EPOCHS), &self.epochs)?;
        let said = Said {
            format: FORMAT,
            identity: self.identity.clone(),
            training: self.training.clone(),
            seals: Seals::of(&folder, &[STUDIES, ATTENTION, EPOCHS])?,
        };
        files::write_whole(&folder.join(SAID), serde_json::to_string_pretty(&said)?.as_bytes())
    }

    /// The training of that identity, if it is done.
    ///
    /// # Errors
    /// As [`Learned::read`].
    pub fn find(run: &Path, identity: &LearnedIdentity) -> Result<Option<Learned>> {
        let folder = Learned::folder(run, identity);
        folder.join(SAID).exists().then(|| Learned::read(&folder)).transpose()
    }

    /// Reads a training's folder.
    ///
    /// # Errors
    /// A file that is missing, of another format or no longer what was written.
    pub fn read(folder: &Path) -> Result<Learned> {
        let path = folder.join(SAID);
        let remedy = || format!("{}; delete its folder to train again", path.display());
        let text = files::read_text(&path)?;
        let Format { format } = serde_json::from_str(&text).with_context(remedy)?;
        ensure!(format == FORMAT, "format {format} where {FORMAT} is read: {}", remedy());
        let Said { identity, training, seals, .. } = serde_json::from_str(&text).with_context(remedy)?;
        ensure!(
            folder.file_name().is_some_and(|name| *name == *identity.id()),
            "its identity is another than its folder's name: {}",
            remedy()
        );
        let table = |name: &str| seals.check(folder, name).with_context(remedy);
        Ok(Learned {
            studies: StudyScore::read(&table(STUDIES)?)?,
            attention: SliceAttention::read(&table(ATTENTION)?)?,
            epochs: Epoch::read(&table(EPOCHS)?)?,
            identity,
            training,
        })
    }

    /// Every finished training of a run, by what was held out, what entered and settings.
    ///
    /// # Errors
    /// As [`Learned::read`].
    pub fn all(run: &Path) -> Result<Vec<Learned>> {
        let folder = run.join(FOLDER);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("listing {}", folder.display()))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
            if path.join(SAID).exists() {
                found.push(Learned::read(&path)?);
            }
        }
        let key = |learned: &Learned| {
            let LearnedIdentity { task, scores_of, shots, settings, seed, .. } = &learned.identity;
            (scores_of.clone(), *shots, settings.clone(), task.clone(), *seed, learned.identity.id())
        };
        found.sort_by_key(key);
        Ok(found)
    }
}
