//! CONTRACT: what one cell leaves behind, and how a run's cells are read back.
//!
//! A cell's folder, called by its id, holds `cell.json` (identity, provenance, outcome, seal; written last, so its presence
//! means done), `scores.parquet`, `metrics.parquet`, `epochs.parquet` and `gallery.safetensors`. The seal holds hashes of
//! all of it, and every reader checks them: a cell that is not what was written is a failed one, never a number.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use strum::EnumMessage;

use crate::episode::HeldOut;
use crate::files;
use crate::ids::{CellId, ImageId, TaskName};
use crate::manifest::Label;
use crate::metric::Metric;
use crate::metric::image::Value;
use crate::protocol::Protocol;
use crate::table::{self, Columns, Datum, Described, Field, Kind, Record, Scalar, Table, record};

/// Pictures, maps and masks of a few telling cases.
pub mod gallery;
mod kept_maps;
/// Maps against masks.
pub mod of_maps;
/// Labels that are opened after the scores.
pub mod opened;
mod planned;
mod provenance;
mod recompute;
mod run;
mod seal;
/// All scores of a run under one hash.
pub mod sealed_scores;
/// What a pretrained network may have seen before.
pub mod seen;
mod stopped;
mod stored;

pub use kept_maps::{KeptMaps, MAPS};
pub use planned::{Place, missing, planned};
pub use provenance::Provenance;
pub use recompute::{image_level, recompute};
pub use run::{read_run, read_runs};
use seal::{EPOCHS, METRICS, SCORES};
pub use seal::{GALLERY, Seal};
pub use seen::Seen;
pub use stopped::Stopped;
pub use stored::StoredCell;

/// Version of the files below; a reader refuses another.
pub const FORMAT: u32 = 4;

/// What random numbers follow from; all 64 bits count, so tables hold it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Scalar for Seed {
    const KIND: Kind = Kind::Text;

    fn put(&self) -> Datum<'_> {
        Datum::Text(self.to_string().into())
    }

    fn take(datum: Datum) -> Result<Seed> {
        let text = table::text(datum)?;
        text.parse().map(Seed).with_context(|| format!("`{text}` is no seed"))
    }
}

record! {
/// Everything that determines a cell; its hash is the cell's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The method's name; a variant follows a colon.
    pub method: String,
    /// The method's settings as resolved, one JSON object.
    pub settings: String,
    /// The task held out.
    pub task: TaskName,
    /// Size of the support set.
    pub shots: usize,
    /// Which support set of that size, from 0.
    pub draw: usize,
    /// Of the training.
    pub seed: Seed,
    /// Side of the pictures in pixels.
    pub size: usize,
    /// `dataset` or `organ`: which tasks trained the method or calibrated its random teacher; `none` where
    /// neither happened.
    pub held_out: HeldOut,
    /// Over the manifest's rows.
    pub manifest_hash: String,
    /// Of the episodes.
    pub episode_seed: Seed,
    /// Over the supports and pairs that the cell uses.
    pub episodes_hash: String,
    /// Over all source files that can change a score; empty where scores were imported.
    pub code_hash: String,
    /// Of the pretrained weights; empty for methods without a network.
    pub weights_hash: String,
    /// `cpu`, `cuda`, or one of these with a precision (`cuda-bf16`): what numbers may differ by; `elsewhere` where scores
    /// were imported.
    pub device_class: String,
    /// Whether source tasks' test sets chose an epoch for protocol `clean-source`.
    pub epoch_by_sources: bool,
    /// Every how many epochs the test set was scored, among which the published protocols choose; null for every one.
    pub observed_every: Option<usize>,
}
}

/// Begins the method's name of cells whose scores another program computed.
pub const IMPORTED: &str = "imported:";

impl Identity {
    /// Whether its scores were imported, and not computed here.
    pub fn is_imported(&self) -> bool {
        self.method.starts_with(IMPORTED)
    }

    /// The cell's id: 16 hexadecimal digits.
    pub fn id(&self) -> CellId {
        let text = serde_json::to_vec(self).expect("identities are plain data");
        CellId::new(&files::fingerprint(&text)[..16])
    }
}

