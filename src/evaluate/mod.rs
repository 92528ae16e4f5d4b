//! Runs a bench on a curated benchmark: from a definition to finished cells.

/// What a random teacher is calibrated on.
mod calibration;
/// One job's cells.
mod cell;
/// What a bench runs.
pub mod definition;
/// CPU or CUDA.
pub mod device;
/// What one support draw gathers.
mod draw;
/// Feature vectors for audits.
pub mod embed;
/// How long a plan will take.
pub mod estimate;
mod experience;
/// Pictures of a user's own.
pub mod folder;
mod gallery_cases;
/// Every number of a cell.
/// A threshold from the supports alone.
pub mod left_out;
mod measure;
/// Freed memory is kept.
pub mod memory;
/// From a definition to cells.
pub mod plan;
/// A plan on disk.
pub mod planned;
/// How fast a device is.
pub mod rates;
/// Jobs, several at once.
pub mod run;
/// Studies under supervised attention.
pub mod samil;
/// What the network may have seen before.
mod seen;
/// Smoothing where the maps are.
pub mod smoothing;
/// Cells that no longer belong are set aside.
mod stale_cells;
/// What a signal waits for.
pub mod stop;
mod target;
mod test_set;
/// What a training says of its epochs.
pub(crate) mod training_log;
/// A training under observation.
mod watch;
/// Several threads at once.
mod workers;
/// Work to be timed.
pub mod workload;

/// libtorch that `tch` 0.24 is made for; its build refuses another.
pub const LIBTORCH_VERSION: &str = "2.11.0";
