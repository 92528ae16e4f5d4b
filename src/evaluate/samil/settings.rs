//! How SAMIL is set up.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::network::supervised_attention::Shape;

/// Defaults are the published ones of the first split, but for what is ours: a frozen network in the place of the
/// convolutions, a fixed number of epochs in the place of one that a validation part chooses, and constants of the
/// pre-training, whose code is not public.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Values of an instance inside, and of a study.
    pub hidden: i64,
    /// Values between the two layers behind the supervised branch.
    pub middle: i64,
    /// Values inside each branch of attention.
    pub attention: i64,
    /// Step size.
    pub learning_rate: f64,
    /// Added to the gradient of weights, not of biases.
    pub weight_decay: f64,
    /// How sharp the relevance is: lower is sharper.
    pub temperature: f64,
    /// How much the divergence of attention from relevance counts.
    pub lambda: f64,
    /// Share of the steps over which `lambda` rises from 0. The public code rises for 0.4 of them, where it rises at all.
    pub warm_up: f64,
    /// Share of the averaged weights that each step keeps; they are what scores.
    pub average: f64,
    /// Whether cross-entropy is weighted by class. At a batch of one study the weights cancel.
    pub class_weights: bool,
    /// Epochs; every study trains once in each. The public code takes up to 7,200 and lets a validation part end them: there is
    /// none of the target here.
    pub epochs: u64,
    /// Epochs after which the rate begins anew.
    pub cycle: u64,
    /// Grey level, of 255, above which a pixel is tissue. The share of tissue is a slice's relevance.
    pub background: u8,
    /// Views that are relevant; a slice of another has no relevance. None: the share of tissue counts.
    pub relevant_views: Vec<String>,
    /// Versions of each slice that its frozen features are computed of, beside the slice as it is: mirrored or not and moved by
    /// up to an eighth of the side, as published. The public code draws them anew in every step.
    pub versions: usize,
    /// Passes of the pre-training, in which two versions of a study are told among other studies; 0 for none.
    pub pretraining_epochs: u64,
    /// Studies a step.
    pub pretraining_batch: usize,
    /// Step size, which falls along half a cosine to 0.
    pub pretraining_rate: f64,
    /// Directions of other studies that are kept; no more than there are.
    pub queue: usize,
    /// How sharp the contrast is.
    pub contrast_temperature: f64,
    /// Share of its weights that the network of the keys keeps in each step.
    pub key_average: f64,
    /// Values of a direction.
    pub directions: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hidden: 500,
            middle: 250,
            attention: 128,
            learning_rate: 8e-4,
            weight_decay: 1e-4,
            temperature: 0.1,
            lambda: 15.0,
            warm_up: 0.4,
            average: 0.999,
            class_weights: true,
            epochs: 100,
            cycle: 50,
            background: 25,
            relevant_views: Vec::new(),
            versions: 4,
            pretraining_epochs: 50,
            pretraining_batch: 8,
            // MoCo v2's, but for the average of the keys, which is meant for many more steps there.
            pretraining_rate: 0.03,
            queue: 256,
            contrast_temperature: 0.2,
            key_average: 0.99,
            directions: 128,
        }
    }
}

impl Settings {
    /// From settings that were given; a missing key takes its default.
    ///
    /// # Errors
    /// An unknown key, or a value that does not fit.
    pub fn of(table: toml::Table) -> Result<Settings> {
        let settings: Settings = table.try_into().context("settings of SAMIL")?;
        settings.check()?;
        Ok(settings)
    }

    /// Those that differ from the defaults, as one JSON object.
    ///
    /// # Errors
    /// A number that JSON cannot hold.
    pub fn changed(&self) -> Result<String> {
        let object = |settings: &Settings| -> Result<serde_json::Map<String, serde_json::Value>> {
            Ok(serde_json::from_value(serde_json::to_value(settings)?)?)
        };
        let (mut own, defaults) = (object(self)?, object(&Settings::default())?);
        own.retain(|key, value| defaults.get(key) != Some(value));
        Ok(serde_json::to_string(&own)?)
    }

    fn check(&self) -> Result<()> {
        let Settings { hidden, middle, attention, directions, .. } = *self;
        for (name, size) in
            [("hidden", hidden), ("middle", middle), ("attention", attention), ("directions", directions)]
        {
            ensure!(size >= 1, "SAMIL: {name} must be at least 1");
        }
        for (name, value) in [
            ("learning_rate", self.learning_rate),
            ("temperature", self.temperature),
            ("pretraining_rate", self.pretraining_rate),
            ("contrast_temperature", self.contrast_temperature),
        ] {
            ensure!(value.is_finite() && value > 0.0, "SAMIL: {name} must be above 0");
        }
        for (name, value) in [("weight_decay", self.weight_decay), ("lambda", self.lambda)] {
            ensure!(value.is_finite() && value >= 0.0, "SAMIL: {name} must not be negative");
        }
        for (name, value) in
            [("warm_up", self.warm_up), ("average", self.average), ("key_average", self.key_average)]
        {
            ensure!((0.0..=1.0).contains(&value), "SAMIL: {name} must be 0 to 1");
        }
        ensure!(self.average < 1.0, "SAMIL: at an average of 1 nothing is learnt");
        ensure!(self.epochs >= 1 && self.cycle >= 1, "SAMIL: epochs and cycle must be at least 1");
        ensure!(
            self.pretraining_batch >= 1 && self.queue >= 1,
            "SAMIL: pretraining_batch and queue must be at least 1"
        );
        ensure!(
            self.versions >= 2 || self.pretraining_epochs == 0,
            "SAMIL: pre-training tells two versions of a study, so versions must be at least 2; pretraining_epochs=0 does without"
        );
        Ok(())
    }

    /// Of the network that sees instances of so many values.
    pub fn shape(&self, inputs: i64) -> Shape {
        let Settings { hidden, middle, attention, .. } = *self;
        Shape { inputs, hidden, middle, attention, classes: 2 }
    }
}
