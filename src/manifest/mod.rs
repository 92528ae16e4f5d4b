//! CONTRACT: one row per curated image, one per rejected file, in parquet, with a canonical hash.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::decode::resize::RESIZE_ID;
use crate::files;
use crate::ids::{ImageId, TaskName};
use crate::table::{Record, Table, record};

/// What two machines must agree on.
mod hash;
/// What stands beside the tables.
mod header;
/// Split, label and kind of mask.
mod kinds;
/// Standardised pixels on their way into a store.
pub mod spool;
/// Standardised pixels in one memory-mapped file per task and size.
pub mod store;

pub use hash::canonical_hash;
use hash::{Canonical, Pseudonyms};
use header::UNKEYED;
pub use header::{FORMAT, Header, MANIFEST, REJECTED, SELECTION};
pub use kinds::{Label, MaskKind, Split};
use store::PixelStore;

/// Where the raw data stood, in a curated folder; for this machine, not to be handed on.
pub const RAW: &str = "parts/raw.folder.json";

record! {
/// One curated image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Stable id: a hash of task, source path and frame.
    pub image_id: ImageId,
    /// Task of the benchmark.
    pub task: TaskName,
    /// Organ; tasks of one organ never train for each other under the rule `organ`.
    pub organ: String,
    /// How it is imaged.
    pub modality: String,
    /// train, val or test.
    pub split: Split,
    /// 0 normal, 1 anomalous; null where it is not opened.
    pub label: Label,
    /// The owner's own label: grade, tumour type, class folder.
    pub finding: String,
    /// Patient, as a pseudonym made with a key; null where the source does not tell.
    pub patient_id: Option<String>,
    /// What else must stay on one side, such as a volume, as a pseudonym; null if nothing.
    pub group_id: Option<String>,
    /// Study or examination, as a pseudonym; null where the source does not tell.
    pub study_id: Option<String>,
    /// Series of a study, as a pseudonym; null where the source does not tell.
    pub series_id: Option<String>,
    /// Slice within a volume; null for single pictures.
    pub slice_index: Option<u32>,
    /// Data set.
    pub source: String,
    /// The owner's file, relative to the raw folder.
    pub source_path: String,
    /// Frame within the file, 0 for single pictures.
    pub frame: u32,
    /// Pixels, before standardising.
    pub width: u32,
    /// Pixels, before standardising.
    pub height: u32,
    /// Bits a sample in the file.
    pub bits: u16,
    /// What the file says its samples are.
    pub photometric: String,
    /// How values became 8 bits: rescale, window, and which of it the file stated.
    pub intensity_policy: String,
    /// Defects of the file or its mask that were forgiven, divided by `; `; null if there are none.
    pub repaired: Option<String>,
    /// Size of the owner's file.
    pub file_bytes: u64,
    /// SHA-256 of the owner's file.
    pub file_sha256: String,
    /// Hash of the decoded pixels.
    pub pixel_hash: String,
    /// 64-bit difference hash, hexadecimal.
    pub phash: String,
    /// pixels or boxes (coarse: they hold healthy pixels too); null without a mask.
    pub mask_kind: Option<MaskKind>,
    /// The mask's file, relative to the raw folder; null for boxes and without a mask.
    pub mask_path: Option<String>,
    /// Hash of the mask; null without one.
    pub mask_hash: Option<String>,
    /// How a film was taken, such as `AP`; null where neither the file nor the spec's table tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// Maker and model of the device; null where neither the file nor the spec's table tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanner: Option<String>,
    /// Where it was taken, as a pseudonym made with a key; null where neither the file nor the spec's table tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Spec by which it was curated.
    pub spec: String,
    /// Version of that spec.
    pub spec_version: u32,
}
}

