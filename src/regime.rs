//! Data regimes: what a method sees beside the picture that it scores.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::words::word;

/// What the harness hands to a method beside the picture that it scores; no more than this, so the regime in a table
/// is what was handed over, not what was claimed.
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
    /// The supports, and as many anomalies of the target, of its validation split.
    #[strum(serialize = "R4")]
    TargetAnomalies,
    /// All train normals of the target task; not few-shot.
    #[strum(serialize = "R5")]
    TargetNormals,
    /// The same, and the target's validation pictures, normal and anomalous, without labels.
    #[strum(serialize = "R6")]
    UnlabelledPool,
    /// All train normals of the target task, and its test pictures without labels: transductive.
    #[strum(serialize = "R6T")]
    UnlabelledTest,
}

word!(Regime, "regime");

impl Regime {
    /// Whether a method learns from tasks other than the target.
    pub fn learns_from_others(self) -> bool {
        matches!(self, Regime::OtherNormals | Regime::OtherAnomalies)
    }

    /// Whether a method sees all train normals of the target, so that supports add nothing.
    pub fn sees_whole_target(self) -> bool {
        matches!(self, Regime::TargetNormals | Regime::UnlabelledPool | Regime::UnlabelledTest)
    }

    /// Why rows of this regime have no rank among the others; `None` where they have one.
    pub fn unranked_because(self) -> Option<&'static str> {
        match self {
            Regime::TargetAnomalies => Some("is given anomalies of the target"),
            Regime::UnlabelledPool => Some("uses an unlabelled target pool"),
            Regime::UnlabelledTest => {
                Some("uses the test pictures as an unlabelled target pool: transductive")
            }
            _ => None,
        }
    }
}
