//! Standardised pictures on their way into a pixel store.
//!
//! They are appended to a scratch file as they are decoded, by any thread and in any order, so that memory does
//! not grow with their number; the store is then written from it, sorted by content.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::store::{NOTES, Notes};
use crate::files;
use crate::pixels::Pixels;

/// Pictures and masks of one task and size.
pub struct Spool {
    size: usize,
    /// Without a name: it is gone when this process is, however it ends.
    scratch: File,
    places: Mutex<Places>,
}

/// Where items begin in the scratch file, by their content's hash.
#[derive(Default)]
struct Places {
    end: u64,
    pictures: HashMap<String, u64>,
    masks: HashMap<String, u64>,
}

impl Spool {
    /// An empty one, with its scratch file in `folder`.
    ///
    /// # Errors
    /// A folder that cannot be made or written to.
    pub fn new(folder: &Path, size: usize) -> Result<Spool> {
        let open = || -> Result<File> {
            std::fs::create_dir_all(folder)?;
            Ok(tempfile::tempfile_in(folder)?)
        };
        let scratch = open().with_context(|| format!("making a scratch file in {}", folder.display()))?;
        Ok(Spool { size, scratch, places: Mutex::default() })
    }

    /// Side of the pictures.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Adds a picture, RGB, `size x size`; one of a hash that is there already is passed over.
    ///
    /// # Errors
    /// A picture of another shape, or a full disk.
    pub fn add_picture(&self, pixel_hash: &str, picture: &Pixels) -> Result<()> {
        self.add(pixel_hash, picture, 3, |places| &mut places.pictures)
    }

    /// Adds a mask, one channel of 0 and 255, `size x size`.
    ///
    /// # Errors
    /// A mask of another shape, or a full disk.
    pub fn add_mask(&self, mask_hash: &str, mask: &Pixels) -> Result<()> {
        self.add(mask_hash, mask, 1, |places| &mut places.masks)
    }

    fn add(
        &self,
        hash: &str,
        pixels: &Pixels,
        channels: usize,
        part: fn(&mut Places) -> &mut HashMap<String, u64>,
    ) -> Result<()> {
        let shape = (pixels.height(), pixels.width(), pixels.channels());
        ensure!(shape == (self.size, self.size, channels), "{shape:?} does not fit this store");
        let bytes = pixels.to_planes();
        let place = {
            let mut places = self.places();
            let end = places.end;
            if part(&mut places).contains_key(hash) {
                return Ok(());
            }
            part(&mut places).insert(hash.to_owned(), end);
            places.end += bytes.len() as u64;
            end
        };
        self.scratch.write_all_at(&bytes, place).context("writing the scratch file; is the disk full?")
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the store of these pictures and masks, sorted by hash: the same content, the same bytes.
    ///
    /// # Errors
    /// A hash that was never added, or a full disk.
    pub fn write(
        &self,
        path: &Path,
        resize: &str,
        pictures: &BTreeSet<&str>,
        masks: &BTreeSet<&str>,
    ) -> Result<()> {
        let places = self.places();
        let owned = |hashes: &BTreeSet<&str>| hashes.iter().map(|&hash| hash.to_owned()).collect::<Vec<_>>();
        let notes = Notes { resize: resize.to_owned(), pictures: owned(pictures), masks: owned(masks) };
        let (picture, mask) = (3 * self.size * self.size, self.size * self.size);
        let middle = pictures.len() * picture;
        let tensor = |count: usize, channels: usize, from: usize, to: usize| TensorInfo {
            dtype: Dtype::U8,
            shape: vec![count, channels, self.size, self.size],
            data_offsets: (from, to),
        };
        let tensors = vec![
            ("pictures".to_owned(), tensor(pictures.len(), 3, 0, middle)),
            ("masks".to_owned(), tensor(masks.len(), 1, middle, middle + masks.len() * mask)),
        ];
        let notes = HashMap::from([(NOTES.to_owned(), serde_json::to_string(&notes)?)]);
        let mut header = serde_json::to_vec(&Metadata::new(Some(notes), tensors)?)?;
        // The format wants the tensors to begin at a multiple of 8 and allows blanks before them.
        header.resize(header.len().next_multiple_of(8), b' ');
        let items = pictures.iter().map(|hash| (places.pictures.get(*hash), picture));
        let items = items.chain(masks.iter().map(|hash| (places.masks.get(*hash), mask)));
        files::write_whole_with(path, |file| {
            let mut file = BufWriter::new(file);
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            let mut bytes = Vec::new();
            for (place, length) in items {
                bytes.resize(length, 0);
                self.scratch
                    .read_exact_at(&mut bytes, *place.context("a picture was never standardised")?)?;
                file.write_all(&bytes)?;
            }
            Ok(file.flush()?)
        })
    }
}
