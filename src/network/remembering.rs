//! A teacher that keeps what it makes of pictures that come again: supports, which several support sets share, in memory;
//! these, queries and training pictures, which methods, draws and epochs share, in a folder. In memory, too, what a
//! method makes of a support's features whatever the others are.

use std::any::{Any, TypeId};
use std::borrow::Borrow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Deref;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Features;
use super::feature_folder::{FeatureFolder, KeptFeatures};
use super::subnormals::Subnormals;
use super::teacher::Teacher;
use crate::files;

/// Bytes of features of single pictures, and of all views of one, that are remembered, at most; what was asked for least
/// recently goes first.
const MOST: usize = 512 << 20;

/// The same of what is made of features: 33 sums of outer products of 1,536 values.
pub const MOST_MADE: usize = 600 << 20;

/// What a method makes of the features of a support's views, and of nothing else: a type of its own for each way.
pub trait Made: 'static {
    /// Memory that it holds.
    fn bytes(&self) -> usize;
}

/// How much of features may be kept, in GiB.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FeatureLimits {
    /// Of main memory, for one training.
    pub memory: f64,
    /// Of disk: for the pictures of one training, and for all others together. 0 keeps no files.
    pub disk: f64,
}

impl Default for FeatureLimits {
    fn default() -> FeatureLimits {
        FeatureLimits { memory: 1.0, disk: 16.0 }
    }
}

impl FeatureLimits {
    /// With files in `folder`, in a folder of this version's own.
    pub fn keeping_in(self, folder: PathBuf) -> Keeping {
        let [memory, disk] = [self.memory, self.disk].map(|gib| (gib * f64::from(1u32 << 30)) as u64);
        Keeping {
            memory,
            folder: (disk > 0).then(|| Arc::new(FeatureFolder::new(folder.join(crate::CODE_HASH), disk))),
        }
    }
}

/// Variables of these names change how libtorch and its libraries compute.
const SWITCHES: [&str; 4] = ["ATEN_", "DNNL_", "MKL_", "ONEDNN_"];

/// How much may be kept, and where.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Bytes of main memory for the features of one training.
    pub memory: u64,
    /// What does not fit there. On a card, features are kept in its own
    /// memory alone: reading them from a file takes as long as computing them.
    pub folder: Option<Arc<FeatureFolder>>,
}

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping { memory: 4 << 30, folder: None }
    }
}

/// Features are looked up by the content of the pictures, and are those of just these pictures passed together: what
/// was asked before does not change a bit.
pub struct Remembering {
    teacher: Teacher,
    keeping: Keeping,
    memory: RefCell<Memory<String, Features>>,
    made: RefCell<Memory<(TypeId, String), Rc<dyn Any>>>,
    /// What features depend on beside pictures, hashed.
    identity: OnceCell<String>,
}

struct Memory<K, V> {
    known: HashMap<K, Known<V>>,
    bytes: usize,
    n_asked: u64,
}

struct Known<V> {
    value: V,
    bytes: usize,
    /// When it was asked for last.
    asked: u64,
}

impl Remembering {
    /// A teacher that has kept nothing yet.
    pub fn new(teacher: Teacher, keeping: Keeping) -> Remembering {
        let folder = keeping.folder.filter(|_| teacher.device() == Device::Cpu && processor().is_some());
        let keeping = Keeping { folder, ..keeping };
        Remembering {
            teacher,
            keeping,
            memory: RefCell::default(),
            made: RefCell::default(),
            identity: OnceCell::new(),
        }
    }

    /// As [`Teacher::features`], which are not to be written into, of pictures that are asked for again: a support by
    /// itself, or a batch that other methods and epochs have alike.
    pub fn features_again(&self, pictures: &Tensor) -> Features {
        let is_single = pictures.size()[0] == 1;
        if !is_single && self.keeping.folder.is_none() {
            return self.teacher.features(pictures);
        }
        self.again(pictures, is_single)
    }

    /// As [`Remembering::features_again`], of all views of one support. Memory keeps them together where there is no folder.
    pub fn features_of_views(&self, views: &Tensor) -> Features {
        self.again(views, self.keeping.folder.is_none())
    }

    fn again(&self, pictures: &Tensor, is_remembered: bool) -> Features {
        let content = content(pictures);
        if let Some(features) = self.memory.borrow_mut().recall(&content) {
            return shared(features);
        }
        let features = self.found_or_made(pictures, &content);
        if is_remembered {
            self.memory.borrow_mut().keep(content, shared(&features), bytes(&features), MOST);
        }
        features
    }

    /// What `make` makes of the features of all views of one support; it is made once, and remembered in their place.
    pub fn made_of_views<T: Made>(&self, views: &Tensor, make: impl FnOnce(Features) -> T) -> Rc<T> {
        let content = content(views);
        let key = (TypeId::of::<T>(), content);
        let known = self.made.borrow_mut().recall(&key).cloned();
        if let Some(made) = known {
            return made.downcast().expect("the type is in the key");
        }
        let made = Rc::new(make(self.found_or_made(views, &key.1)));
        self.made.borrow_mut().keep(key, made.clone(), made.bytes(), MOST_MADE);
        made
    }

    fn found_or_made(&self, pictures: &Tensor, content: &str) -> Features {
        let Some(folder) = &self.keeping.folder else { return self.teacher.features(pictures) };
        let key = self.key(content);
        if let Some(kept) = folder.find(&key) {
            return kept.all();
        }
        let features = self.teacher.features(pictures);
        folder.keep_if_there_is_room(&key, &features);
        features
    }

