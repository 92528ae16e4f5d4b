//! Raw images become a manifest, a manifest becomes results, results become a report.
//!
//! Data flows one way: a module may use those above it in this list and none below
//! (a test holds that). The feature `torch` has one seam: [`episode::batch`], [`network`],
//! [`method`] and [`evaluate`] need libtorch, everything else builds and runs without it.

/// One picture in memory.
pub mod pixels;

/// Files written whole, hashes, the folder walk.
pub mod files;

/// Named random streams and value-stable sampling.
pub mod random;

/// Progress bars: rate and time left, silent off a terminal.
pub mod progress;

/// Typed columns in and out of parquet.
pub mod table;

/// A benchmark's definition: tasks, sources, counts, rules, cards.
pub mod spec;

/// Bytes to pixels, by content; Pillow-compatible resampling.
pub mod decode;

/// Where each data set keeps files, labels and patients.
pub mod source;

/// CONTRACT: one row per curated image.
pub mod manifest;

/// CONTRACT: scores, metrics, epochs and provenance of every cell.
pub mod results;
