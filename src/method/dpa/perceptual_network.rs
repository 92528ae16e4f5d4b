//! The pretrained network by whose features pictures are compared: VGG19 as published, or EfficientNet-Lite0, which is
//! an extension of ours.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::method::contract::Context;
use crate::method::work;
use crate::network::teacher::Teacher;
use crate::network::vgg::{Layer, Vgg};
use crate::network::{Backbone, Input, Network};

/// Which network it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PerceptualNetwork {
    /// As published: the second ReLU of block 3 or 4.
    #[serde(rename = "vgg19")]
    Vgg19,
    /// Stages 1 or 2, of the same sides.
    #[serde(rename = "efficientnet_lite0")]
    EfficientNetLite0,
}

impl PerceptualNetwork {
    /// What it is compared by instead of what was published.
    pub(super) fn extension(self) -> Option<&'static str> {
        (self != PerceptualNetwork::Vgg19).then_some("whose features it compares instead of VGG19's")
    }

    /// The pretrained network behind it.
    pub fn network(self) -> Network {
        match self {
            PerceptualNetwork::Vgg19 => Network::Vgg19,
            PerceptualNetwork::EfficientNetLite0 => Network::Backbone(Backbone::EfficientNetLite0),
        }
    }

    /// Floating-point operations of one picture of `side` x `side` pixels up to `layer`.
    pub(super) fn operations(self, layer: Layer, side: i64) -> f64 {
        match self {
            PerceptualNetwork::Vgg19 => layer.operations(side),
            PerceptualNetwork::EfficientNetLite0 => {
                work::stages(Backbone::EfficientNetLite0, side, stage(layer) + 1)
            }
        }
    }

    /// The network with the weights that `context` has for it.
    ///
    /// # Errors
    /// Weights that cannot be read or do not fit.
    pub(super) fn open(self, context: &Context) -> Result<Box<dyn Perception>> {
        let (origin, calibration) = (context.teachers.of(self.network())?, context.calibration.as_deref());
        Ok(match self {
            PerceptualNetwork::Vgg19 => Box::new(Vgg::new(origin, calibration, context.device)?),
            PerceptualNetwork::EfficientNetLite0 => {
                let backbone = Backbone::EfficientNetLite0;
                Box::new(Teacher::new(backbone, Input::ImageNet, origin, calibration, context.device)?)
            }
        })
    }
}

/// A network as a measure of likeness.
pub trait Perception {
    /// Features of pictures `[n, 3, h, w]` of -1 to 1: `[n, c, h / 4, w / 4]` at [`Layer::R32`], `[n, c, h / 8, w / 8]` at
    /// [`Layer::R42`]. Gradients pass through to the pictures.
    fn features(&self, pictures: &Tensor, layer: Layer) -> Tensor;
}

impl Perception for Vgg {
    fn features(&self, pictures: &Tensor, layer: Layer) -> Tensor {
        let prepared = Input::ImageNet.prepare(Network::Vgg19, &to_bytes(pictures));
        Vgg::features(self, &prepared, layer)
    }
}

impl Perception for Teacher {
    fn features(&self, pictures: &Tensor, layer: Layer) -> Tensor {
        self.stage_with_gradient(&to_bytes(pictures), stage(layer))
    }
}

/// The stage of a backbone whose features have the side of a layer of VGG19, counted from 0.
fn stage(layer: Layer) -> usize {
    match layer {
        Layer::R32 => 0,
        Layer::R42 => 1,
    }
}

/// -1 to 1 as 0 to 255.
fn to_bytes(pictures: &Tensor) -> Tensor {
    (pictures + 1.0) * 127.5
}