record! {
/// A file that was found and not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Task of the benchmark.
    pub task: TaskName,
    /// The owner's file, relative to the raw folder.
    pub source_path: String,
    /// Frame within the file, 0 for single pictures.
    pub frame: u32,
    /// The owner's label; null where it was not known.
    pub finding: Option<String>,
    /// `not-drawn`, `other-finding`, `duplicate`, `label-conflict`, `unreadable`, `not-a-picture`.
    pub kind: String,
    /// Why it was not used, in words.
    pub reason: String,
}
}

record! {
/// Counts asked for and met, per task and part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Task of the benchmark.
    pub task: TaskName,
    /// `train normal`, `test normal`, `test glioma` ...
    pub part: String,
    /// How many the spec asks for; null where it asks for all there are.
    pub expected: Option<u64>,
    /// Pictures of that kind that were found, on either side and readable or not.
    pub available: u64,
    /// How many were taken.
    pub found: u64,
}
}

/// A curated benchmark, read from its folder.
///
/// ```no_run
/// use std::path::Path;
///
/// use medfsad::manifest::{Manifest, Split};
///
/// let manifest = Manifest::read(Path::new("manifests/phantom"))?;
/// for task in manifest.tasks() {
///     println!("{task}: {} pictures to train on", manifest.select(&task, Split::Train).count());
/// }
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Manifest {
    /// What `manifest.json` says.
    pub header: Header,
    /// Sorted by task, split, label and source path.
    pub rows: Vec<Row>,
    /// The folder that it was read from.
    pub folder: PathBuf,
}

