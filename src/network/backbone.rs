//! The encoders with stages that methods can choose from, by name.

use anyhow::{Result, bail};

use super::vit::Transformer;
use crate::names;

/// An encoder: a residual network by torchvision's name, or EfficientNet-Lite0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Backbone {
    /// ResNet-18, of basic blocks.
    Resnet18,
    /// ResNet-34, of basic blocks.
    Resnet34,
    /// ResNet-50, of bottleneck blocks.
    Resnet50,
    /// ResNet-50 with twice the width inside its blocks.
    WideResnet50x2,
    /// EfficientNet-Lite0, without squeeze-and-excitation.
    EfficientNetLite0,
}

impl Backbone {
    /// Every architecture.
    pub const ALL: [Backbone; 5] = [
        Backbone::Resnet18,
        Backbone::Resnet34,
        Backbone::Resnet50,
        Backbone::WideResnet50x2,
        Backbone::EfficientNetLite0,
    ];

    /// By the name that [`Backbone::name`] gives.
    ///
    /// # Errors
    /// Lists the known ones; says of a transformer that it is none.
    pub fn parse(name: &str) -> Result<Backbone> {
        if Transformer::parse(name).is_ok() {
            let known = Backbone::ALL.map(Backbone::name).join(", ");
            bail!(
                "{name} is a transformer: its features have no stages of halved sides, which are needed here; choose one of \
                 {known}"
            );
        }
        let found = Backbone::ALL.into_iter().find(|backbone| backbone.name() == name);
        found.ok_or_else(|| names::unknown("backbone", name, Backbone::ALL.map(Backbone::name)))
    }

    /// torchvision's name; EfficientNet-Lite0, which torchvision has not, is called as in timm.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::Resnet18 => "resnet18",
            Backbone::Resnet34 => "resnet34",
            Backbone::Resnet50 => "resnet50",
            Backbone::WideResnet50x2 => "wide_resnet50_2",
            Backbone::EfficientNetLite0 => "efficientnet_lite0",
        }
    }

    /// Channels of the features at a quarter, an eighth, a sixteenth and a thirty-second of the side: of a residual
    /// network, stages 1 to 4.
    pub fn channels(self) -> [i64; 4] {
        match self {
            Backbone::Resnet18 | Backbone::Resnet34 => [64, 128, 256, 512],
            Backbone::Resnet50 | Backbone::WideResnet50x2 => [256, 512, 1024, 2048],
            Backbone::EfficientNetLite0 => [24, 40, 112, 320],
        }
    }

    /// Residual blocks per stage, of the network itself and of what mirrors it. EfficientNet-Lite0 has none of its own;
    /// what mirrors it has those of resnet18.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Backbone::Resnet18 | Backbone::EfficientNetLite0 => [2, 2, 2, 2],
            _ => [3, 4, 6, 3],
        }
    }

    /// Whether residual blocks are 1x1, 3x3, 1x1 rather than two 3x3.
    pub fn has_bottlenecks(self) -> bool {
        matches!(self, Backbone::Resnet50 | Backbone::WideResnet50x2)
    }

    /// Channels inside a residual block that gives `c_out`.
    pub fn width(self, c_out: i64) -> i64 {
        match self {
            Backbone::Resnet50 => c_out / 4,
            Backbone::WideResnet50x2 => c_out / 2,
            _ => c_out,
        }
    }
}

impl TryFrom<String> for Backbone {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Backbone> {
        Backbone::parse(&name)
    }
}

impl From<Backbone> for String {
    fn from(backbone: Backbone) -> String {
        backbone.name().to_owned()
    }
}
