//! Features in a folder that methods, epochs and processes share, so that a batch of pictures passes a teacher once.
//!
//! A file holds what one teacher makes of one batch, in single precision, and a hash of it. It is called by the content of
//! both, written whole and never changed: where two processes make the same, the first one's stays. A file that is damaged is
//! removed and made anew.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, OnceLock};

use anyhow::{Context as _, Result, ensure};
use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use super::Features;
use crate::files;

/// Where the scales and stage 4 are in a file.
const NAMES: [&str; 4] = ["scale-1", "scale-2", "scale-3", "stage-4"];
/// Ends the names of files that a training maps: they do not count against the limit of the others.
const OF_TRAINING: &str = ".training";
/// Begins the names of files that are being written.
const DRAFT: &str = ".draft-";
/// The file's only note: a hash of all values.
const HASH: &str = "medfsad";

/// Features by the content of the pictures and the teacher.
#[derive(Debug)]
pub struct FeatureFolder {
    path: PathBuf,
    most: u64,
    /// Bytes of files that count against the limit: those that were there when it was first asked, and this process's own.
    held: OnceLock<AtomicU64>,
    full: Once,
}

/// Features of one batch, in a file that is mapped.
pub struct KeptFeatures {
    map: Mmap,
    /// Per part: where it begins, in bytes, and its shape.
    parts: [(usize, Vec<i64>); 4],
}

impl FeatureFolder {
    /// A folder that takes in features as long as it holds fewer bytes than `most`; for one training it holds as many.
    pub fn new(path: PathBuf, most: u64) -> FeatureFolder {
        FeatureFolder { path, most, held: OnceLock::new(), full: Once::new() }
    }

    /// Removes a folder of features, less what is not ours.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear(path: &Path) -> Result<()> {
        let folder = match fs::read_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            folder => folder.with_context(|| format!("removing {}", path.display()))?,
        };
        for entry in folder {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() && is_hash(&name) {
                FeatureFolder::clear(&entry.path())?;
            } else if is_hash(name.trim_end_matches(OF_TRAINING)) || name.starts_with(DRAFT) {
                files::remove_if_there(&entry.path())?;
            }
        }
        // One that holds something else, or in which another process begins anew, stays.
        let _ = fs::remove_dir(path);
        Ok(())
    }

    /// The most bytes that the pictures of one training, or all others together, may take.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// What is kept under `key`, if it is whole.
    pub(super) fn find(&self, key: &str) -> Option<KeptFeatures> {
        [key.to_owned(), of_training(key)].iter().find_map(|name| self.read(name))
    }

    fn read(&self, name: &str) -> Option<KeptFeatures> {
        let path = self.path.join(name);
        let again = |error: anyhow::Error| {
            log::warn!("{}: {error:#}; its features are computed again", path.display());
            None
        };
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => again(error.into()),
            Ok(file) => KeptFeatures::read(&file).map_or_else(
                |error| {
                    let _ = fs::remove_file(&path);
                    again(error)
                },
                Some,
            ),
        }
    }

    /// Keeps `features` of a training's pictures under `key`.
    ///
    /// # Errors
    /// A folder that cannot be written, or a disk that is full.
    pub(super) fn keep_for_training(&self, key: &str, features: &Features) -> Result<KeptFeatures> {
        let name = of_training(key);
        self.write(&name, features)?;
        self.read(&name).with_context(|| format!("{} was changed at once", self.path.join(name).display()))
    }

    /// Keeps `features` under `key` where there is room. A reason why not is said once; they are computed again then.
    pub(super) fn keep_if_there_is_room(&self, key: &str, features: &Features) {
        if self.full.is_completed() {
            return;
        }
        let held = self.held.get_or_init(|| AtomicU64::new(self.bytes()));
        if held.load(Ordering::Relaxed) >= self.most {
            let gib = self.most as f64 / f64::from(1u32 << 30);
            self.full.call_once(|| {
                log::warn!("{gib:.1} GiB of features are kept; others are computed again (--feature-disk)");
            });
            return;
        }
        match self.write(key, features) {
            Ok(bytes) => drop(held.fetch_add(bytes, Ordering::Relaxed)),
            Err(error) => self.full.call_once(|| log::warn!("features are computed again: {error:#}")),
        }
    }

    /// Writes a file unless it is there; its bytes.
    fn write(&self, name: &str, features: &Features) -> Result<u64> {
        let write = || -> Result<u64> {
            let bytes = bytes(features)?;
            fs::create_dir_all(&self.path)?;
            // Other users of a shared run read it too.
            let readable = Permissions::from_mode(0o666);
            let mut file =
                tempfile::Builder::new().prefix(DRAFT).permissions(readable).tempfile_in(&self.path)?;
            // Nobody waits for the disk: a file that a crash leaves unwritten is not what its hash says.
            file.write_all(&bytes)?;
            match file.persist_noclobber(self.path.join(name)) {
                Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error.into()),
                _ => Ok(bytes.len() as u64),
            }
        };
        write().with_context(|| format!("keeping features in {}", self.path.display()))
    }

    /// Bytes of all files that count.
    fn bytes(&self) -> u64 {
        let files = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let counts = |file: &fs::DirEntry| is_hash(&file.file_name().to_string_lossy());
        files.filter(counts).filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    }
}

