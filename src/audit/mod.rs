//! Proof that a curated benchmark does not leak: gates over a manifest, its pixels and, where they are at hand,
//! its raw files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::ids::{ImageId, TaskName};
use crate::manifest::{Manifest, Row};
use crate::spec::{Audit, Level};

/// Which pairs of pictures are worth comparing.
mod candidates;
/// Equal pictures and what their labels say.
mod copies;
/// Details of small pictures and their correlation.
mod details;
/// What raster files carry beside their picture.
mod embedded;
/// Neighbours in a pretrained network's features.
pub mod embedding;
/// Whether names of files name people.
mod file_names;
/// What is compared of a picture.
mod fingerprint;
/// Hashes that differ in few bits.
mod hashes;
/// Nearly equal pictures.
pub mod near;
/// Patients and groups.
mod patients;
/// Words that stand for people, and dates.
mod personal;
/// Personal data in raw files.
mod privacy;
/// What can be done about findings.
mod remedy;
/// Acquisition that tells the label.
mod shortcuts;
/// Short vectors that rule pairs of long ones out.
mod sketch;
/// An audit as sentences.
mod statement;
/// Copies made to learn thresholds from.
pub mod transformed;

pub use embedding::Embedder;
use fingerprint::{Fingerprints, Looks};
pub use remedy::{REMEDIED, Remedied, remedied};
pub use shortcuts::{BOOTSTRAP_SEED, Shortcut};

/// All that an audit found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The spec's one line for people.
    pub title: String,
    /// Of the manifest that was audited.
    pub canonical_hash: String,
    /// Pictures in it.
    pub n_rows: usize,
    /// The version that audited.
    pub medfsad: String,
    /// Levels and thresholds, as the spec has them.
    pub thresholds: Audit,
    /// In the order in which they run.
    pub gates: Vec<Gate>,
    /// What acquisition alone tells of the label, task by task.
    pub shortcuts: Vec<Shortcut>,
}

/// One gate and what it found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gate {
    /// One of [`Audit::GATES`].
    pub name: String,
    /// What it asks.
    pub asks: String,
    /// What a finding means for the whole.
    pub level: Level,
    /// Why it did not run, if it did not.
    pub left_out: Option<String>,
    /// Each a fault, or the suspicion of one.
    pub findings: Vec<Finding>,
    /// Things worth knowing that are no fault, such as copies that were left out. They name no file.
    pub notes: Vec<String>,
    /// What can be done about its findings, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// One finding: one file, or two that belong together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What is the matter, as a sentence.
    pub what: String,
    /// One, or two that belong together.
    pub pictures: Vec<Picture>,
}

/// A picture of a finding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    /// As the manifest calls it.
    pub image_id: ImageId,
    /// The task it belongs to.
    pub task: TaskName,
    /// `train`, `val` or `test`.
    pub split: String,
    /// The owner's label.
    pub finding: String,
    /// Path below the raw data; empty where a picture goes by its id alone, as in what may be handed on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_path: String,
    /// Frame within the file, from 0.
    pub frame: u32,
    /// Its key in the pixel store.
    pub pixel_hash: String,
}

impl Picture {
    fn of(row: &Row) -> Picture {
        Picture {
            image_id: row.image_id.clone(),
            task: row.task.clone(),
            split: row.split.name().to_owned(),
            finding: row.finding.clone(),
            source_path: row.source_path.clone(),
            frame: row.frame,
            pixel_hash: row.pixel_hash.clone(),
        }
    }

    /// Without its path.
    fn by_id(self) -> Picture {
        Picture { source_path: String::new(), ..self }
    }
}

impl std::fmt::Display for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Picture { image_id, task, split, finding, source_path, frame, .. } = self;
        let name = if source_path.is_empty() { image_id.as_str() } else { source_path };
        let frame = if *frame > 0 { format!(" frame {frame}") } else { String::new() };
        write!(f, "{name}{frame} ({task} {split}, {finding})")
    }
}

/// How a gate came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was found.
    Pass,
    /// Something was found, and the spec only warns.
    Warn,
    /// Something was found.
    Fail,
    /// It did not run.
    LeftOut,
}

impl Gate {
    fn new(name: &str, asks: &str, level: Level) -> Gate {
        Gate {
            name: name.to_owned(),
            asks: asks.to_owned(),
            level,
            left_out: (level == Level::Off).then(|| "the spec turns it off".to_owned()),
            findings: Vec::new(),
            notes: Vec::new(),
            remedy: None,
        }
    }

    /// What its findings and its level come to.
    pub fn outcome(&self) -> Outcome {
        match (self.findings.is_empty(), self.level) {
            _ if self.left_out.is_some() => Outcome::LeftOut,
            (true, _) => Outcome::Pass,
            (false, Level::Fail) => Outcome::Fail,
            (false, _) => Outcome::Warn,
        }
    }
}

impl Outcome {
    /// In capital letters, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::Warn => "WARN",
            Outcome::Fail => "FAIL",
            Outcome::LeftOut => "LEFT OUT",
        }
    }
}

