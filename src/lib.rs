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

/// Bytes become pixels, by content, with a stated intensity policy.
pub mod decode;

/// Where each data set keeps its files, labels and patients.
pub mod source;

/// A small raw tree of every source in its native layout, for a first run without data.
pub mod phantom;

/// CONTRACT: one row per curated image.
pub mod manifest;

/// Select, split by patient, standardise, store.
pub mod curate;

// TMP episode

/// Encoders and decoders with published parameter names.
#[cfg(feature = "torch")]
pub mod network;

/// One file or folder per method; `METHODS` lists them.
#[cfg(feature = "torch")]
pub mod method;

/// Anomaly maps become image scores, under named protocols.
pub mod protocol;

// TMP metric

/// CONTRACT: scores, metrics, epochs and provenance of every cell.
pub mod results;

// TMP evaluate

/// Tables, figures and one self-contained HTML file, from stored results alone.
pub mod report;

// TMP cli
