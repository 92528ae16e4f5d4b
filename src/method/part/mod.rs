//! Parts that several methods share; none of them is a method.

/// Gaussians, one or one per position.
pub mod gaussian;
/// From feature grids to raw maps of the pictures' size.
pub mod grid;
/// Methods that learn from normals of the target alone.
pub mod learner;
/// Exact nearest neighbours.
pub mod nearest;
/// Normals passed through a teacher in bounded chunks.
pub mod normals;
/// Rotated, shifted and mirrored views of a few supports.
pub mod views;
