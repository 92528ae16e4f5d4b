//! Encoders and decoders as named structs whose parameter names are the published ones.

use anyhow::Result;
use tch::{Kind, Tensor};

use crate::names;

/// The plain and the variational auto-encoder.
pub mod autoencoder;
/// The encoders that methods can choose from.
mod backbone;
/// The one-class bottleneck between teacher and student.
pub mod bottleneck;
/// What a CUDA card says of itself.
pub mod card;
/// Switches of libtorch for the whole process.
pub mod context;
/// The mirrored residual decoder (the student).
pub mod decoder;
/// EfficientNet-Lite0.
pub mod efficientnet;
/// The encoder of any backbone.
pub mod encoder;
/// The networks whose features methods can compare.
mod extractor;
/// Features that methods, epochs and processes share.
pub mod feature_folder;
/// Weights and pictures that two implementations can compute alike.
pub mod formula;
/// CLIP's towers as methods use them.
pub mod frozen_clip;
/// Work on a card that is recorded and replayed.
pub mod graph;
/// A residual auto-encoder that can grow from coarse to fine.
pub mod growing_autoencoder;
/// Initial values from named streams.
pub mod initial;
/// Weights brought into the folder of installed ones.
pub mod install;
/// Which of libtorch's kernels compute convolutions.
pub mod kernels;
/// Convolution and batch norm.
pub mod layer;
/// Memory layout for convolutions.
pub(crate) mod layout;
/// Operations of whole networks, counted.
pub mod operations;
/// Optimisers whose state can be stored.
pub mod optimiser;
/// Where weights come from: a file, or a seed.
pub mod origin;
/// Python's pickles as plain data.
mod pickle;
/// How finely networks compute.
pub mod precision;
/// Published weights, where they come from and where they are kept.
pub mod published;
/// Operations a device does in a second.
pub mod rate;
/// A teacher that keeps what it made of pictures.
pub mod remembering;
/// Residual encoders of torchvision.
pub mod resnet;
/// What a method asks of a frozen teacher.
mod sight;
/// The smallest auto-encoder, for guided latents.
pub mod small_autoencoder;
/// Predicted rotation and scale of features.
pub mod spatial_transformer;
/// A random network in the place of a pretrained one.
mod stand_in;
/// The smallest numbers, which cost the most time.
pub mod subnormals;
/// Bags of instances under two branches of attention.
pub mod supervised_attention;
/// The frozen teacher: loaded weights, or a seeded random one.
pub mod teacher;
/// State dictionaries that PyTorch saved.
mod torch_file;
/// What a file says of its training on source tasks.
pub mod tuned;
/// The denoising U-Net.
pub mod unet;
/// VGG19 as a measure of likeness.
pub mod vgg;
/// Vision transformers.
pub mod vit;
/// Support weighting.
pub mod weighting;
/// Parameters by name and shape.
pub mod weights;

pub use backbone::Backbone;
pub use extractor::Extractor;
pub use sight::Sight;
use vit::Transformer;
use vit::clip::Clip;

/// A pretrained network that a method may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// An encoder with stages.
    Backbone(Backbone),
    /// VGG19.
    Vgg19,
    /// A vision transformer.
    Transformer(Transformer),
    /// A tower for pictures and one for texts.
    Clip(Clip),
}

impl Network {
    /// Every network.
    pub fn all() -> impl Iterator<Item = Network> {
        let others = Transformer::ALL.into_iter().map(Network::Transformer);
        let others = others.chain(Clip::ALL.into_iter().map(Network::Clip));
        Backbone::ALL.into_iter().map(Network::Backbone).chain([Network::Vgg19]).chain(others)
    }

    /// The network of that name.
    ///
    /// # Errors
    /// Lists the known ones.
    pub fn named(name: &str) -> Result<Network> {
        let found = Network::all().find(|network| network.name() == name);
        found.ok_or_else(|| names::unknown("network", name, Network::all().map(Network::name)))
    }

    /// torchvision's name; of EfficientNet-Lite0, timm's; of DINOv2, Facebook's; of CLIP, [`Clip::name`].
    pub fn name(self) -> &'static str {
        match self {
            Network::Backbone(backbone) => backbone.name(),
            Network::Vgg19 => "vgg19",
            Network::Transformer(transformer) => transformer.name(),
            Network::Clip(clip) => clip.name(),
        }
    }
}

impl From<Extractor> for Network {
    fn from(extractor: Extractor) -> Network {
        match extractor {
            Extractor::Pyramid(backbone) => Network::Backbone(backbone),
            Extractor::Transformer(transformer) => Network::Transformer(transformer),
        }
    }
}

/// How pictures of 0 to 255 enter a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// 0 to 1, no more: D2-4FAD and RegAD.
    Unit,
    /// As the network's weights were trained on ImageNet: 0 to 1, less ImageNet's mean, over its deviation, per channel;
    /// for EfficientNet-Lite0, less 127, over 128; for CLIP, by the mean and deviation of its own pictures.
    ImageNet,
}

/// ImageNet's mean and deviation of red, green and blue, in 0 to 1.
pub(crate) const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// The same of the pictures that CLIP was trained on.
const CLIP: [[f32; 3]; 2] =
    [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]];

impl Input {
    /// `[n, 3, h, w]` of 0 to 255 as `network` wants it, on the same device.
    pub fn prepare(self, network: Network, pictures: &Tensor) -> Tensor {
        let floating = pictures.to_kind(Kind::Float);
        match (self, network) {
            (Input::Unit, _) => floating / 255.0,
            (Input::ImageNet, Network::Backbone(Backbone::EfficientNetLite0)) => (floating - 127.0) / 128.0,
            (Input::ImageNet, Network::Clip(_)) => standardised(&(floating / 255.0), CLIP),
            (Input::ImageNet, Network::Backbone(_) | Network::Vgg19 | Network::Transformer(_)) => {
                standardised(&(floating / 255.0), IMAGENET)
            }
        }
    }
}

/// Less the mean, over the deviation, per channel.
fn standardised(unit: &Tensor, statistics: [[f32; 3]; 2]) -> Tensor {
    let [mean, deviation] =
        statistics.map(|values| Tensor::from_slice(&values).view([1, 3, 1, 1]).to_device(unit.device()));
    (unit - mean) / deviation
}

/// Three feature scales, shallow to deep: of a pyramid `[n, c1, h/4, w/4]`, `[n, c2, h/8, w/8]`, `[n, c3, h/16, w/16]`.
pub type Scales = [Tensor; 3];

/// What an encoder sees in pictures; channels and sides are [`Extractor::channels`] and [`Extractor::strides`].
pub struct Features {
    /// Stages 1 to 3 of a pyramid; of a transformer as [`vit::Shallow`] says.
    pub scales: Scales,
    /// Stage 4 of a pyramid, `[n, c4, h/32, w/32]`: the decoder's input. A transformer's as [`vit::Deep`] says.
    pub deep: Tensor,
}

impl Features {
    /// Scales, then stage 4.
    pub(crate) fn parts(&self) -> [&Tensor; 4] {
        let [first, second, third] = &self.scales;
        [first, second, third, &self.deep]
    }
}
