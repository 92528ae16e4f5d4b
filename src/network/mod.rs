//! Encoders and decoders as named structs whose parameter names are the published ones.

use anyhow::{Context, Result};
use tch::{Kind, Tensor};

/// The plain and the variational auto-encoder.
pub mod autoencoder;
/// The one-class bottleneck between teacher and student.
pub mod bottleneck;
/// What a CUDA card says of itself.
pub mod card;
/// Switches of libtorch for the whole process.
pub mod context;
/// The mirrored residual decoder (the student).
pub mod decoder;
/// Weights and pictures that two implementations can compute alike.
pub mod formula;
/// Work on a card that is recorded and replayed.
pub mod graph;
/// A residual auto-encoder that can grow from coarse to fine.
pub mod growing;
/// Initial values from named streams.
pub mod initial;
/// Published weights, where they come from and where they are kept.
pub mod known;
/// Convolution and batch norm.
pub mod layer;
/// Memory layout for convolutions.
pub(crate) mod layout;
/// Counted operations and their rate.
pub mod operations;
/// Optimisers whose state can be stored.
pub mod optimiser;
/// Python's pickles as plain data.
mod pickle;
/// How finely networks compute.
pub mod precision;
/// Residual encoders of torchvision.
pub mod resnet;
/// The smallest auto-encoder, for guided latents.
pub mod small;
/// Predicted rotation and scale of features.
pub mod spatial_transformer;
/// The frozen teacher: loaded weights, or a seeded random one.
pub mod teacher;
/// State dictionaries that PyTorch saved.
mod torch_file;
/// The denoising U-Net.
pub mod unet;
/// VGG19 as a measure of likeness.
pub mod vgg;
/// Support weighting.
pub mod weighting;
/// Parameters by name and shape.
pub mod weights;

/// A residual architecture, by torchvision's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Backbone {
    #[serde(rename = "resnet18")]
    Resnet18,
    #[serde(rename = "resnet34")]
    Resnet34,
    #[serde(rename = "resnet50")]
    Resnet50,
    #[serde(rename = "wide_resnet50_2")]
    WideResnet50x2,
}

impl Backbone {
    /// Every architecture.
    pub const ALL: [Backbone; 4] =
        [Backbone::Resnet18, Backbone::Resnet34, Backbone::Resnet50, Backbone::WideResnet50x2];

    /// By torchvision's name.
    pub fn parse(name: &str) -> Result<Backbone> {
        let found = Backbone::ALL.into_iter().find(|backbone| backbone.name() == name);
        found.with_context(|| {
            let known = Backbone::ALL.map(Backbone::name).join(", ");
            format!("unknown backbone `{name}` (known: {known})")
        })
    }

    /// torchvision's name.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::Resnet18 => "resnet18",
            Backbone::Resnet34 => "resnet34",
            Backbone::Resnet50 => "resnet50",
            Backbone::WideResnet50x2 => "wide_resnet50_2",
        }
    }

    /// Blocks per stage.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Backbone::Resnet18 => [2, 2, 2, 2],
            _ => [3, 4, 6, 3],
        }
    }

    /// Output channels of a block over its nominal planes.
    pub fn expansion(self) -> i64 {
        if self.has_bottlenecks() { 4 } else { 1 }
    }

    /// Whether blocks are 1x1, 3x3, 1x1 rather than two 3x3.
    pub fn has_bottlenecks(self) -> bool {
        matches!(self, Backbone::Resnet50 | Backbone::WideResnet50x2)
    }

    /// Channels inside a bottleneck with `planes` nominal planes.
    pub fn width(self, planes: i64) -> i64 {
        if self == Backbone::WideResnet50x2 { 2 * planes } else { planes }
    }

    /// Channels of stages 1 to 4.
    pub fn channels(self) -> [i64; 4] {
        [64, 128, 256, 512].map(|planes| planes * self.expansion())
    }
}

/// A pretrained network that a method may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Resnet(Backbone),
    Vgg19,
}

impl Network {
    /// Every network.
    pub fn all() -> impl Iterator<Item = Network> {
        Backbone::ALL.into_iter().map(Network::Resnet).chain([Network::Vgg19])
    }

    /// torchvision's name.
    pub fn name(self) -> &'static str {
        match self {
            Network::Resnet(backbone) => backbone.name(),
            Network::Vgg19 => "vgg19",
        }
    }
}

/// How pictures of 0 to 255 enter a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// 0 to 1, no more: D2-4FAD and RegAD.
    Unit,
    /// 0 to 1, less ImageNet's mean, over its deviation, per channel: what the weights were trained with.
    ImageNet,
}

/// ImageNet's mean and deviation of red, green and blue, in 0 to 1.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

impl Input {
    /// `[n, 3, h, w]` of 0 to 255 as a network wants it, on the same device.
    pub fn prepare(self, pictures: &Tensor) -> Tensor {
        let unit = pictures.to_kind(Kind::Float) / 255.0;
        match self {
            Input::Unit => unit,
            Input::ImageNet => {
                let [mean, deviation] = IMAGENET
                    .map(|values| Tensor::from_slice(&values).view([1, 3, 1, 1]).to_device(unit.device()));
                (unit - mean) / deviation
            }
        }
    }
}

/// Three feature scales, shallow to deep: `[n, c1, h/4, w/4]`, `[n, c2, h/8, w/8]`, `[n, c3, h/16, w/16]`.
pub type Scales = [Tensor; 3];

/// What an encoder sees in pictures.
pub struct Features {
    /// Stages 1 to 3.
    pub scales: Scales,
    /// Stage 4, `[n, c4, h/32, w/32]`: the decoder's input.
    pub deep: Tensor,
}
