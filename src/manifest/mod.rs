//! CONTRACT: one row per curated image, one per rejected file, in parquet, with a canonical hash.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::files;

pub mod parquet;
/// Standardised pixels on their way into a store.
pub mod spool;
/// Standardised pixels in one memory-mapped file per task and size.
pub mod store;

/// Version of the columns below; a reader refuses another.
pub const FORMAT: u32 = 3;

/// Side of the benchmark a picture stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Val,
    Test,
}

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    Normal,
    Anomalous,
}

/// What a lesion mask was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskKind {
    /// Drawn pixel by pixel.
    Pixels,
    /// Boxes round the lesions.
    Boxes,
}

impl MaskKind {
    pub fn name(self) -> &'static str {
        match self {
            MaskKind::Pixels => "pixels",
            MaskKind::Boxes => "boxes",
        }
    }

    pub fn parse(text: &str) -> Result<MaskKind> {
        match text {
            "pixels" => Ok(MaskKind::Pixels),
            "boxes" => Ok(MaskKind::Boxes),
            _ => bail!("unknown kind of mask `{text}` (known: pixels, boxes)"),
        }
    }
}

impl Split {
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Result<Split> {
        match text {
            "train" => Ok(Split::Train),
            "val" => Ok(Split::Val),
            "test" => Ok(Split::Test),
            _ => bail!("unknown split `{text}` (known: train, val, test)"),
        }
    }
}

impl Label {
    /// 0 for normal, 1 for anomalous.
    pub fn number(self) -> i64 {
        i64::from(self == Label::Anomalous)
    }

    pub fn parse(number: i64) -> Result<Label> {
        match number {
            0 => Ok(Label::Normal),
            1 => Ok(Label::Anomalous),
            _ => bail!("label {number} is neither 0 (normal) nor 1 (anomalous)"),
        }
    }
}

/// Every column of `manifest.parquet` in its order, and what it holds.
pub const COLUMNS: [(&str, &str); 29] = [
    ("image_id", "Stable id: a hash of task, source path and frame."),
    ("task", "Task of the benchmark."),
    ("organ", "Organ; tasks of one organ never train for each other under the rule `organ`."),
    ("modality", "How it is imaged."),
    ("split", "train, val or test."),
    ("label", "0 normal, 1 anomalous."),
    ("finding", "The owner's own label: grade, tumour type, class folder."),
    ("patient_id", "Pseudonymous patient; null where the source does not tell."),
    ("group_id", "What else must stay on one side, such as a volume; null if nothing."),
    ("study_id", "Study or examination; null where the source does not tell."),
    ("slice_index", "Slice within a volume; null for single pictures."),
    ("source", "Data set."),
    ("source_path", "The owner's file, relative to the raw folder."),
    ("frame", "Frame within the file, 0 for single pictures."),
    ("width", "Pixels, before standardising."),
    ("height", "Pixels, before standardising."),
    ("bits", "Bits a sample in the file."),
    ("photometric", "What the file says its samples are."),
    ("intensity_policy", "How values became 8 bits: rescale, window, and which of it the file stated."),
    (
        "repaired",
        "Defects of the file or its mask that were forgiven, divided by `; `; null if there are none.",
    ),
    ("file_bytes", "Size of the owner's file."),
    ("file_sha256", "SHA-256 of the owner's file."),
    ("pixel_hash", "Hash of the decoded pixels."),
    ("phash", "64-bit difference hash, hexadecimal."),
    ("mask_kind", "pixels or boxes (coarse: they hold healthy pixels too); null without a mask."),
    ("mask_path", "The mask's file, relative to the raw folder; null for boxes and without a mask."),
    ("mask_hash", "Hash of the mask; null without one."),
    ("spec", "Spec by which it was curated."),
    ("spec_version", "Version of that spec."),
];

