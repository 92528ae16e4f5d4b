//! Data regimes: what a method sees beside the picture that it scores.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::words::word;

/// What the harness hands to a method beside the picture that it scores; no more than this, so the regime in a table
/// is what was handed over, not what was claimed. R4 and R6 give anomalies of the
/// target, which this harness never does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Regime {
    /// Nothing beside the picture.
    #[strum(serialize = "R0")]
    Nothing,
    /// The supports alone.
    #[strum(serialize = "R1")]
    Supports,
    /// The supports, and the train normals of other tasks.
    #[strum(serialize = "R2")]
    OtherNormals,
    /// The supports, and the train normals and all anomalies of other tasks.
    #[strum(serialize = "R3")]
    OtherAnomalies,
    /// All train normals of the target task; not few-shot.
    #[strum(serialize = "R5")]
    TargetNormals,
}

word!(Regime, "regime");

impl Regime {
    /// Whether a method learns from tasks other than the target.
    pub fn learns_from_others(self) -> bool {
        matches!(self, Regime::OtherNormals | Regime::OtherAnomalies)
    }
}