fn of_training(key: &str) -> String {
    format!("{key}{OF_TRAINING}")
}

/// Whether a name may be one of ours.
fn is_hash(name: &str) -> bool {
    name.len() >= 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A file's content.
fn bytes(features: &Features) -> Result<Vec<u8>> {
    let plain = |tensor: &Tensor| -> Result<(Vec<usize>, Vec<u8>)> {
        ensure!(tensor.kind() == Kind::Float, "features of {:?} are not kept", tensor.kind());
        let shape = tensor.size().iter().map(|&side| side as usize).collect();
        let flat = tensor.to_device(Device::Cpu).contiguous().flatten(0, -1);
        Ok((shape, Vec::try_from(flat.view_dtype(Kind::Uint8))?))
    };
    let parts = features.parts().map(plain).into_iter().collect::<Result<Vec<_>>>()?;
    let hash = hash(parts.iter().map(|(_, values)| values.as_slice()));
    let views = NAMES
        .into_iter()
        .zip(&parts)
        .map(|(name, (shape, values))| Ok((name, TensorView::new(Dtype::F32, shape.clone(), values)?)));
    let views = views.collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, Some([(HASH.to_owned(), hash)].into()))?)
}

fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    files::fingerprint_of(parts.map(files::fingerprint))
}

impl KeptFeatures {
    fn read(file: &File) -> Result<KeptFeatures> {
        // SAFETY: files of a feature folder are renamed into place, never changed or replaced, and removed as a whole.
        let map = unsafe { Mmap::map(file)? };
        let tensors = SafeTensors::deserialize(&map)?;
        let (_, header) = SafeTensors::read_metadata(&map)?;
        let stated = header.metadata().as_ref().and_then(|notes| notes.get(HASH));
        let mut parts = Vec::new();
        for name in NAMES {
            let part = tensors.tensor(name)?;
            ensure!(part.dtype() == Dtype::F32, "`{name}` is not in single precision");
            parts.push((part.data(), part.shape().iter().map(|&side| side as i64).collect::<Vec<_>>()));
        }
        let found = hash(parts.iter().map(|(data, _)| *data));
        ensure!(stated == Some(&found), "its values are not those that were written");
        let begin = |data: &[u8]| data.as_ptr() as usize - map.as_ptr() as usize;
        let parts: Vec<_> = parts.into_iter().map(|(data, shape)| (begin(data), shape)).collect();
        let parts = parts.try_into().ok().context("four parts")?;
        Ok(KeptFeatures { map, parts })
    }

    /// All of them, on the CPU.
    pub fn all(&self) -> Features {
        let [first, second, third, deep] = [0, 1, 2, 3].map(|part| {
            let (begin, shape) = &self.parts[part];
            let length = shape.iter().product::<i64>() as usize * size_of::<f32>();
            Tensor::from_data_size(&self.map[*begin..begin + length], shape, Kind::Float)
        });
        Features { scales: [first, second, third], deep }
    }

