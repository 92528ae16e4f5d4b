//! Which normals of the target a method learns from.

use serde::{Deserialize, Serialize};

/// One setting that decides between regimes R1 and R5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainOn {
    /// The supports of the episode (regime R1). Training happens once per support set, and the last epoch is
    /// the one that counts under every protocol.
    #[default]
    Supports,
    /// All train normals of the target (regime R5). Supports are not used, so scores are alike for all shots.
    Normals,
}
