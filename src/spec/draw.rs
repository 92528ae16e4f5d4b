//! Rules of a task's draw: whose division binds us, what patients may do, which slices count.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Whether the owner's own division into train and test binds us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerSplit {
    /// Pool everything and draw our own sides.
    #[default]
    Pool,
    /// Train pictures come from the owner's train part, test pictures from the rest; patients and copies that
    /// stand on both sides do not train.
    Respect,
    /// The owner's division to the letter, for published splits: also where a patient or a copy stands on both
    /// sides. Whoever builds it is told how many do, and `audit` names them.
    Exact,
}

/// What the owner's validation part becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerValidation {
    /// Part of the test pictures.
    #[default]
    Test,
    /// A split of its own, with all its pictures.
    Val,
}

/// Whether patients with anomalous pictures may give normal ones to training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnomalousPatients {
    /// They test only.
    #[default]
    TestOnly,
    /// They may train; their anomalous pictures are then left out. For volumes of which only some slices are
    /// anomalous.
    MayTrain,
}

/// A published division: the normal pictures in the owner's order, shuffled as CPython does after
/// `random.seed(seed)`; the first `train` of them train, the rest and all anomalous ones test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shuffle {
    /// What CPython's generator is seeded with.
    pub seed: u32,
    /// Number of normal pictures that train.
    pub train: usize,
}

/// Which slices of a volume, or frames of a file, are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slices {
    /// First slice, counted from 0 at the low end of the axis.
    #[serde(default)]
    pub from: u32,
    /// Last slice, itself among them; the last of the file when not given.
    #[serde(default)]
    pub to: Option<u32>,
    /// Distance between slices.
    #[serde(default = "one")]
    pub stride: u32,
}

fn one() -> u32 {
    1
}

impl Slices {
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.stride > 0, "slices.stride must be at least 1");
        ensure!(
            self.to.is_none_or(|to| to >= self.from),
            "slices.to lies before slices.from, so no slice is left"
        );
        Ok(())
    }

    /// The slices chosen among `count`.
    pub fn of(&self, count: u32) -> impl Iterator<Item = u32> + use<> {
        let end = self.to.map_or(count, |to| to.saturating_add(1).min(count));
        (self.from..end).step_by(self.stride as usize)
    }
}