    /// Bytes of one part of one picture: of a scale, or of stage 4 after them.
    pub fn row(&self, part: usize, picture: usize) -> &[u8] {
        let (begin, shape) = &self.parts[part];
        let length = shape[1..].iter().product::<i64>() as usize * size_of::<f32>();
        &self.map[begin + picture * length..][..length]
    }

    /// Shape of one part of one picture.
    pub fn shape(&self, part: usize) -> &[i64] {
        &self.parts[part].1[1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Features {
        let of = |begin: f64, shape: &[i64]| {
            let n: i64 = shape.iter().product();
            (Tensor::arange(n, (Kind::Float, Device::Cpu)) + begin).view(shape)
        };
        let scales = [of(0.0, &[2, 1, 4, 4]), of(100.0, &[2, 2, 2, 2]), of(200.0, &[2, 3, 1, 1])];
        Features { scales, deep: of(300.0, &[2, 5, 1, 1]) }
    }

    fn assert_same(found: &Features, wanted: &Features) {
        for (found, wanted) in found.parts().into_iter().zip(wanted.parts()) {
            assert_eq!(found, wanted);
        }
    }

    /// As keys are.
    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn what_is_kept_comes_back_whole_and_by_picture() {
        let folder = tempfile::tempdir().unwrap();
        let features = features();
        let kept = FeatureFolder::new(folder.path().join("features"), 1 << 20);
        assert!(kept.find(A).is_none());
        kept.keep_if_there_is_room(A, &features);
        // As another process sees it, which makes the same once more.
        let other = FeatureFolder::new(folder.path().join("features"), 1 << 20);
        let found = other.find(A).unwrap();
        other.keep_if_there_is_room(A, &features);
        assert_same(&found.all(), &features);
        assert_eq!(found.shape(1), [2, 2, 2]);
        let row: Vec<f32> =
            found.row(2, 1).chunks(4).map(|value| f32::from_ne_bytes(value.try_into().unwrap())).collect();
        assert_eq!(row, [203.0, 204.0, 205.0]);
        assert!(other.find(B).is_none());
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none_and_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = FeatureFolder::new(folder.path().to_owned(), 1 << 20);
        kept.keep_if_there_is_room(A, &features());
        let path = folder.path().join(A);
        let whole = fs::read(&path).unwrap();
        let mut altered = whole.clone();
        *altered.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() / 2], &altered, b""] {
            fs::write(&path, damaged).unwrap();
            assert!(kept.find(A).is_none());
            kept.keep_if_there_is_room(A, &features());
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_full_folder_takes_no_more_but_for_a_training() {
        let folder = tempfile::tempdir().unwrap();
        let kept = FeatureFolder::new(folder.path().to_owned(), 100);
        assert_same(&kept.keep_for_training(B, &features()).unwrap().all(), &features());
        kept.keep_if_there_is_room(A, &features());
        let other = files::fingerprint(b"other");
        kept.keep_if_there_is_room(&other, &features());
        assert!(kept.find(A).is_some() && kept.find(B).is_some() && kept.find(&other).is_none());
        // One that cannot be written is no error either, but for a training.
        let none = FeatureFolder::new(folder.path().join(A).join("below"), 1 << 20);
        none.keep_if_there_is_room(B, &features());
        assert!(none.keep_for_training(B, &features()).is_err());
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features");
        let inside = path.join(files::fingerprint(b"some code"));
        let kept = FeatureFolder::new(inside.clone(), 1 << 20);
        kept.keep_if_there_is_room(A, &features());
        kept.keep_for_training(B, &features()).unwrap();
        fs::write(inside.join(".draft-cut"), "x").unwrap();
        FeatureFolder::clear(&path).unwrap();
        FeatureFolder::clear(&path).unwrap();
        assert!(!path.exists());
        kept.keep_if_there_is_room(A, &features());
        fs::write(path.join("notes.txt"), "x").unwrap();
        FeatureFolder::clear(&path).unwrap();
        let left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }
}
