//! What can be switched in D2-4FAD for science; the defaults are the published procedure.

use serde::{Deserialize, Serialize};

use crate::network::weighting::Scaling;

/// Losses that train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terms {
    /// Self-distillation plus lambda times teacher-student.
    #[default]
    Both,
    /// Teacher-student alone (TSD).
    TeacherStudent,
    /// Self-distillation alone (SSD), which an input-independent student minimises.
    SelfDistillation,
}

/// How supports are weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighted {
    /// By the learned projection.
    #[default]
    Learned,
    /// By the projection as it was initialised: the public code before March 2026.
    Untrained,
    /// All alike.
    Uniform,
}

/// What a loss compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// One cosine over all channels and positions of a picture.
    #[default]
    Flattened,
    /// A cosine over channels at each position, and their mean.
    PerPosition,
}

/// The switches that a student needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Switches {
    /// Losses that train.
    pub terms: Terms,
    /// How supports are weighted.
    pub weighted: Weighted,
    /// What the inner products of query and projected supports are divided by.
    pub scaling: Scaling,
    /// What a loss compares.
    pub compared: Compared,
    /// Weight of the map between teacher and student that is added when scoring; 0 as published.
    pub teacher_residual: f64,
}