/// What every version's `cell.json` begins with, whatever follows.
#[derive(Deserialize)]
struct Stamp {
    format: u32,
}

/// What `cell.json` holds.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    cell: Cell,
    seal: Seal,
}

/// Begins the error of a cell that is not what was written.
const ALTERED: &str = "altered: ";

/// One cell's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Version of the result format; [`FORMAT`] is the only one read.
    pub format: u32,
    /// Hash of the identity, which also names the cell's folder.
    pub id: CellId,
    /// Everything that determines the scores.
    pub identity: Identity,
    /// How, where and with what they were computed; seconds and bytes vary between runs.
    pub provenance: Provenance,
    /// Why there are no scores, if the cell failed.
    pub error: Option<String>,
    /// What the machine lacked, if the cell failed for that alone: it is computed again without being asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacked: Option<Lacked>,
}

/// What a machine may lack for a while, and a cell fail for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lacked {
    /// Room on a disk, or in a quota.
    Room,
}

impl Cell {
    /// Why it is not what was written, if it is not.
    pub fn altered(&self) -> Option<&str> {
        self.error.as_deref()?.strip_prefix(ALTERED)
    }
}

record! {
/// One scored picture under every protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Stable id of the picture, as in the manifest.
    pub image_id: ImageId,
    /// 0 normal, 1 anomalous; null where it is not opened.
    pub label: Label,
    /// The owner's own label.
    pub finding: String,
    /// The patient, or what else holds pictures that belong together; null where that is not known.
    pub group: Option<String>,
    /// Conformal, from the supports' scores by each other: small is anomalous, and no smaller than one in as many
    /// as there are supports and one more. Null where the supports set no threshold.
    pub p_value: Option<f64>,
    /// Null where it leaves the picture out or cannot be had of the method.
    pub scores: BTreeMap<Protocol, f64>,
}
}

/// One column for each protocol.
impl Field for BTreeMap<Protocol, f64> {
    fn describe(_: &str, about: &str) -> Vec<Described> {
        let column = |protocol: Protocol| {
            let rule = protocol.get_documentation().unwrap_or_default();
            let about = format!("Score under protocol {protocol}: {rule} {about}");
            Described { name: protocol.column(), kind: Kind::Real, nullable: true, about }
        };
        Protocol::all().map(column).collect()
    }

    fn add<'a>(columns: Columns, _: &str, values: impl Iterator<Item = &'a Self> + Clone) -> Columns {
        let add = |columns: Columns, protocol: Protocol| {
            columns.real(&protocol.column(), values.clone().map(|scores| scores.get(&protocol).copied()))
        };
        Protocol::all().fold(columns, add)
    }

    /// A table that was written before a protocol came has no scores under it.
    fn of(table: &Table, _: &str) -> Result<Vec<Self>> {
        let mut rows = vec![BTreeMap::new(); table.height()];
        for protocol in Protocol::all().filter(|protocol| table.has(&protocol.column())) {
            for (place, score) in table.real(&protocol.column())?.into_iter().enumerate() {
                let is_sound = score.is_none_or(f64::is_finite);
                ensure!(is_sound, "{} is no number", table.place(&protocol.column(), place));
                rows[place].extend(score.map(|score| (protocol, score)));
            }
        }
        Ok(rows)
    }
}

impl Score {
    /// The score under a protocol.
    pub fn under(&self, protocol: Protocol) -> Option<f64> {
        self.scores.get(&protocol).copied()
    }
}

record! {
/// One measured number.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// How maps became scores.
    pub protocol: Protocol,
    /// What was measured.
    pub metric: Metric,
    /// Null if undefined.
    pub value: Option<f64>,
    /// Lower end of the 95 % interval over pictures; null where none was computed.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// Normal pictures that it was measured on.
    pub n_normal: u64,
    /// Anomalous ones.
    pub n_anomalous: u64,
    /// Pictures that the protocol left out.
    pub n_left_out: u64,
    /// The epoch whose maps were used; null for methods without epochs.
    pub epoch: Option<u64>,
}
}

