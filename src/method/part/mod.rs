//! Parts that several methods share; none of them is a method.

/// From feature grids to raw maps of the pictures' size.
pub mod grid;
/// Methods that learn from normals of the target alone.
pub mod learner;
/// One-class support vector machine.
pub mod ocsvm;
/// Pictures as auto-encoders want them.
pub mod picture;
/// Training in steps over shuffled batches.
pub mod steps;
/// Rotated, shifted and mirrored views of a few supports.
pub mod views;
