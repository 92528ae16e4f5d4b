//! Teacher features of training pictures: kept in memory, or computed again where they would fill it.

use tch::Tensor;

use crate::network::teacher::Teacher;
use crate::network::{Features, Scales};

/// Features of a set of pictures by index.
pub struct FeatureStore<'a> {
    teacher: &'a Teacher,
    /// `[n, 3, h, w]` of 0 to 255, on the device.
    pixels: Tensor,
    kept: Option<Features>,
}

impl FeatureStore<'_> {
    /// Computes the features of `pixels` `[n, 3, h, w]` if all fit in `memory_gib`.
    pub fn new(teacher: &Teacher, pixels: Tensor, memory_gib: f64) -> FeatureStore<'_> {
        let n = pixels.size()[0];
        let first = teacher.features(&pixels.narrow(0, 0, 1));
        let tensors = first.scales.iter().chain([&first.deep]);
        let bytes: f64 = tensors.map(|tensor| tensor.numel() as f64 * 4.0 * n as f64).sum();
        let mut store = FeatureStore { teacher, pixels, kept: None };
        if bytes <= memory_gib * f64::from(1u32 << 30) {
            let chunks = (0..n)
                .step_by(32)
                .map(|start| teacher.features(&store.pixels.narrow(0, start, (n - start).min(32))));
            store.kept = Some(join(chunks.collect()));
        }
        store
    }

    pub fn len(&self) -> usize {
        self.pixels.size()[0] as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All features of the pictures at `index`, on the device.
    pub fn at(&self, index: &Tensor) -> Features {
        match &self.kept {
            Some(Features { scales, deep }) => {
                let scales = scales.each_ref().map(|scale| scale.index_select(0, index));
                Features { scales, deep: deep.index_select(0, index) }
            }
            None => self.teacher.features(&self.pixels.index_select(0, index)),
        }
    }

    /// Stage 4 alone of the pictures at `index`, on the device.
    pub fn deep_at(&self, index: &Tensor) -> Tensor {
        match &self.kept {
            Some(features) => features.deep.index_select(0, index),
            None => self.teacher.features(&self.pixels.index_select(0, index)).deep,
        }
    }
}

fn join(chunks: Vec<Features>) -> Features {
    let cat =
        |part: &dyn Fn(&Features) -> Tensor| Tensor::cat(&chunks.iter().map(part).collect::<Vec<_>>(), 0);
    let scales: Scales = [0, 1, 2].map(|scale| cat(&|chunk| chunk.scales[scale].shallow_clone()));
    Features { scales, deep: cat(&|chunk| chunk.deep.shallow_clone()) }
}
