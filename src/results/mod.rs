//! CONTRACT: what one cell leaves behind, and how a run's cells are read back.
//!
//! A cell's folder holds `cell.json` (identity, provenance, outcome; written last, so its presence
//! means done), `scores.parquet`, `metrics.parquet`, `epochs.parquet` and `gallery.safetensors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::manifest::Label;
use crate::protocol::Protocol;

/// Pictures, maps and masks of a few telling cases.
pub mod gallery;
/// Rows to parquet and back.
pub mod parquet;

/// Version of the files below; a reader refuses another.
pub const FORMAT: u32 = 3;

/// Everything that determines a cell; its hash is the cell's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub method: String,
    /// The method's settings as resolved, one JSON object.
    pub settings: String,
    /// The task held out.
    pub task: String,
    pub shots: usize,
    pub draw: usize,
    pub seed: u64,
    /// Side of the pictures in pixels.
    pub size: usize,
    /// `dataset` or `organ`: which tasks trained the method or calibrated its random teacher; `none` where
    /// neither happened.
    pub held_out: String,
    pub manifest_hash: String,
    pub episode_seed: u64,
    pub episodes_hash: String,
    /// Over all source files that can change a score.
    pub code_hash: String,
    pub weights_hash: String,
    /// `cpu`, `cuda`, or one of these with a precision (`cuda-bf16`): what numbers may differ by.
    pub device_class: String,
    /// Whether source tasks' test sets chose an epoch for protocol `clean-source`.
    pub epoch_by_sources: bool,
}

impl Identity {
    /// The cell's id: 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let text = serde_json::to_vec(self).expect("identities are plain data");
        files::fingerprint(&text)[..16].to_owned()
    }
}

/// What a reader needs to judge and repeat a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub bench: String,
    /// Data regime R0 to R6: what a method was allowed to see.
    pub regime: String,
    pub spec: String,
    pub spec_version: u32,
    pub spec_title: String,
    /// `resnet18` and so on; empty for methods without a network.
    pub backbone: String,
    /// What the weights are, in words: file and hash, or the random teacher's seed.
    pub weights: String,
    /// True if no trained weights were given: such numbers say nothing about the published method.
    pub random_weights: bool,
    pub version: String,
    /// `unknown` outside a git checkout.
    pub git_revision: String,
    pub libtorch: String,
    pub device: String,
    pub threads: usize,
    pub precision: String,
    pub command: String,
    /// Seconds since 1970.
    pub started_at: u64,
    /// Training, shared by all draws of the same method, task, shots and seed.
    pub fit_seconds: f64,
    /// Adapting to the supports, which is where some methods train, and scoring.
    pub score_seconds: f64,
    /// Scoring one picture once the supports are taken in, median of up to 100 runs; measured on first draws, beside
    /// whatever else the machine was doing.
    pub latency_seconds: Option<f64>,
    pub peak_memory_bytes: u64,
}

/// What every version's `cell.json` begins with, whatever follows.
#[derive(Deserialize)]
struct Stamp {
    format: u32,
}

/// One cell's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    pub format: u32,
    pub id: String,
    pub identity: Identity,
    pub provenance: Provenance,
    /// Why there are no scores, if the cell failed.
    pub error: Option<String>,
}

/// One scored picture under every protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub image_id: String,
    pub label: Label,
    pub finding: String,
    pub source_path: String,
    /// The patient, or what else holds pictures that belong together; `None` where that is not known.
    pub group: Option<String>,
    /// Conformal, from the supports' scores by each other: small is anomalous, and no smaller than one in as many
    /// as there are supports and one more. `None` where the supports set no threshold.
    pub p_value: Option<f64>,
    /// By protocol; absent where one left the picture out, or cannot be had of the method.
    pub scores: BTreeMap<Protocol, f64>,
}

impl Score {
    /// The score under a protocol.
    pub fn under(&self, protocol: Protocol) -> Option<f64> {
        self.scores.get(&protocol).copied()
    }
}

