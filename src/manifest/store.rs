//! Standardised pixels in one memory-mapped file per task and size, keyed by pixel hash.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use memmap2::Mmap;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::Row;
use crate::pixels::Pixels;
use crate::table::Seals;

/// Pictures `[n, 3, size, size]` and masks `[m, 1, size, size]` of one task.
///
/// ```no_run
/// use std::path::Path;
///
/// use medfsad::manifest::{Manifest, Split};
///
/// let manifest = Manifest::read(Path::new("manifests/phantom"))?;
/// let lag = manifest.task("lag")?;
/// let store = lag.store(64)?;
/// let picture = store.pixels(&lag.of(Split::Test)[0].pixel_hash)?;
/// assert_eq!((picture.height(), picture.width(), picture.channels()), (64, 64, 3));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct PixelStore {
    map: Mmap,
    path: PathBuf,
    size: usize,
    pictures: Part,
    masks: Part,
}

/// The header's only note, because the order of several would differ from run to run.
pub(super) const NOTES: &str = "medfsad";

/// How the store was made and the keys of its items, in their order.
#[derive(Serialize, Deserialize)]
pub(super) struct Notes {
    pub resize: String,
    pub pictures: Vec<String>,
    pub masks: Vec<String>,
}

/// Where a part's items lie in the file, and which key is which.
struct Part {
    start: usize,
    item: usize,
    index: HashMap<String, usize>,
}

/// The file of a task and size, as it is called from the curated folder.
pub(super) fn name(task: &str, size: usize) -> String {
    format!("pixels/{task}-{size}.safetensors")
}

/// Where the store of a task and size lies in a curated folder.
pub fn path(folder: &Path, task: &str, size: usize) -> PathBuf {
    folder.join(name(task, size))
}

/// Hashes of a task's stores, which were just written.
///
/// # Errors
/// A store that cannot be read.
pub fn seals(folder: &Path, task: &str, sizes: &[usize]) -> Result<Seals> {
    let names: Vec<String> = sizes.iter().map(|&size| name(task, size)).collect();
    Seals::of(folder, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

impl PixelStore {
    /// Opens the store of a task and size and checks that it holds every picture in `rows`. Its bytes are not held against
    /// the manifest: [`Task::store`](super::Task::store) does that.
    ///
    /// # Errors
    /// A store that is missing, unreadable, made with another resize, or stale.
    pub fn open(folder: &Path, task: &str, size: usize, resize: &str, rows: &[&Row]) -> Result<PixelStore> {
        let path = path(folder, task, size);
        if !path.exists() {
            bail!(
                "no pixels of task `{task}` at {size} pixels ({} is missing); run `cargo xtask build-dataset` with {size} in the spec's sizes",
                path.display()
            );
        }
        let store = Self::map(&path, size, resize).with_context(|| {
            format!("{} is not a pixel store; delete it and build the dataset again", path.display())
        })?;
        for row in rows {
            let masked = row.mask_hash.as_ref();
            let known = store.pictures.index.contains_key(&row.pixel_hash)
                && masked.is_none_or(|hash| store.masks.index.contains_key(hash));
            ensure!(
                known,
                "{} is stale: it lacks {}; build the dataset again",
                path.display(),
                row.source_path
            );
        }
        Ok(store)
    }

    fn map(path: &Path, size: usize, resize: &str) -> Result<PixelStore> {
        let file = File::open(path)?;
        // SAFETY: stores are written whole and renamed into place, never changed afterwards.
        let map = unsafe { Mmap::map(&file)? };
        let (header, metadata) = SafeTensors::read_metadata(&map)?;
        let notes = metadata.metadata().as_ref().and_then(|notes| notes.get(NOTES));
        let notes: Notes = serde_json::from_str(notes.context("the header has no notes")?)?;
        let made = &notes.resize;
        ensure!(made == resize, "it was made with resize `{made}`, this program uses `{resize}`");
        let (pictures, masks) = (
            Part::read(&metadata, header + 8, "pictures", notes.pictures, [3, size, size])?,
            Part::read(&metadata, header + 8, "masks", notes.masks, [1, size, size])?,
        );
        Ok(PixelStore { map, path: path.to_owned(), size, pictures, masks })
    }

    /// Side of the pictures.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The picture of that pixel hash, `[3, size, size]`.
    ///
    /// # Errors
    /// A hash that the store does not hold.
    pub fn picture(&self, pixel_hash: &str) -> Result<&[u8]> {
        self.item(&self.pictures, pixel_hash)
    }

    /// The picture of that pixel hash, with its channels interleaved.
    ///
    /// # Errors
    /// As [`PixelStore::picture`].
    pub fn pixels(&self, pixel_hash: &str) -> Result<Pixels> {
        Pixels::from_planes(self.size, self.size, 3, self.picture(pixel_hash)?)
    }

    /// The mask of that hash, `[1, size, size]` of 0 and 255.
    ///
    /// # Errors
    /// As [`PixelStore::picture`].
    pub fn mask(&self, mask_hash: &str) -> Result<&[u8]> {
        self.item(&self.masks, mask_hash)
    }

    fn item(&self, part: &Part, key: &str) -> Result<&[u8]> {
        let Some(&index) = part.index.get(key) else { bail!("{} holds no {key}", self.path.display()) };
        let start = part.start + index * part.item;
        Ok(&self.map[start..start + part.item])
    }
}

impl Part {
    fn read(
        metadata: &Metadata,
        offset: usize,
        name: &str,
        keys: Vec<String>,
        item: [usize; 3],
    ) -> Result<Part> {
        let info = metadata.info(name).with_context(|| format!("`{name}` is missing"))?;
        let index: HashMap<String, usize> =
            keys.into_iter().enumerate().map(|(index, key)| (key, index)).collect();
        let wanted = [&[index.len()], &item[..]].concat();
        ensure!(
            info.dtype == Dtype::U8 && info.shape == wanted,
            "`{name}` has shape {:?}, not {wanted:?}",
            info.shape
        );
        Ok(Part { start: offset + info.data_offsets.0, item: item.iter().product(), index })
    }
}
