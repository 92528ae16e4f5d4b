//! One file per metric, with intervals; undefined is `None`, never 0.5.

/// AUROC between pictures that trivia cannot tell apart.
pub mod adjusted;
/// Area under the ROC curve.
pub mod auroc;
/// Intervals of AUROC that hold near 1 and with few draws.
pub mod auroc_interval;
/// Connected regions of a mask.
pub mod component;
/// Variance of AUROC and paired tests.
pub mod delong;
/// How good an explaining map is.
pub mod explanation;
/// Every image-level number of a set of scores.
pub mod image;
/// Stratified bootstrap over pictures.
pub mod interval;
/// Logistic regression, and predictions by those that have not seen a picture.
pub mod logistic;
/// What numbers are called.
mod named;
/// The normal distribution.
pub mod normal;
/// Tests of paired values, corrections, standings.
pub mod paired;
/// Overlap at very low false positive rates.
pub mod pimo;
/// Localisation over all pixels.
pub mod pixel;
/// What a comparison could have shown.
pub mod power;
/// Thresholds from the supports alone.
pub mod preset;
/// Quantiles and the median.
pub mod quantile;
/// Ranks and their correlation.
pub mod rank;
/// Numbers along the thresholds of a score.
pub mod ranking;
/// When enough support draws are scored.
pub mod sequential;
/// Intervals over support draws and pictures together.
pub mod two_level;

pub use named::{Group, Metric};