/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub protocol: Protocol,
    /// `image-auroc` ...
    pub metric: String,
    /// `None` if undefined.
    pub value: Option<f64>,
    /// 95 % interval over pictures.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub n_normal: u64,
    pub n_anomalous: u64,
    /// Pictures that the protocol left out.
    pub n_left_out: u64,
    /// The epoch whose maps were used; `None` for methods without epochs.
    pub epoch: Option<u64>,
}

/// One epoch of training; AUROCs are diagnostics and select nothing outside `published*`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// A loss or one of its parts.
    pub quantity: String,
    pub value: Option<f64>,
}

/// A cell with everything it stored.
///
/// ```no_run
/// use std::path::Path;
///
/// for result in medfsad::results::read_run(Path::new("reports/quick"))? {
///     let identity = &result.cell.identity;
///     let auroc = result.metric("clean", "image-auroc").and_then(|metric| metric.value);
///     println!("{} {} {} shots: {auroc:?}", identity.method, identity.task, identity.shots);
/// }
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CellResult {
    pub cell: Cell,
    pub scores: Vec<Score>,
    pub metrics: Vec<Metric>,
    pub epochs: Vec<Epoch>,
    pub folder: PathBuf,
}

impl CellResult {
    /// The value of a metric under a protocol, if the cell has it and it is defined.
    pub fn metric(&self, protocol: Protocol, metric: &str) -> Option<&Metric> {
        self.metrics.iter().find(|row| row.protocol == protocol && row.metric == metric)
    }

    /// Reads a finished cell.
    pub fn read(folder: &Path) -> Result<CellResult> {
        let path = folder.join("cell.json");
        let text = files::read_text(&path)?;
        let what = || format!("{} is not a cell; delete its folder to run it again", path.display());
        let Stamp { format } = serde_json::from_str(&text).with_context(what)?;
        if format != FORMAT {
            bail!("{} has format {format}, this program reads {FORMAT}", path.display());
        }
        let cell: Cell = serde_json::from_str(&text).with_context(what)?;
        let mut result = CellResult {
            cell,
            scores: Vec::new(),
            metrics: Vec::new(),
            epochs: Vec::new(),
            folder: folder.to_owned(),
        };
        if result.cell.error.is_none() {
            result.scores = parquet::read_scores(&folder.join("scores.parquet"))?;
            result.metrics = parquet::read_metrics(&folder.join("metrics.parquet"))?;
            result.epochs = parquet::read_epochs(&folder.join("epochs.parquet"))?;
        }
        Ok(result)
    }

    /// Writes a cell; `cell.json` comes last.
    pub fn write(&self) -> Result<()> {
        if self.cell.error.is_none() {
            parquet::write_scores(&self.folder.join("scores.parquet"), &self.scores)?;
            parquet::write_metrics(&self.folder.join("metrics.parquet"), &self.metrics)?;
            parquet::write_epochs(&self.folder.join("epochs.parquet"), &self.epochs)?;
        }
        let json = serde_json::to_string_pretty(&self.cell)?;
        files::write_whole(&self.folder.join("cell.json"), json.as_bytes())
    }
}

/// Reads every finished cell below `run/cells`, sorted by method, task, shots, draw and seed.
pub fn read_run(run: &Path) -> Result<Vec<CellResult>> {
    let cells = run.join("cells");
    let entries = std::fs::read_dir(&cells).with_context(|| {
        format!("{} holds no run (no folder `cells`); run `cargo xtask bench` first", run.display())
    })?;
    let mut results = Vec::new();
    for entry in entries {
        let folder = entry.with_context(|| format!("listing {}", cells.display()))?.path();
        if folder.join("cell.json").exists() {
            results.push(CellResult::read(&folder)?);
        }
    }
    let key = |result: &CellResult| {
        let i = &result.cell.identity;
        (i.method.clone(), i.task.clone(), i.shots, i.draw, i.seed, result.cell.id.clone())
    };
    results.sort_by_key(key);
    Ok(results)
}
