//! Parts that several methods share; none of them is a method.

/// From feature grids to raw maps of the pictures' size.
pub mod grid;
/// Methods that learn from normals of the target alone.
pub mod learner;
/// Rotated, shifted and mirrored views of a few supports.
pub mod views;
