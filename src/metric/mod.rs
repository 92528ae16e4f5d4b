//! One file per metric, with intervals; undefined is `None`, never 0.5.

/// Area under the ROC curve.
pub mod auroc;
/// Stratified bootstrap over pictures.
pub mod interval;
