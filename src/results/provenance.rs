//! How a cell came about.

use serde::{Deserialize, Serialize};

use super::Seen;
use crate::regime::Regime;
use crate::table::record;

record! {
/// What a reader needs to judge and repeat a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The definition's name.
    pub bench: String,
    /// Data regime: what the method was given.
    pub regime: Regime,
    /// Spec of the curated benchmark.
    pub spec: String,
    /// Version of that spec.
    pub spec_version: u32,
    /// Title of the curated benchmark.
    pub spec_title: String,
    /// `resnet18` and so on; empty for methods without a network.
    pub backbone: String,
    /// What the weights are, in words: file and hash, or the random teacher's seed.
    pub weights: String,
    /// How its settings make it another method than the published one; null where they do not, and in old cells.
    pub extension: Option<String>,
    /// True if no trained weights were given: such numbers say nothing about the published method.
    pub random_weights: bool,
    /// What the weights were trained on; null where nobody says, and for methods without a network.
    pub weights_trained_on: Option<String>,
    /// Whether the task's pictures may be among those: `not seen` or `unknown`; null for methods without a network, and in
    /// cells of programs that did not record it.
    pub seen_before: Option<Seen>,
    /// What a method sees with this teacher, where that was trained on tasks of the benchmark; null for others, and in old
    /// cells.
    pub teacher_regime: Option<Regime>,
    /// Names that training but for its target: what teachers of several targets share. Null for others, and in old cells.
    pub teacher_recipe: Option<String>,
    /// This program's.
    pub version: String,
    /// `unknown` outside a git checkout.
    pub git_revision: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// The device, and the card that it is.
    pub device: String,
    /// Cells that were computed at once.
    pub threads: usize,
    /// `f32` and so on.
    pub precision: String,
    /// What became of subnormal numbers on the CPU: `flushed to zero` or `kept`; null in old cells.
    pub subnormals: Option<String>,
    /// What the decoders of D2-4FAD and RD4AD train by in single precision on this CPU: `convolutions` (oneDNN's) or
    /// `products` (of matrices); null on a card and in old cells.
    pub kernels: Option<String>,
    /// How the user called the program.
    pub command: String,
    /// Seconds since 1970.
    pub started_at: u64,
    /// Training, shared by all draws of the same method, task, shots and seed; null if the cell failed.
    pub fit_seconds: Option<f64>,
    /// Scoring the test set after epochs of the training, shared as the training is; null in cells of earlier versions and
    /// if the cell failed.
    pub observe_seconds: Option<f64>,
    /// Adapting to the supports, which is where some methods train, and scoring, of which draws that were scored together
    /// have equal parts; where supports change nothing, all of it. Null if the cell failed.
    pub score_seconds: Option<f64>,
    /// Scoring one picture once the supports are taken in, median of up to 100 runs; measured on first draws, beside
    /// whatever else the machine was doing.
    pub latency_seconds: Option<f64>,
    /// The most memory that the process had held by then; null if the cell failed or the system does not tell.
    pub peak_memory_bytes: Option<u64>,
}
}
