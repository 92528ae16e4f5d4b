//! Teacher features of training pictures, computed once: kept in memory, else in files that are mapped. On a card that has
//! no room for them they are computed again each time.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use super::normals::CHUNK;
use crate::episode::batch;
use crate::method::train_on::TrainOn;
use crate::network::feature_folder::KeptFeatures;
use crate::network::remembering::Remembering;
use crate::network::{Features, card};

/// Pictures that enter a teacher at once where nobody else has the same batches.
const OWN_CHUNK: i64 = 32;

/// Features of a set of pictures by index.
pub struct FeatureStore<'a> {
    teacher: &'a Remembering,
    /// `[n, 3, h, w]` of 0 to 255, on the device.
    pixels: Tensor,
    kept: Kept,
}

enum Kept {
    Memory(Features),
    Mapped(Mapped),
    Nothing,
}

/// Whether other trainings, and other methods, learn from the same pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// As they are: what the teacher's folder has of them is used, and it gets what it lacks.
    Shared,
    /// Supports or their views, which are few and which nobody else has alike.
    Own,
}

impl Sharing {
    /// Of what a method learns from.
    pub fn of(train_on: TrainOn, views: bool) -> Sharing {
        if train_on == TrainOn::Normals && !views { Sharing::Shared } else { Sharing::Own }
    }
}

impl FeatureStore<'_> {
    /// Computes the features of all pictures of `sets`, each `[n, 3, h, w]` of 0 to 255, where there is room for all of
    /// them. They are numbered from 0, set after set.
    ///
    /// # Errors
    /// A folder that cannot be written; on a CPU, features that may be kept nowhere: what they are would depend on what is
    /// asked for together.
    pub fn new<'a>(
        teacher: &'a Remembering,
        sets: &[&Tensor],
        device: Device,
        sharing: Sharing,
    ) -> Result<FeatureStore<'a>> {
        let pixels = Tensor::cat(sets, 0).to_device(device);
        // Batches of one set are the same beside whatever other sets.
        let at_once = if sharing == Sharing::Shared { CHUNK } else { OWN_CHUNK };
        let chunks: Vec<Tensor> = sets.iter().flat_map(|set| set.split(at_once, 0)).collect();
        let of = |chunk: &Tensor| match sharing {
            Sharing::Shared => teacher.features_again(chunk),
            Sharing::Own => teacher.features(chunk),
        };
        let first = teacher.features(&pixels.narrow(0, 0, 1));
        let values: usize = first.parts().iter().map(|part| part.numel()).sum();
        let bytes = (values * size_of::<f32>()) as u64 * pixels.size()[0] as u64;
        let has_room = bytes <= teacher.memory().max(on_card(device));
        let gathered =
            if has_room { gathered(&first, pixels.size()[0], chunks.iter().map(of)) } else { None };
        let kept = match gathered {
            Some(features) => Kept::Memory(features),
            None if teacher.has_folder_for(bytes) => Kept::Mapped(Mapped::new(teacher, &chunks)?),
            None => {
                let (n, gib) = (pixels.size()[0], bytes as f64 / f64::from(1u32 << 30));
                ensure!(
                    device.is_cuda(),
                    "teacher features of {n} pictures take {gib:.1} GiB, which neither --feature-memory nor --feature-disk \
                     allows; raise one of them (files go with the last cell), or give fewer or smaller pictures"
                );
                Kept::Nothing
            }
        };
        Ok(FeatureStore { teacher, pixels, kept })
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.pixels.size()[0] as usize
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether looking features up is work of the device alone.
    pub fn is_on_device(&self) -> bool {
        matches!(self.kept, Kept::Memory(_))
    }

    /// Indices where they are looked up: beside the features.
    pub fn placed(&self, indices: &Tensor) -> Tensor {
        match self.kept {
            Kept::Mapped(_) => indices.shallow_clone(),
            _ => batch::to(indices, self.pixels.device()),
        }
    }

    /// All features of the pictures at `index` (on any device), on the device.
    pub fn at(&self, index: &Tensor) -> Features {
        let device = self.pixels.device();
        match &self.kept {
            Kept::Memory(Features { scales, deep }) => {
                let index = batch::to(index, device);
                let scales = scales.each_ref().map(|scale| scale.index_select(0, &index));
                Features { scales, deep: deep.index_select(0, &index) }
            }
            Kept::Mapped(mapped) => {
                let rows = rows(index);
                let part = |part: usize| batch::to(&mapped.gather(part, &rows), device);
                Features { scales: [part(0), part(1), part(2)], deep: part(3) }
            }
            Kept::Nothing => self.teacher.features(&self.pixels_at(index)),
        }
    }

    /// Stage 4 alone of the pictures at `index`, on the device.
    pub fn deep_at(&self, index: &Tensor) -> Tensor {
        let device = self.pixels.device();
        match &self.kept {
            Kept::Memory(features) => features.deep.index_select(0, &batch::to(index, device)),
            Kept::Mapped(mapped) => batch::to(&mapped.gather(3, &rows(index)), device),
            Kept::Nothing => self.teacher.features(&self.pixels_at(index)).deep,
        }
    }

    fn pixels_at(&self, index: &Tensor) -> Tensor {
        self.pixels.index_select(0, &batch::to(index, self.pixels.device()))
    }
}