impl Manifest {
    /// Reads a curated folder and checks its table's bytes and rows against the recorded hashes.
    ///
    /// # Errors
    /// A folder without a manifest, a file that cannot be read or was changed, another format, or rows that do not
    /// match their hash.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let mut rows = Vec::new();
        let header = Manifest::visit(folder, |row| rows.push(row))?;
        Ok(Manifest { header, rows, folder: folder.to_owned() })
    }

    /// As [`Manifest::read`], one row after the other, so that they need not be in memory together. What was made of
    /// them counts only where no error is returned: their hash is known at the end.
    ///
    /// # Errors
    /// As [`Manifest::read`].
    pub fn visit(folder: &Path, mut visit: impl FnMut(Row)) -> Result<Header> {
        let header = Header::read(folder)?;
        let path = header.table(folder, MANIFEST)?;
        let pseudonyms = if header.format == UNKEYED { Pseudonyms::AsTheyAre } else { Pseudonyms::Numbered };
        let mut canonical = Canonical::new(pseudonyms);
        let mut last: Option<Row> = None;
        let mut is_in_order = true;
        Manifest::visit_pieces(&path, header.format, |rows| {
            for row in rows {
                is_in_order &= last.as_ref().is_none_or(|last| order(last) <= order(&row));
                canonical.add(&row);
                if let Some(before) = last.replace(row) {
                    visit(before);
                }
            }
        })?;
        last.into_iter().for_each(&mut visit);
        let found = if is_in_order {
            canonical.hash()
        } else {
            // Another program's table: it is sorted in memory.
            let mut all = Vec::new();
            Manifest::visit_pieces(&path, header.format, |rows| all.extend(rows))?;
            hash::hash(&all, pseudonyms)
        };
        if found != header.canonical_hash {
            bail!(
                "{}: rows hash to {found}, the header says {}; build the dataset again",
                folder.display(),
                header.canonical_hash
            );
        }
        Ok(header)
    }

    fn visit_pieces(path: &Path, format: u32, mut visit: impl FnMut(Vec<Row>)) -> Result<()> {
        Table::visit(path, |piece| {
            // Format 3 knows no series, formats 3 to 6 do not know how pictures were taken.
            let lacking: &[&str] = match format {
                UNKEYED => &["series_id", "view", "scanner", "site"],
                ..FORMAT => &["view", "scanner", "site"],
                _ => &[],
            };
            visit(Row::of(&lacking.iter().fold(piece, |piece, name| piece.with_null(name)))?);
            Ok(())
        })
    }

    /// The files that were found and not used.
    ///
    /// # Errors
    /// A table that is missing, damaged or of another manifest.
    pub fn rejected(&self) -> Result<Vec<Rejected>> {
        Rejected::read(&self.header.table(&self.folder, REJECTED)?)
    }

    /// The raw folder it was curated from, as far as this machine knows.
    ///
    /// # Errors
    /// A record of it that cannot be read.
    pub fn raw(&self) -> Result<Option<PathBuf>> {
        self.header.raw_of(&self.folder)
    }

    /// Task names in order of first appearance.
    pub fn tasks(&self) -> Vec<TaskName> {
        let mut tasks: Vec<TaskName> = Vec::new();
        for row in &self.rows {
            if tasks.last() != Some(&row.task) {
                tasks.push(row.task.clone());
            }
        }
        tasks
    }

    /// One task.
    ///
    /// # Errors
    /// A name that no row has.
    pub fn task<'a>(&'a self, name: &'a str) -> Result<Task<'a>> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.task == name).collect();
        if rows.is_empty() {
            bail!("no task `{name}` in {} (known: {})", self.folder.display(), self.tasks().join(", "));
        }
        Ok(Task { folder: &self.folder, header: &self.header, name, rows })
    }

    /// Side of the smallest pictures that are stored.
    ///
    /// # Errors
    /// A header without sizes.
    pub fn smallest_size(&self) -> Result<usize> {
        let smallest = self.header.sizes.iter().min().copied();
        smallest.with_context(|| format!("{} names no size; build it again", self.folder.display()))
    }

    /// Those of `rows` that are no picture of the task `target` too: one film may count for two tasks, and what learns from
    /// others must not have seen the pictures that it is tested on.
    pub fn without_pictures_of<'r>(&self, target: &str, rows: impl Iterator<Item = &'r Row>) -> Vec<&'r Row> {
        let of_target = || self.rows.iter().filter(|row| row.task == target);
        let files: HashSet<(&str, u32)> =
            of_target().map(|row| (row.file_sha256.as_str(), row.frame)).collect();
        let pixels: HashSet<&str> = of_target().map(|row| row.pixel_hash.as_str()).collect();
        let is_other = |row: &&Row| {
            !files.contains(&(row.file_sha256.as_str(), row.frame))
                && !pixels.contains(row.pixel_hash.as_str())
        };
        rows.filter(is_other).collect()
    }

    /// Rows of one task and split, in order.
    pub fn select<'a>(&'a self, task: &'a str, split: Split) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.task == task && row.split == split)
    }
}

/// One task of a curated benchmark.
pub struct Task<'a> {
    folder: &'a Path,
    header: &'a Header,
    name: &'a str,
    /// In the manifest's order.
    pub rows: Vec<&'a Row>,
}

impl<'a> Task<'a> {
    /// Rows of one side, in order.
    pub fn of(&self, split: Split) -> Vec<&'a Row> {
        self.rows.iter().copied().filter(|row| row.split == split).collect()
    }

    /// Its pictures and masks of `size` pixels a side.
    ///
    /// # Errors
    /// A store that is missing, unreadable, made with another resize or stale, or not the one that was curated.
    pub fn store(&self, size: usize) -> Result<PixelStore> {
        self.header.pixels(self.folder, self.name, size)?;
        PixelStore::open(self.folder, self.name, size, RESIZE_ID, &self.rows)
    }
}

/// The canonical order of rows.
pub fn order(row: &Row) -> (&str, Split, Label, &str, u32) {
    (&row.task, row.split, row.label, &row.source_path, row.frame)
}

/// The stable id of a picture.
pub fn image_id(task: &str, source_path: &str, frame: u32) -> ImageId {
    ImageId::new(&files::fingerprint(format!("{task}\0{source_path}\0{frame}").as_bytes())[..16])
}
