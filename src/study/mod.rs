//! Studies: slices that belong together, and numbers of a study from the scores of its slices.

/// From the scores of slices to a number of their study.
pub mod aggregator;
/// Which slices make a study, and whether it is anomalous.
pub mod grouping;
/// CONTRACT: what a trained aggregator leaves behind.
pub mod learned;
/// The scores that a method gave the slices of all tasks.
pub mod slices;