impl Report {
    /// The same, with pictures named by their ids alone: names of files may be those of people.
    #[must_use]
    pub fn by_ids(mut self) -> Report {
        let by_ids = |pictures: &mut Vec<Picture>| {
            *pictures = std::mem::take(pictures).into_iter().map(Picture::by_id).collect();
        };
        let findings = self.gates.iter_mut().flat_map(|gate| &mut gate.findings);
        findings.for_each(|finding| by_ids(&mut finding.pictures));
        self.shortcuts.iter_mut().for_each(|shortcut| by_ids(&mut shortcut.extremes));
        self
    }

    /// Says why gates of these names did not run.
    pub fn leave_out(&mut self, of: impl Fn(&String) -> bool, reason: &str) {
        let left_out = self.gates.iter_mut().filter(|gate| of(&gate.name));
        left_out.for_each(|gate| gate.left_out = Some(reason.to_owned()));
    }

    /// Whether any gate failed.
    pub fn fails(&self) -> bool {
        self.gates.iter().any(|gate| gate.outcome() == Outcome::Fail)
    }
}

/// Whether two pictures must have nothing in common: they stand on two sides, or in two tasks, one of which
/// trains while the other is held out.
fn across(a: &Row, b: &Row) -> bool {
    a.split != b.split || a.task != b.task
}

/// Audits a curated folder; without `raw`, what needs the owners' files is left out, and said to be; without
/// `embedder`, what needs a pretrained network.
///
/// # Errors
/// A folder that holds no whole curated benchmark, or a network that fails.
pub fn run(
    manifest: &Manifest,
    thresholds: &Audit,
    raw: Option<&Path>,
    embedder: Option<&Embedder>,
) -> Result<Report> {
    let rejected = manifest.rejected()?;
    let embedder = embedder.filter(|_| thresholds.embedding_neighbours != Level::Off);
    let fingerprints =
        Fingerprints::read(manifest, looks(thresholds, embedder)).context("reading the pixel stores")?;
    let alike = alike(manifest, &fingerprints, thresholds, embedder)?;
    let near_gate = near::gate(&manifest.rows, &alike.pairs, &alike.limits, thresholds.near_copies);
    let embedding_gate =
        embedding::gate(&manifest.rows, alike.neighbours.as_ref(), thresholds.embedding_neighbours);
    let mut pairs = alike.pairs;
    pairs.extend(alike.neighbours.into_iter().flat_map(|neighbours| neighbours.pairs));
    let (shortcuts, shortcut_gate) = shortcuts::gate(manifest, &fingerprints, thresholds, raw)?;
    let mut gates = vec![
        patients::gate(&manifest.rows, thresholds.patients),
        copies::gate(&manifest.rows, &rejected, thresholds.copies),
        near_gate,
        embedding_gate,
        copies::conflicts(&manifest.rows, &rejected, &pairs, thresholds.label_conflicts),
        shortcut_gate,
        privacy::gate(&manifest.rows, raw, thresholds.privacy),
        file_names::gate(&manifest.rows, thresholds.file_names),
    ];
    for gate in &mut gates {
        gate.remedy = remedy::advice(gate);
    }
    Ok(Report {
        title: manifest.header.title.clone(),
        canonical_hash: manifest.header.canonical_hash.clone(),
        n_rows: manifest.rows.len(),
        medfsad: crate::VERSION.to_owned(),
        thresholds: thresholds.clone(),
        gates,
        shortcuts,
    })
}

/// What the gates that are on need of pictures.
fn looks(thresholds: &Audit, embedder: Option<&Embedder>) -> Looks {
    let compares =
        [thresholds.near_copies, thresholds.label_conflicts].iter().any(|level| *level != Level::Off);
    match thresholds.shortcuts {
        _ if compares || embedder.is_some() => Looks::Compares,
        Level::Off => Looks::No,
        _ => Looks::Numbers,
    }
}

/// Pictures that are alike without being equal.
#[derive(Default)]
struct Alike {
    limits: BTreeMap<TaskName, near::Limit>,
    /// By their hashes.
    pairs: Vec<near::Pair>,
    /// By a network's features, and not by their hashes.
    neighbours: Option<embedding::Neighbours>,
}

fn alike(
    manifest: &Manifest,
    fingerprints: &Fingerprints,
    thresholds: &Audit,
    embedder: Option<&Embedder>,
) -> Result<Alike> {
    if looks(thresholds, embedder) != Looks::Compares {
        return Ok(Alike::default());
    }
    let limits = near::limits(&manifest.rows, fingerprints, thresholds);
    let candidates = candidates::Candidates::of(&manifest.rows, fingerprints);
    let pairs = near::pairs(&manifest.rows, &candidates, &limits, thresholds.near_bits);
    let neighbours =
        embedder.map(|embedder| embedding::neighbours(manifest, &candidates, thresholds, embedder, &pairs));
    Ok(Alike { limits, pairs, neighbours: neighbours.transpose()? })
}
