//! CLIP's tower for pictures as every setting of MVFA reads it.

use std::f64::consts::PI;
use std::rc::Rc;

use anyhow::Result;
use tch::Tensor;

use super::Settings;
use super::model::{Adapters, layers, stem};
use super::scoring::remembered;
use crate::episode::batch;
use crate::method::contract::Context;
use crate::method::part::clip;
use crate::method::part::normals::CHUNK;
use crate::method::views::{shifted, turned};
use crate::network::frozen_clip::FrozenClip;
use crate::network::precision::Precision;
use crate::network::vit::reading::{self, Filter};
use crate::network::{Input, Network};

/// Views that [`views`] makes of a picture.
pub const VIEWS: usize = 11;

/// Pictures `[n, 3, side, side]`, view after view: as they are, turned by 1 and 2 sixteenths of pi either way, shifted by a
/// twentieth of the side along both diagonals, and mirrored either way. What a turn or shift brings in from outside is
/// reflected.
pub fn views(pictures: &Tensor) -> Tensor {
    let mut views = vec![pictures.shallow_clone()];
    views.extend([-PI / 8.0, -PI / 16.0, PI / 16.0, PI / 8.0].map(|angle| turned(pictures, angle)));
    let shifts = [[0.1, 0.1], [-0.1, 0.1], [-0.1, -0.1], [0.1, -0.1]];
    views.extend(shifts.map(|shift| shifted(pictures, shift)));
    views.extend([3, 2].map(|dimension| pictures.flip([dimension])));
    Tensor::cat(&views, 0)
}

/// The tower, and how pictures enter.
pub(super) struct Reader {
    pub network: Rc<FrozenClip>,
    layers: Vec<usize>,
    settings: Settings,
    precision: Precision,
}

impl Reader {
    pub(super) fn new(settings: &Settings, context: &Context) -> Result<Reader> {
        let network = clip::open_with(settings.clip, settings.activation, context)?;
        let layers = layers(network.plan().image.depth);
        Ok(Reader { network, layers, settings: settings.clone(), precision: context.precision })
    }

    /// The side at which pictures enter.
    pub(super) fn side(&self) -> i64 {
        self.settings.side
    }

    /// Fresh ones; those for pixels stay as they are.
    pub(super) fn fresh_adapters(&self, seed: u64) -> Adapters {
        let mut adapters = Adapters::new(self.network.plan(), &self.layers, seed, self.network.device());
        adapters.seg.freeze();
        adapters
    }

    /// Pictures `[n, 3, h, w]` of 0 to 255 as squares of 0 to 1 on the device, without CLIP's mean and deviation.
    pub(super) fn squares(&self, pictures: &Tensor) -> Tensor {
        let squares = reading::squares(pictures, self.side(), Filter::Bicubic);
        let squares = batch::to(&squares, self.network.device());
        Input::Unit.prepare(Network::Clip(self.settings.clip), &squares)
    }

    /// Tokens of squares before the first adapters.
    pub(super) fn stem(&self, squares: &Tensor) -> Tensor {
        let part = |part: &Tensor| stem(&self.network.towers.image, part, self.layers[0], self.precision);
        Tensor::cat(&squares.split(CHUNK, 0).iter().map(part).collect::<Vec<_>>(), 0)
    }

    /// What adapters for whole pictures make of such tokens; gradients follow it.
    pub(super) fn det(&self, adapters: &Adapters, stem: &Tensor) -> Vec<Tensor> {
        adapters.middles(&self.network.towers.image, stem, self.precision)
    }

    /// The same of many tokens, without gradients.
    pub(super) fn det_of_all(&self, adapters: &Adapters, stem: &Tensor) -> Vec<Tensor> {
        let parts: Vec<Vec<Tensor>> =
            tch::no_grad(|| stem.split(CHUNK, 0).iter().map(|part| self.det(adapters, part)).collect());
        let of_layer =
            |layer: usize| Tensor::cat(&parts.iter().map(|part| &part[layer]).collect::<Vec<_>>(), 0);
        (0..self.layers.len()).map(of_layer).collect()
    }

    /// What is remembered of normals, whose tokens these are.
    pub(super) fn memory(&self, adapters: &Adapters, stem: &Tensor) -> Vec<Tensor> {
        remembered(&self.det_of_all(adapters, stem))
    }
}
