//! Settings of D2-4FAD.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::switches::{Compared, Switches, Terms, Weighted};
use crate::network::optimiser::{Adam, Rule};
use crate::network::weighting::Scaling;
use crate::network::{Backbone, Input};

/// Defaults are the published ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Teacher and mirrored student.
    pub backbone: Backbone,
    /// Weight of the teacher-student loss beside the self-distillation.
    pub lambda: f64,
    /// Step size of the optimiser.
    pub learning_rate: f64,
    /// Passes over the training queries.
    pub epochs: u64,
    /// Queries per step; an incomplete last batch of an epoch is dropped.
    pub batch: usize,
    /// Losses that train.
    pub terms: Terms,
    /// How supports are weighted.
    pub weighted: Weighted,
    /// What the weighting's inner products are divided by.
    pub scaling: Scaling,
    /// What a loss compares.
    pub compared: Compared,
    /// Weight of the teacher's own map, added when scoring.
    pub teacher_residual: f64,
    /// Supports of training are drawn anew in each epoch; published: drawn once.
    pub redrawn: bool,
    /// Pictures less ImageNet's mean over its deviation, as the teacher's weights were trained; published: not.
    pub imagenet: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            backbone: Backbone::WideResnet50x2,
            lambda: 0.1,
            learning_rate: 1e-4,
            epochs: 70,
            batch: 16,
            terms: Terms::default(),
            weighted: Weighted::default(),
            scaling: Scaling::default(),
            compared: Compared::default(),
            teacher_residual: 0.0,
            redrawn: false,
            imagenet: false,
        }
    }
}

impl Settings {
    pub(super) fn switches(&self) -> Switches {
        Switches {
            terms: self.terms,
            weighted: self.weighted,
            scaling: self.scaling,
            compared: self.compared,
            teacher_residual: self.teacher_residual,
        }
    }

    /// How pictures enter the teacher.
    pub fn input(&self) -> Input {
        if self.imagenet { Input::ImageNet } else { Input::Unit }
    }

    /// How the student learns.
    pub fn rule(&self) -> Rule {
        Rule::Adam(Adam { learning_rate: self.learning_rate, beta1: 0.5, ..Adam::default() })
    }

    /// # Errors
    /// A setting out of its range.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.epochs >= 1, "d24fad: epochs must be at least 1");
        ensure!(self.batch >= 2, "d24fad: batch must be at least 2, batch norm needs it");
        ensure!(self.learning_rate > 0.0, "d24fad: learning_rate must be positive");
        ensure!(
            self.teacher_residual.is_finite() && self.teacher_residual >= 0.0,
            "d24fad: teacher_residual must not be negative"
        );
        ensure!(self.scaling != Scaling::Uniform, "d24fad: say weighted = \"uniform\", not scaling");
        Ok(())
    }
}