fn rows(index: &Tensor) -> Vec<usize> {
    let index: Vec<i64> = Vec::try_from(index.to_device(tch::Device::Cpu)).expect("indices");
    index.into_iter().map(|row| row as usize).collect()
}

/// Features of all `n` pictures from those of chunks, each written to its place, so that they are in memory once; `None`
/// where there is no room after all, since another process may share a card.
fn gathered(first: &Features, n: i64, chunks: impl Iterator<Item = Features>) -> Option<Features> {
    let room = |part: &Tensor| {
        let shape: Vec<i64> = [n].into_iter().chain(part.size()[1..].iter().copied()).collect();
        Tensor::f_empty(&shape, (part.kind(), part.device())).ok()
    };
    let [one, two, three] = &first.scales;
    let all = Features { scales: [room(one)?, room(two)?, room(three)?], deep: room(&first.deep)? };
    let mut start = 0;
    for features in chunks {
        for (whole, part) in all.parts().into_iter().zip(features.parts()) {
            whole.narrow(0, start, part.size()[0]).copy_(part);
        }
        start += features.deep.size()[0];
    }
    Some(all)
}

/// Bytes of a card that may be kept, whatever is allowed of main memory: half of what is free. A card that has room never
/// waits for its host.
fn on_card(device: Device) -> u64 {
    card::memory(device).map_or(0, |memory| memory.free / 2)
}

/// Features in files, one for each chunk.
struct Mapped {
    chunks: Vec<KeptFeatures>,
    /// Of each picture: its chunk, and its place in there.
    places: Vec<(usize, usize)>,
}

impl Mapped {
    fn new(teacher: &Remembering, pixels: &[Tensor]) -> Result<Mapped> {
        let of_chunk = |(chunk, pixels): (usize, &Tensor)| {
            (0..pixels.size()[0] as usize).map(move |place| (chunk, place))
        };
        let places = pixels.iter().enumerate().flat_map(of_chunk).collect();
        let chunks = pixels.iter().map(|chunk| teacher.kept(chunk)).collect::<Result<_>>()?;
        Ok(Mapped { chunks, places })
    }

    /// The rows of one part, `[rows, ...]`, on the CPU.
    fn gather(&self, part: usize, rows: &[usize]) -> Tensor {
        let mut bytes = Vec::new();
        for &row in rows {
            let (chunk, place) = self.places[row];
            bytes.extend_from_slice(self.chunks[chunk].row(part, place));
        }
        let one = self.chunks[0].shape(part);
        let shape: Vec<i64> = [rows.len() as i64].into_iter().chain(one.iter().copied()).collect();
        Tensor::from_data_size(&bytes, &shape, Kind::Float)
    }
}
