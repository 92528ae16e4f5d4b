//! Every number of a cell by its name in files.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::words::word;

/// What is measured. `image-…` is of image scores, `image-preset-…` of a threshold that the supports set, and
/// `pixel-…` of smoothed maps against masks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Metric {
    ImageAuroc,
    ImageAp,
    #[strum(serialize = "image-f1-max")]
    ImageF1Max,
    #[strum(serialize = "image-f1-max-threshold")]
    ImageF1MaxThreshold,
    #[strum(serialize = "image-fpr95")]
    ImageFpr95,
    #[strum(serialize = "image-sens-at-spec-90")]
    ImageSensAtSpec90,
    #[strum(serialize = "image-sens-at-spec-95")]
    ImageSensAtSpec95,
    #[strum(serialize = "image-pauroc-10")]
    ImagePauroc10,
    ImagePresetThreshold,
    ImagePresetBalancedAccuracy,
    ImagePresetMcc,
    ImagePresetSensitivity,
    ImagePresetFpr,
    ImagePresetPromisedFpr,
    PixelPointing,
    PixelEnergy,
    PixelAuroc,
    PixelAp,
    #[strum(serialize = "pixel-aupro-30")]
    PixelAupro30,
    #[strum(serialize = "pixel-aupro-5")]
    PixelAupro5,
    PixelAupimo,
    PixelDiceMax,
    PixelDiceMaxThreshold,
    PixelPresetDice,
}

word!(Metric, "metric");

/// What a metric is read off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Image scores and labels.
    Image,
    /// A threshold that the supports set, and what it does to image scores.
    Preset,
    /// Maps and masks.
    Pixel,
}

impl Metric {
    /// The one that ranks.
    pub const RANKED: Metric = Metric::ImageAuroc;

    /// What it is read off.
    pub fn group(self) -> Group {
        match self.name() {
            name if name.starts_with("image-preset-") => Group::Preset,
            name if name.starts_with("pixel-") => Group::Pixel,
            _ => Group::Image,
        }
    }

    /// Whether it is a threshold, of which a mean over tasks would say nothing.
    pub fn is_threshold(self) -> bool {
        self.name().ends_with("-threshold")
    }

    /// Its name in a table of its group.
    pub fn short_name(self) -> &'static str {
        let name = self.name().trim_start_matches("image-").trim_start_matches("pixel-");
        name.trim_start_matches("preset-")
    }
}
