//! `manifest.json`: what stands beside the tables of a curated folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{RAW, Row, canonical_hash, order, store};
use crate::decode::resize::RESIZE_ID;
use crate::files;
use crate::table::Seals;

/// Version of the manifest's columns, of the hash over them and of its header; a reader refuses others, but for
/// formats 3 to 6. Where nothing is known of how pictures were taken, the hash is that of format 6.
pub const FORMAT: u32 = 7;

/// The version whose pixel stores have no hash.
const UNSEALED_PIXELS: u32 = 5;

/// The version whose tables have no hash of their bytes.
const UNSEALED: u32 = 4;

/// The version whose pseudonyms have no key, so that its canonical hash is over the rows as they are.
pub(super) const UNKEYED: u32 = 3;

/// One row for each curated image.
pub const MANIFEST: &str = "manifest.parquet";
/// One row for each file that was found and not used.
pub const REJECTED: &str = "rejected.parquet";
/// Counts asked for and met.
pub const SELECTION: &str = "selection.parquet";

const NAME: &str = "manifest.json";

/// What stands beside the tables, in `manifest.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the manifest's format; [`FORMAT`] is the one written.
    pub format: u32,
    /// The spec's name.
    pub spec: String,
    /// The spec's version, raised by its author when the pictures change.
    pub spec_version: u32,
    /// The spec's title, for people.
    pub title: String,
    /// Over sorted rows; two machines must agree on it, whatever their keys of pseudonyms.
    pub canonical_hash: String,
    /// Of the parquet files' bytes; they depend on the key of pseudonyms. Empty in memory and in formats 3 and 4.
    #[serde(default)]
    pub tables: Seals,
    /// Of the pixel stores' bytes. Empty in memory and in formats 3 to 5.
    #[serde(default)]
    pub pixels: Seals,
    /// Curated images over all tasks and splits.
    pub n_rows: u64,
    /// Rows of `rejected.parquet`.
    pub n_rejected: u64,
    /// Where the raw data stood, in manifests of format 3; newer ones keep it in [`RAW`](super::RAW), which stays at
    /// home.
    #[serde(default, skip_serializing)]
    pub raw: Option<PathBuf>,
    /// Identity of the resize that made the stores.
    pub resize: String,
    /// Sides of the stored square pictures, in pixels.
    pub sizes: Vec<usize>,
    /// Version of medfsad that curated it.
    pub medfsad: String,
}

impl Header {
    /// Of `rows`, which are put into their order, by a spec of that name and version, with pictures of `sizes`; none is
    /// rejected.
    pub fn of(rows: &mut [Row], (spec, version): (&str, u32), title: &str, sizes: &[usize]) -> Header {
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        Header {
            format: FORMAT,
            spec: spec.to_owned(),
            spec_version: version,
            title: title.to_owned(),
            canonical_hash: canonical_hash(rows),
            tables: Seals::default(),
            pixels: Seals::default(),
            n_rows: rows.len() as u64,
            n_rejected: 0,
            raw: None,
            resize: RESIZE_ID.to_owned(),
            sizes: sizes.to_vec(),
            medfsad: crate::VERSION.to_owned(),
        }
    }

    /// Reads `manifest.json`.
    ///
    /// # Errors
    /// A folder without one, a file that is none, or another format.
    pub fn read(folder: &Path) -> Result<Header> {
        let path = folder.join(NAME);
        if !path.exists() {
            bail!(
                "no curated benchmark in {} ({NAME} is missing); run `cargo xtask build-dataset` first",
                folder.display()
            );
        }
        let header: Header = serde_json::from_str(&files::read_text(&path)?)
            .with_context(|| format!("{} is not a manifest header; build it again", path.display()))?;
        if !(UNKEYED..=FORMAT).contains(&header.format) {
            bail!(
                "{} has format {}, this program reads {UNKEYED} to {FORMAT}; build it again",
                folder.display(),
                header.format
            );
        }
        Ok(header)
    }

    /// Writes `manifest.json` with the hashes of these tables, which lie in `folder` already; returns what was written.
    ///
    /// # Errors
    /// A table that cannot be read, or a file that cannot be written.
    pub fn write(self, folder: &Path, tables: &[&str]) -> Result<Header> {
        let header = Header { tables: Seals::of(folder, tables)?, ..self };
        files::write_whole(&folder.join(NAME), serde_json::to_string_pretty(&header)?.as_bytes())?;
        Ok(header)
    }

    /// The path of a table in `folder`, whose bytes are those that the header was written with; those of formats 3
    /// and 4 are not known.
    ///
    /// # Errors
    /// A table that is missing, damaged or of another header.
    pub fn table(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        if self.format <= UNSEALED { Ok(folder.join(name)) } else { self.tables.check(folder, name) }
    }

    /// Whether it has hashes of its pixel stores.
    pub fn seals_pixels(&self) -> bool {
        self.format > UNSEALED_PIXELS
    }

    /// As [`Header::table`], of a pixel store; those of formats 3 to 5 are not known.
    ///
    /// # Errors
    /// As [`Header::table`].
    pub fn pixels(&self, folder: &Path, task: &str, size: usize) -> Result<PathBuf> {
        let name = store::name(task, size);
        let path = folder.join(&name);
        if !self.seals_pixels() || !path.exists() {
            return Ok(path);
        }
        self.pixels.check_once(folder, &name)
    }

    /// The raw folder that the benchmark in `folder` was curated from, as far as this machine knows.
    ///
    /// # Errors
    /// A record of it that cannot be read.
    pub fn raw_of(&self, folder: &Path) -> Result<Option<PathBuf>> {
        let path = folder.join(RAW);
        if !path.exists() {
            return Ok(self.raw.clone());
        }
        let raw = serde_json::from_str(&files::read_text(&path)?);
        raw.map(Some).with_context(|| format!("{} names no folder; give --raw", path.display()))
    }
}