    /// Bytes of main memory for the features of one training.
    pub fn memory(&self) -> u64 {
        self.keeping.memory
    }

    /// Whether there is a folder for `bytes` of training features.
    pub fn has_folder_for(&self, bytes: u64) -> bool {
        self.keeping.folder.as_ref().is_some_and(|folder| bytes <= folder.most())
    }

    /// As [`Remembering::features_again`], in the folder, of which there must be one.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn kept(&self, pictures: &Tensor) -> Result<KeptFeatures> {
        let folder = self.keeping.folder.as_ref().expect("asked for before");
        let key = self.key(&content(pictures));
        match folder.find(&key) {
            Some(kept) => Ok(kept),
            None => folder.keep_for_training(&key, &self.teacher.features(pictures)),
        }
    }

    /// What the features of pictures with that content are called in the folder.
    fn key(&self, content: &str) -> String {
        let identity = self.identity.get_or_init(|| {
            let is_meant = |name: &str| SWITCHES.iter().any(|prefix| name.starts_with(prefix));
            let switches: BTreeMap<_, _> =
                std::env::vars_os().filter(|(name, _)| is_meant(&name.to_string_lossy())).collect();
            let (threads, processor) = (tch::get_num_threads(), processor());
            let here =
                format!("{} {switches:?} {} {threads} {processor:?}", crate::CODE_HASH, Subnormals::here());
            files::fingerprint_of([self.teacher.fingerprint(), here].into_iter())
        });
        files::fingerprint_of([identity.clone(), content.to_owned()].into_iter())
    }
}

/// Another kind of processor may round otherwise; processes on several machines may share a folder.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let is_told =
        |line: &&str| ["model name", "flags", "CPU part", "Features"].iter().any(|key| line.starts_with(key));
    let lines: BTreeSet<&str> = text.lines().filter(is_told).collect();
    Some(lines.into_iter().collect())
}

impl Deref for Remembering {
    type Target = Teacher;

    fn deref(&self) -> &Teacher {
        &self.teacher
    }
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Memory<K, V> {
        Memory { known: HashMap::new(), bytes: 0, n_asked: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Memory<K, V> {
    fn recall<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.n_asked += 1;
        let known = self.known.get_mut(key)?;
        known.asked = self.n_asked;
        Some(&known.value)
    }

    fn keep(&mut self, key: K, value: V, bytes: usize, most: usize) {
        if bytes > most {
            return;
        }
        while self.bytes + bytes > most {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.asked).map(|(key, _)| key.clone());
            let Some(known) = oldest.and_then(|key| self.known.remove(&key)) else { return };
            self.bytes -= known.bytes;
        }
        self.bytes += bytes;
        self.known.insert(key, Known { value, bytes, asked: self.n_asked });
    }
}

fn bytes(features: &Features) -> usize {
    features.parts().into_iter().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
}

/// The same tensors.
fn shared(Features { scales, deep }: &Features) -> Features {
    Features { scales: scales.each_ref().map(Tensor::shallow_clone), deep: deep.shallow_clone() }
}

/// A hash of pictures: shape, kind and values.
fn content(pictures: &Tensor) -> String {
    let plain = pictures.to_device(Device::Cpu).contiguous();
    let bytes: Vec<u8> = Vec::try_from(plain.view_dtype(Kind::Uint8).flatten(0, -1)).expect("bytes");
    let shape = format!("{:?} {:?}", pictures.size(), pictures.kind());
    files::fingerprint_of([shape, files::fingerprint(&bytes)].into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(value: f64) -> Features {
        let one = || Tensor::full([1, 1, 4, 4], value, (Kind::Float, Device::Cpu));
        Features { scales: [one(), one(), one()], deep: one() }
    }

    #[test]
    fn what_was_asked_for_least_recently_is_forgotten_first() {
        // Room for two of 256 bytes.
        assert_eq!(bytes(&features(1.0)), 256);
        let mut memory = Memory::default();
        for (key, value) in [("a", 1.0), ("b", 2.0)] {
            memory.keep(key.to_owned(), features(value), 256, 600);
        }
        assert!(memory.recall("a").is_some());
        memory.keep("c".to_owned(), features(3.0), 256, 600);
        assert!(memory.recall("b").is_none());
        let value = |memory: &mut Memory<String, Features>, key: &str| {
            memory.recall(key).unwrap().deep.double_value(&[0, 0, 0, 0])
        };
        assert_eq!((value(&mut memory, "a"), value(&mut memory, "c"), memory.bytes), (1.0, 3.0, 512));
        memory.keep("d".to_owned(), features(4.0), 256, 100);
        assert!(memory.recall("d").is_none() && memory.recall("a").is_some());
    }

    #[test]
    fn pictures_are_told_apart_by_shape_kind_and_values() {
        let bytes = Tensor::from_slice(&[1u8, 2, 3, 4]);
        let all = [
            bytes.view([1, 4]),
            bytes.view([4, 1]),
            bytes.view([1, 4]) + 1,
            bytes.view([1, 4]).to_kind(Kind::Float),
            Tensor::from_slice(&[1u8, 2, 4, 3]).view([1, 4]),
        ];
        let keys: BTreeSet<String> = all.iter().map(content).collect();
        assert_eq!(keys.len(), all.len());
        assert_eq!(content(&all[0]), content(&bytes.view([1, 4]).shallow_clone()));
    }
}