/// One curated image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stable: a hash of task, source path and frame.
    pub image_id: String,
    pub task: String,
    pub organ: String,
    pub modality: String,
    pub split: Split,
    pub label: Label,
    /// The owner's own label: grade, tumour type, class folder.
    pub finding: String,
    /// Pseudonymous; `None` where the source does not tell.
    pub patient_id: Option<String>,
    pub group_id: Option<String>,
    pub study_id: Option<String>,
    pub slice_index: Option<u32>,
    pub source: String,
    /// Relative to the raw folder.
    pub source_path: String,
    pub frame: u32,
    /// Of the file, before standardising.
    pub width: u32,
    pub height: u32,
    pub bits: u16,
    pub photometric: String,
    /// Rescale and window, and which of it the file stated.
    pub intensity_policy: String,
    /// Defects of the file or its mask that were forgiven; `None` if there are none.
    pub repaired: Option<String>,
    pub file_bytes: u64,
    pub file_sha256: String,
    /// Of the decoded pixels.
    pub pixel_hash: String,
    /// 64-bit difference hash, hexadecimal.
    pub phash: String,
    /// `Boxes` are coarse: they hold healthy pixels too. `None` where there is no mask.
    pub mask_kind: Option<MaskKind>,
    /// Relative to the raw folder; `None` for boxes, which a label table holds.
    pub mask_path: Option<String>,
    pub mask_hash: Option<String>,
    pub spec: String,
    pub spec_version: u32,
}

/// A file that was found and not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    pub task: String,
    /// Relative to the raw folder.
    pub source_path: String,
    pub frame: u32,
    /// The owner's label, where it was known.
    pub finding: Option<String>,
    /// `not-drawn`, `other-finding`, `duplicate`, `label-conflict`, `unreadable`, `not-a-picture`.
    pub kind: String,
    pub reason: String,
}

/// Counts asked for and met, per task and part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub task: String,
    /// `train normal`, `test normal`, `test glioma` ...
    pub part: String,
    /// `None` where the spec asks for all there is.
    pub expected: Option<u64>,
    /// Pictures of that kind that were found, on either side and readable or not.
    pub available: u64,
    pub found: u64,
}

/// What stands beside the tables, in `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub spec: String,
    pub spec_version: u32,
    pub title: String,
    /// Over sorted rows; two machines must agree on it.
    pub canonical_hash: String,
    pub n_rows: u64,
    pub n_rejected: u64,
    /// Where the raw data stood when it was read; informative, not hashed.
    pub raw: String,
    pub resize: String,
    pub sizes: Vec<usize>,
    pub medfsad: String,
}

/// A curated benchmark, read from its folder.
pub struct Manifest {
    pub header: Header,
    /// Sorted by task, split, label and source path.
    pub rows: Vec<Row>,
    pub folder: std::path::PathBuf,
}

impl Manifest {
    /// Reads a curated folder and checks rows against the recorded hash.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let header_path = folder.join("manifest.json");
        if !header_path.exists() {
            bail!(
                "no curated benchmark in {} (manifest.json is missing); run `cargo xtask build-dataset` first",
                folder.display()
            );
        }
        let header: Header = serde_json::from_str(&files::read_text(&header_path)?)
            .with_context(|| format!("{} is not a manifest header; build it again", header_path.display()))?;
        if header.format != FORMAT {
            bail!(
                "{} has format {}, this program reads {FORMAT}; build it again",
                folder.display(),
                header.format
            );
        }
        let rows = parquet::read_rows(&folder.join("manifest.parquet"))?;
        let found = canonical_hash(&rows);
        if found != header.canonical_hash {
            bail!(
                "{}: rows hash to {found}, the header says {}; build the dataset again",
                folder.display(),
                header.canonical_hash
            );
        }
        Ok(Manifest { header, rows, folder: folder.to_owned() })
    }

    /// Task names in order of first appearance.
    pub fn tasks(&self) -> Vec<String> {
        let mut tasks: Vec<String> = Vec::new();
        for row in &self.rows {
            if tasks.last() != Some(&row.task) {
                tasks.push(row.task.clone());
            }
        }
        tasks
    }

    /// Rows of one task and split, in order.
    pub fn select<'a>(&'a self, task: &'a str, split: Split) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.task == task && row.split == split)
    }
}

/// Hash over rows as JSON lines, in their canonical order; independent of parquet's bytes.
pub fn canonical_hash(rows: &[Row]) -> String {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut hasher = blake3::Hasher::new();
    for row in sorted {
        hasher.update(&serde_json::to_vec(row).expect("rows are plain data"));
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The canonical order of rows.
pub fn order(row: &Row) -> (&str, Split, Label, &str, u32) {
    (&row.task, row.split, row.label, &row.source_path, row.frame)
}

/// The stable id of a picture.
pub fn image_id(task: &str, source_path: &str, frame: u32) -> String {
    files::fingerprint(format!("{task}\0{source_path}\0{frame}").as_bytes())[..16].to_owned()
}
