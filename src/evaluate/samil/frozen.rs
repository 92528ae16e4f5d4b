//! What a frozen network and a threshold make of slices, in several versions of each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::settings::Settings;
use crate::episode::batch::Pictures;
use crate::evaluate::workers::on_workers;
use crate::ids::ImageId;
use crate::manifest::Row;
use crate::manifest::store::PixelStore;
use crate::network::teacher::Teacher;
use crate::progress;
use crate::random::Stream;

/// Slices that go through the network at once; fixed, as the last bits of a number may depend on it.
const BATCH: usize = 16;
/// Share of the side by which a version may move, as published.
const MOVED: f64 = 0.125;

/// Of one slice.
pub(super) struct Slice {
    /// By version, the slice as it is before others; each the mean over positions of the deepest stage.
    pub versions: Vec<Vec<f32>>,
    /// Share of pixels above the background.
    pub tissue: f32,
}

/// Of all slices, by id.
pub(super) struct Frozen(HashMap<ImageId, Slice>);

impl Frozen {
    /// Of the slices of one task that are needed, each computed on a single thread, whatever the number of workers. `all` are
    /// the slices of its studies in the manifest's order: batches are of these, so that which training is to do first, or
    /// done already, moves no bit. `open` opens the frozen network, once for each worker.
    ///
    /// # Errors
    /// A network that cannot be opened or pictures that cannot be read.
    pub(super) fn add(
        &mut self,
        store: &PixelStore,
        (all, needed): (&[&Row], &HashSet<&str>),
        open: &(dyn Fn() -> Result<Teacher> + Sync),
        settings: &Settings,
        (seed, workers): (u64, usize),
    ) -> Result<()> {
        let is_needed = |batch: &&[&Row]| batch.iter().any(|row| needed.contains(row.image_id.as_str()));
        let batches: Vec<&[&Row]> = all.chunks(BATCH).filter(is_needed).collect();
        let n_slices = batches.iter().map(|batch| batch.len()).sum();
        let next = AtomicUsize::new(0);
        let bar = progress::bar(n_slices, &format!("{}: features of slices", all[0].task));
        let work = || -> Result<Vec<(ImageId, Slice)>> {
            tch::set_num_threads(1);
            let teacher = open()?;
            let mut found = Vec::new();
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(of_batch(&teacher, store, batch, settings, seed)?);
                bar.inc(batch.len() as u64);
            }
            Ok(found)
        };
        let parts = on_workers(workers.min(batches.len()), &work)?;
        bar.finish_and_clear();
        self.0.extend(parts.into_iter().flatten());
        Ok(())
    }

    pub(super) fn new() -> Frozen {
        Frozen(HashMap::new())
    }

    pub(super) fn of(&self, id: &ImageId) -> &Slice {
        &self.0[id]
    }
}

fn of_batch(
    teacher: &Teacher,
    store: &PixelStore,
    rows: &[&Row],
    settings: &Settings,
    seed: u64,
) -> Result<Vec<(ImageId, Slice)>> {
    let pixels = Pictures::load(store, rows)?.pixels;
    let mut versions = vec![vectors(teacher, &pixels)?];
    for version in 1..=settings.versions {
        let moved = |(index, row): (usize, &&Row)| {
            let mut stream = Stream::new(seed, &format!("samil version {}", row.image_id), version as u64);
            moved(&pixels.get(index as i64), &mut stream)
        };
        let moved: Vec<Tensor> = rows.iter().enumerate().map(moved).collect();
        versions.push(vectors(teacher, &Tensor::stack(&moved, 0))?);
    }
    let grey = pixels.to_kind(Kind::Float).mean_dim(1, false, None::<Kind>);
    let tissue = grey.gt(f64::from(settings.background)).to_kind(Kind::Float);
    let tissue: Vec<f32> = Vec::try_from(tissue.mean_dim([1i64, 2].as_slice(), false, None::<Kind>))?;
    let slice = |(index, row): (usize, &&Row)| {
        let versions = versions.iter().map(|version| version[index].clone()).collect();
        (row.image_id.clone(), Slice { versions, tissue: tissue[index] })
    };
    Ok(rows.iter().enumerate().map(slice).collect())
}

/// The mean over positions of the deepest stage, of pictures `[n, 3, h, w]`.
fn vectors(teacher: &Teacher, pixels: &Tensor) -> Result<Vec<Vec<f32>>> {
    let deep = teacher.features(pixels).deep.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
    let length = deep.size()[1] as usize;
    let values: Vec<f32> = Vec::try_from(deep.flatten(0, -1).to_device(Device::Cpu))?;
    Ok(values.chunks_exact(length).map(<[f32]>::to_vec).collect())
}

/// A picture `[3, h, w]` mirrored or not, and moved: its edges are mirrored outwards and a piece of its own size is cut.
fn moved(picture: &Tensor, stream: &mut Stream) -> Tensor {
    let (_, height, width) = picture.size3().expect("a picture has three dimensions");
    let picture =
        if stream.below(2) == 0 { picture.flip([2i64].as_slice()) } else { picture.shallow_clone() };
    let by = (MOVED * height.min(width) as f64) as i64;
    let padded = picture.to_kind(Kind::Float).unsqueeze(0).reflection_pad2d([by; 4].as_slice());
    let [down, right] = [(); 2].map(|()| stream.below(2 * by as usize + 1) as i64);
    padded.narrow(2, down, height).narrow(3, right, width).squeeze_dim(0).to_kind(Kind::Uint8)
}
