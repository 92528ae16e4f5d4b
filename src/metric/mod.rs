//! One file per metric, with intervals; undefined is `None`, never 0.5.

/// Area under the ROC curve.
pub mod auroc;
/// How good an explaining map is.
pub mod explanation;
/// Stratified bootstrap over pictures.
pub mod interval;
/// Ranks and their correlation.
pub mod rank;
