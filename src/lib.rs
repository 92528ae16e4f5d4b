//! Raw images become a manifest, a manifest becomes results, results become a report.
//!
//! Data flows one way: a module may use those above it in this list and none below
//! (a test holds that). The feature `torch` has one seam: [`episode::batch`], [`network`],
//! [`method`], [`evaluate`] and [`selftest`] need libtorch, everything else builds and runs without it.

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Hash over every source file that can change a manifest or a score.
pub const CODE_HASH: &str = env!("MEDFSAD_CODE_HASH");

/// The commit this was built from, `-dirty` if files differed, `unknown` outside a checkout.
pub const GIT_REVISION: &str = env!("MEDFSAD_GIT_REVISION");

/// One picture in memory.
pub mod pixels;

/// Names: one spelling of each, and what was probably meant.
pub mod names;

/// Closed sets of words, each stated once.
pub mod words;

/// Names and identities that must not be taken for one another.
pub mod ids;

/// Files written whole, hashes, the folder walk.
pub mod files;

/// Keyed names of patients, studies and files.
pub mod pseudonym;

/// Named random streams and value-stable sampling.
pub mod random;

/// Progress, notes and the log of a run. A program that uses this library hears notes and warnings once it installs a logger
/// for `log`, or calls [`progress::Saying::begin`].
pub mod progress;

/// What a panic says.
pub mod panics;

/// Files fetched over HTTP, in parts that go on where they stopped.
#[cfg(feature = "torch")]
pub mod download;

/// A file out of a wheel of the Python package index, by way of pip.
#[cfg(feature = "torch")]
pub mod wheel;

/// Typed columns in and out of parquet.
pub mod table;

/// DICOM files that are written: elements and bytes.
pub mod dicom_file;

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

/// Curated benchmarks for other tools and for people.
pub mod export;

/// Select, split by patient, standardise, store.
pub mod curate;

/// What a method may see.
pub mod regime;

/// Which pictures support, which train, drawn once for every method.
pub mod episode;

/// Anomaly maps in memory, and their smoothing.
pub mod maps;

/// Encoders and decoders with published parameter names.
#[cfg(feature = "torch")]
pub mod network;

/// One file or folder per method; `METHODS` lists them.
#[cfg(feature = "torch")]
pub mod method;

/// Teachers fine-tuned on source tasks.
#[cfg(feature = "torch")]
pub mod metric_teacher;

/// Anomaly maps become image scores, under named protocols.
pub mod protocol;

/// One file per metric, with intervals; undefined is `None`.
pub mod metric;

/// Leaks, copies, shortcuts and personal data in a curated benchmark.
pub mod audit;

/// CONTRACT: scores, metrics, epochs and provenance of every cell.
pub mod results;

/// Scores of other programs become cells.
pub mod imported;

/// CONTRACT: numbers of test pictures that know nothing of what they show, and how much these tell together.
pub mod trivia;

/// Studies of several slices, and numbers of a study from the scores of its slices.
pub mod study;

/// The cell: fit, adapt, score, measure, write.
#[cfg(feature = "torch")]
pub mod evaluate;

/// Tables, figures and one self-contained HTML file, from stored results alone.
pub mod report;

/// Whether a device computes what it should, and how fast.
#[cfg(feature = "torch")]
pub mod selftest;

/// Damaged files of every kind, each of which must end decoded or refused.
pub mod fuzz;

/// One file per command.
pub mod cli;
