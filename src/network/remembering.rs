//! A teacher that remembers what it made of pictures that come again: supports, which several support sets share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;

use tch::{Device, Kind, Tensor};

use super::Features;
use super::teacher::Teacher;
use crate::files;

/// Bytes of features that are remembered, at most; what was asked for least recently goes first.
const MOST: usize = 512 << 20;

/// Features are looked up by the content of the pictures, and are those of just these pictures passed together: what
/// was asked before does not change a bit.
pub struct Remembering {
    teacher: Teacher,
    memory: RefCell<Memory>,
}

#[derive(Default)]
struct Memory {
    known: HashMap<String, Known>,
    bytes: usize,
    n_asked: u64,
}

struct Known {
    features: Features,
    bytes: usize,
    /// When it was asked for last.
    asked: u64,
}

impl Remembering {
    /// A teacher that remembers nothing yet.
    pub fn new(teacher: Teacher) -> Remembering {
        Remembering { teacher, memory: RefCell::default() }
    }

    /// As [`Teacher::features`], which are not to be written into.
    pub fn features_again(&self, pictures: &Tensor) -> Features {
        let key = content(pictures);
        if let Some(features) = self.memory.borrow_mut().recall(&key) {
            return features;
        }
        let features = self.teacher.features(pictures);
        self.memory.borrow_mut().keep(key, &features, MOST);
        features
    }
}

impl Deref for Remembering {
    type Target = Teacher;

    fn deref(&self) -> &Teacher {
        &self.teacher
    }
}

impl Memory {
    fn recall(&mut self, key: &str) -> Option<Features> {
        self.n_asked += 1;
        let known = self.known.get_mut(key)?;
        known.asked = self.n_asked;
        Some(shared(&known.features))
    }

    fn keep(&mut self, key: String, features: &Features, most: usize) {
        let all = features.scales.iter().chain([&features.deep]);
        let bytes = all.map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum();
        if bytes > most {
            return;
        }
        while self.bytes + bytes > most {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.asked).map(|(key, _)| key.clone());
            let Some(known) = oldest.and_then(|key| self.known.remove(&key)) else { return };
            self.bytes -= known.bytes;
        }
        self.bytes += bytes;
        self.known.insert(key, Known { features: shared(features), bytes, asked: self.n_asked });
    }
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
        let mut memory = Memory::default();
        for (key, value) in [("a", 1.0), ("b", 2.0)] {
            memory.keep(key.to_owned(), &features(value), 600);
        }
        assert!(memory.recall("a").is_some());
        memory.keep("c".to_owned(), &features(3.0), 600);
        assert!(memory.recall("b").is_none());
        let value = |memory: &mut Memory, key| memory.recall(key).unwrap().deep.double_value(&[0, 0, 0, 0]);
        assert_eq!((value(&mut memory, "a"), value(&mut memory, "c"), memory.bytes), (1.0, 3.0, 512));
        memory.keep("d".to_owned(), &features(4.0), 100);
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
        let keys: std::collections::BTreeSet<String> = all.iter().map(content).collect();
        assert_eq!(keys.len(), all.len());
        assert_eq!(content(&all[0]), content(&bytes.view([1, 4]).shallow_clone()));
    }
}
