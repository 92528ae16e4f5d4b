//! Whether a pretrained network may have seen a task's pictures before.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::words::word;

/// Whether pictures of a task may be among those that a network's weights were trained on. No weights that are known here
/// were trained on pictures of a task.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, IntoStaticStr, VariantArray,
)]
pub enum Seen {
    /// The weights are random, or none of the known training data hold such pictures.
    #[strum(serialize = "not seen")]
    NotSeen,
    /// Nobody said what the weights were trained on, or a task may hold any pictures.
    #[strum(serialize = "unknown")]
    Unknown,
}

word!(Seen, "answer to `seen before`");
