//! Features in a folder that methods, epochs and processes share, so that a batch of pictures passes a teacher once.
//!
//! A file holds what one teacher makes of one batch, in single precision, and a hash of it. It is called by the content of
//! both, written whole and never changed; a file that is damaged is made anew.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context as _, Result, ensure};
use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Kind, Tensor};

use super::Features;
use crate::files;

/// Where the scales and stage 4 are in a file.
const NAMES: [&str; 4] = ["scale-1", "scale-2", "scale-3", "stage-4"];
/// The file's only note: a hash of all values.
const HASH: &str = "medfsad";

/// Features by the content of the pictures and the teacher.
#[derive(Debug)]
pub struct FeatureFolder {
    path: PathBuf,
    most: u64,
    full: Once,
}

/// Features of one batch, in a file that is mapped.
pub struct KeptFeatures {
    map: Mmap,
    /// Per part: where it begins, in bytes, and its shape.
    parts: [(usize, Vec<i64>); 4],
}

impl FeatureFolder {
    /// A folder that takes in queries as long as it holds fewer bytes than `most`.
    pub fn new(path: PathBuf, most: u64) -> FeatureFolder {
        FeatureFolder { path, most, full: Once::new() }
    }

    /// The most bytes that one set of training pictures, or all queries together, may take.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// What is kept under `key`, if it is whole.
    pub(super) fn find(&self, key: &str) -> Option<KeptFeatures> {
        let path = self.path.join(key);
        let file = File::open(&path).ok()?;
        match KeptFeatures::read(&file) {
            Ok(kept) => Some(kept),
            Err(error) => {
                eprintln!("{}: {error:#}; its features are computed again", path.display());
                None
            }
        }
    }

    /// Keeps `features` under `key`.
    ///
    /// # Errors
    /// A folder that cannot be written, or a disk that is full.
    pub(super) fn keep(&self, key: &str, features: &Features) -> Result<KeptFeatures> {
        let write = || -> Result<File> {
            fs::create_dir_all(&self.path)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            // Nobody waits for the disk: a file that a crash leaves unwritten is not what its hash says.
            file.write_all(&bytes(features)?)?;
            Ok(file.persist(self.path.join(key))?)
        };
        let file = write().with_context(|| format!("keeping features in {}", self.path.display()))?;
        KeptFeatures::read(&file)
    }

    /// As [`FeatureFolder::keep`] where there is room. A reason why not is said once; the features are computed again then.
    pub(super) fn keep_if_there_is_room(&self, key: &str, features: &Features) {
        if self.full.is_completed() || self.bytes() >= self.most {
            return;
        }
        if let Err(error) = self.keep(key, features) {
            self.full.call_once(|| eprintln!("features are computed again for each method: {error:#}"));
        }
    }

    /// Bytes of all files.
    fn bytes(&self) -> u64 {
        let files = fs::read_dir(&self.path).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
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
        // SAFETY: files of a feature folder are renamed into place and never changed.
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

    #[test]
    fn what_is_kept_comes_back_whole_and_by_picture() {
        let folder = tempfile::tempdir().unwrap();
        let features = features();
        let kept = FeatureFolder::new(folder.path().join("features"), 1 << 20);
        assert!(kept.find("a").is_none());
        kept.keep("a", &features).unwrap();
        // As another process sees it.
        let other = FeatureFolder::new(folder.path().join("features"), 1 << 20);
        let found = other.find("a").unwrap();
        assert_same(&found.all(), &features);
        assert_eq!(found.shape(1), [2, 2, 2]);
        let row: Vec<f32> =
            found.row(2, 1).chunks(4).map(|value| f32::from_ne_bytes(value.try_into().unwrap())).collect();
        assert_eq!(row, [203.0, 204.0, 205.0]);
        assert!(other.find("b").is_none());
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none_and_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let kept = FeatureFolder::new(folder.path().to_owned(), 1 << 20);
        kept.keep("a", &features()).unwrap();
        let path = folder.path().join("a");
        let whole = fs::read(&path).unwrap();
        let mut altered = whole.clone();
        *altered.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() / 2], &altered, b""] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, damaged).unwrap();
            assert!(kept.find("a").is_none());
        }
        kept.keep("a", &features()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_full_folder_takes_no_more_queries() {
        let folder = tempfile::tempdir().unwrap();
        let kept = FeatureFolder::new(folder.path().to_owned(), 100);
        kept.keep_if_there_is_room("a", &features());
        kept.keep_if_there_is_room("b", &features());
        assert!(kept.find("a").is_some() && kept.find("b").is_none());
        // Nor does one that cannot be written, which is no error.
        let file = folder.path().join("a");
        let none = FeatureFolder::new(file.join("below"), 1 << 20);
        none.keep_if_there_is_room("c", &features());
        assert!(none.keep("c", &features()).is_err() && none.find("c").is_none());
    }
}
