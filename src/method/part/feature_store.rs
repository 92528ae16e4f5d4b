//! Teacher features of training pictures, computed once: kept in memory, else in a file that is mapped, else computed
//! again each time.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use memmap2::Mmap;
use tch::{Device, Kind, Tensor};

use crate::episode::batch;
use crate::files;
use crate::network::teacher::Teacher;
use crate::network::{Features, card};

/// Pictures whose features are computed at once.
const CHUNK: i64 = 32;
const GIB: f64 = (1u64 << 30) as f64;

/// How much may be kept, in GiB.
#[derive(Clone, Copy, Debug)]
pub struct FeatureLimits {
    /// Of main memory.
    pub memory: f64,
    /// Of a file in the cache folder, which is gone when the process ends, however it ends.
    pub disk: f64,
}

/// Features of a set of pictures by index.
pub struct FeatureStore<'a> {
    teacher: &'a Teacher,
    /// `[n, 3, h, w]` of 0 to 255, on the device.
    pixels: Tensor,
    kept: Kept,
}

enum Kept {
    Memory(Features),
    Mapped(Mapped),
    Nothing,
}

impl FeatureStore<'_> {
    /// Computes the features of `pixels` `[n, 3, h, w]` where there is room for all of them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn new(teacher: &Teacher, pixels: Tensor, room: FeatureLimits) -> Result<FeatureStore<'_>> {
        let n = pixels.size()[0];
        let first = teacher.features(&pixels.narrow(0, 0, 1));
        let bytes: f64 = parts(&first).iter().map(|tensor| tensor.numel() as f64 * 4.0 * n as f64).sum();
        let gib = bytes / GIB;
        let has_room = gib <= room.memory.max(on_card(pixels.device()));
        let gathered = if has_room { gathered(teacher, &pixels, &first) } else { None };
        let kept = if let Some(features) = gathered {
            Kept::Memory(features)
        } else if gib <= room.disk {
            let what = "keeping teacher features; feature_disk_gib = 0 computes them anew instead";
            Kept::Mapped(Mapped::write(teacher, &pixels, &first).context(what)?)
        } else {
            Kept::Nothing
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

/// Features of all pictures, chunk by chunk, each with the place of its first.
fn chunks(teacher: &Teacher, pixels: &Tensor) -> impl Iterator<Item = (i64, Features)> {
    let n = pixels.size()[0];
    (0..n)
        .step_by(CHUNK as usize)
        .map(move |start| (start, teacher.features(&pixels.narrow(0, start, (n - start).min(CHUNK)))))
}

/// Scales and stage 4, in their order in a file.
fn parts(features: &Features) -> [&Tensor; 4] {
    let [first, second, third] = &features.scales;
    [first, second, third, &features.deep]
}

/// Features of all pictures, each chunk written to its place, so that they are in memory once; `None` where there is no
/// room after all, since another process may share a card.
fn gathered(teacher: &Teacher, pixels: &Tensor, first: &Features) -> Option<Features> {
    let n = pixels.size()[0];
    let room = |part: &Tensor| {
        let shape: Vec<i64> = [n].into_iter().chain(part.size()[1..].iter().copied()).collect();
        Tensor::f_empty(&shape, (part.kind(), part.device())).ok()
    };
    let [one, two, three] = &first.scales;
    let all = Features { scales: [room(one)?, room(two)?, room(three)?], deep: room(&first.deep)? };
    for (start, features) in chunks(teacher, pixels) {
        for (whole, part) in parts(&all).into_iter().zip(parts(&features)) {
            whole.narrow(0, start, part.size()[0]).copy_(part);
        }
    }
    Some(all)
}

/// GiB of a card that may be kept, besides what settings allow: half of what is free. A card that has room never waits
/// for its host.
fn on_card(device: Device) -> f64 {
    card::memory(device).map_or(0.0, |memory| memory.free as f64 / GIB / 2.0)
}

/// Features in a file: all pictures' first scale, then all second, and so on.
struct Mapped {
    map: Mmap,
    /// Per part: where it begins, in bytes, and one picture's shape.
    parts: [(usize, Vec<i64>); 4],
}

impl Mapped {
    fn write(teacher: &Teacher, pixels: &Tensor, first: &Features) -> Result<Mapped> {
        let n = pixels.size()[0] as usize;
        let mut begin = 0;
        let parts_of_file = parts(first).map(|tensor| {
            let part = (begin, tensor.size()[1..].to_vec());
            begin += n * tensor.numel() * 4;
            part
        });
        let folder = files::cache_folder()?.join("features");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let file: File = tempfile::tempfile_in(&folder)
            .with_context(|| format!("making a file in {}", folder.display()))?;
        for (start, features) in chunks(teacher, pixels) {
            for (tensor, (begin, _)) in parts(&features).into_iter().zip(&parts_of_file) {
                let values: Vec<f32> =
                    Vec::try_from(tensor.to_device(tch::Device::Cpu).contiguous().flatten(0, -1))?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
                let row = bytes.len() / tensor.size()[0] as usize;
                file.write_all_at(&bytes, (begin + start as usize * row) as u64)
                    .with_context(|| format!("writing {} GiB in {}", begin >> 30, folder.display()))?;
            }
        }
        // SAFETY: the file has no name, so nobody else can change it.
        let map = unsafe { Mmap::map(&file) }.context("mapping the features")?;
        Ok(Mapped { map, parts: parts_of_file })
    }

    /// The rows of one part, `[rows, ...]`, on the CPU.
    fn gather(&self, part: usize, rows: &[usize]) -> Tensor {
        let (begin, shape) = &self.parts[part];
        let length = shape.iter().product::<i64>() as usize * 4;
        let mut bytes = Vec::with_capacity(rows.len() * length);
        for row in rows {
            let at = begin + row * length;
            bytes.extend_from_slice(&self.map[at..at + length]);
        }
        let shape: Vec<i64> = [rows.len() as i64].into_iter().chain(shape.iter().copied()).collect();
        Tensor::from_data_size(&bytes, &shape, Kind::Float)
    }
}
