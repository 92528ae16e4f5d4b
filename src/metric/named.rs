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
    /// Area under the ROC curve of image scores; ties count one half.
    ImageAuroc,
    /// Average precision of image scores, without interpolation.
    ImageAp,
    /// The highest F1 over all thresholds: chosen with the labels, so an upper bound.
    #[strum(serialize = "image-f1-max")]
    ImageF1Max,
    /// The highest threshold that gives the highest F1.
    #[strum(serialize = "image-f1-max-threshold")]
    ImageF1MaxThreshold,
    /// The smallest false positive rate at a sensitivity of at least 95 %.
    #[strum(serialize = "image-fpr95")]
    ImageFpr95,
    /// The highest sensitivity at a specificity of at least 90 %.
    #[strum(serialize = "image-sens-at-spec-90")]
    ImageSensAtSpec90,
    /// The highest sensitivity at a specificity of at least 95 %.
    #[strum(serialize = "image-sens-at-spec-95")]
    ImageSensAtSpec95,
    /// Area under the ROC curve up to a false positive rate of 0.1, over 0.1.
    #[strum(serialize = "image-pauroc-10")]
    ImagePauroc10,
    /// The highest score of a support under the others; a higher score is called anomalous.
    ImagePresetThreshold,
    /// Mean of sensitivity and specificity at the preset threshold.
    ImagePresetBalancedAccuracy,
    /// Matthews correlation coefficient at the preset threshold.
    ImagePresetMcc,
    /// Share of anomalous pictures above the preset threshold.
    ImagePresetSensitivity,
    /// Share of normal pictures above the preset threshold.
    ImagePresetFpr,
    /// The false positive rate that the preset threshold promises: `1 / (supports + 1)`.
    ImagePresetPromisedFpr,
    /// Share of pictures with a mask whose map peaks inside it or at most 15 pixels from it.
    PixelPointing,
    /// Mean share of a map's positive values that lies in the mask.
    PixelEnergy,
    /// Area under the ROC curve of all pixels together.
    PixelAuroc,
    /// Average precision of all pixels together, without interpolation.
    PixelAp,
    /// Area under the per-region overlap up to a false positive rate of 0.3, over 0.3.
    #[strum(serialize = "pixel-aupro-30")]
    PixelAupro30,
    /// Area under the per-region overlap up to a false positive rate of 0.05, over 0.05.
    #[strum(serialize = "pixel-aupro-5")]
    PixelAupro5,
    /// Mean over pictures of the area under the per-image overlap at very low false positive rates.
    PixelAupimo,
    /// Distinct false positive rates that AUPIMO rests on; below 300 it is coarse.
    PixelAupimoPoints,
    /// The highest Dice of all pixels together: chosen with the masks, so an upper bound.
    PixelDiceMax,
    /// The threshold that gives the highest Dice.
    PixelDiceMaxThreshold,
    /// Dice of all pixels together above the preset threshold.
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

    /// Whether it says how another one came about, as thresholds and numbers of points do: a mean over tasks would say
    /// nothing.
    pub fn is_detail(self) -> bool {
        ["-threshold", "-points"].iter().any(|end| self.name().ends_with(end))
    }

    /// Its name in a table of its group.
    pub fn short_name(self) -> &'static str {
        let name = self.name().trim_start_matches("image-").trim_start_matches("pixel-");
        name.trim_start_matches("preset-")
    }
}