impl Measured {
    /// A number with its interval, measured on so many normal and anomalous pictures, with so many left out; of no epoch.
    pub fn of(
        protocol: Protocol,
        (metric, (value, interval)): (Metric, Value),
        counts: [usize; 3],
    ) -> Measured {
        let [n_normal, n_anomalous, n_left_out] = counts.map(|count| count as u64);
        let (low, high) = interval.unzip();
        Measured { protocol, metric, value, low, high, n_normal, n_anomalous, n_left_out, epoch: None }
    }
}

record! {
/// One epoch of training; AUROCs are diagnostics and select nothing outside `published*`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// A loss or one of its parts, or an AUROC that was watched.
    pub quantity: String,
    /// Null if undefined.
    pub value: Option<f64>,
}
}

/// A cell with everything that it stores.
#[derive(Clone, Debug)]
pub struct CellResult {
    /// What `cell.json` says.
    pub cell: Cell,
    /// One row per test picture; empty if the cell failed.
    pub scores: Vec<Score>,
    /// One row per protocol and metric; empty if the cell failed.
    pub metrics: Vec<Measured>,
    /// One row per figure of each epoch; empty if the cell failed or nothing was trained.
    pub epochs: Vec<Epoch>,
    /// The cell's folder, `cells/<id>`.
    pub folder: PathBuf,
}

impl CellResult {
    /// The value of a metric under a protocol, if the cell has it and it is defined.
    pub fn metric(&self, protocol: Protocol, metric: Metric) -> Option<&Measured> {
        find(&self.metrics, protocol, metric)
    }

    /// Writes a cell; `cell.json` comes last.
    ///
    /// # Errors
    /// A file that cannot be written, or a score that is no finite number.
    pub fn write(&self) -> Result<()> {
        let is_sound =
            |score: &Score| score.scores.values().chain(&score.p_value).all(|value| value.is_finite());
        if let Some(score) = self.scores.iter().find(|score| !is_sound(score)) {
            bail!("the score of picture {} is no number; nothing is stored", score.image_id);
        }
        let numbers = |row: &Measured| [row.value, row.low, row.high];
        if let Some(row) = self.metrics.iter().find(|row| numbers(row).iter().flatten().any(|v| v.is_nan())) {
            bail!("{} under {} is no number; nothing is stored", row.metric, row.protocol);
        }
        if self.cell.error.is_none() {
            Score::write(&self.folder.join(SCORES), &self.scores)?;
            Measured::write(&self.folder.join(METRICS), &self.metrics)?;
            Epoch::write(&self.folder.join(EPOCHS), &self.epochs)?;
        }
        let seal = Seal::of(&self.cell, &self.folder)?;
        let json = serde_json::to_string_pretty(&Sealed { cell: self.cell.clone(), seal })?;
        files::write_whole(&self.folder.join("cell.json"), json.as_bytes())
    }
}

fn find(metrics: &[Measured], protocol: Protocol, metric: Metric) -> Option<&Measured> {
    metrics.iter().find(|row| row.protocol == protocol && row.metric == metric)
}

/// Reads `cell.json` and holds its folder against it.
fn read_sealed(folder: &Path) -> Result<(Cell, Seal)> {
    let path = folder.join("cell.json");
    let text = files::read_text(&path)?;
    let what = || format!("{} is not a cell; delete its folder to run it again", path.display());
    let Stamp { format } = serde_json::from_str(&text).with_context(what)?;
    if format != FORMAT {
        bail!("{} has format {format}, this program reads {FORMAT}; run the bench again", path.display());
    }
    let Sealed { mut cell, seal } = serde_json::from_str(&text).with_context(what)?;
    if let Some(broken) = seal.broken(&cell, folder) {
        cell.lacked = None;
        let folder = files::last_name(&folder.display().to_string());
        cell.error =
            Some(format!("{ALTERED}{broken} (cells/{folder}); compute it again with --retry-failed"));
    }
    Ok((cell, seal))
}

/// What a finished cell's folder says of it, with its tables held against their hashes but not parsed.
///
/// # Errors
/// As [`StoredCell::read`].
pub fn read_cell(folder: &Path) -> Result<Cell> {
    read_sealed(folder).map(|(cell, _)| cell)
}
