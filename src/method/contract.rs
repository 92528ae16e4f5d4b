//! What a method is: what it makes of what it is given (`context`), and its entry in the list.

use anyhow::{Result, bail, ensure};

pub use super::context::{Context, StateFile, TrainTask};
pub use super::encoded::Encoded;
use super::geometry::FromFiles;
pub use super::open_teachers::OpenTeachers;
pub use super::prediction::{NotANumber, Output, Prediction};
use super::work::{CellSize, Work};
use crate::episode::batch::Pictures;
use crate::network::{Backbone, Network, Sight};
use crate::regime::Regime;

/// An epoch's figures, by name: `loss` and its parts.
pub type EpochFigures = Vec<(&'static str, f64)>;

/// Observes a training, for logging and the `published` protocols; a closure will do.
pub trait Observer {
    /// Called after each epoch with the model as it stands.
    ///
    /// # Errors
    /// A model that cannot score, or a record that cannot be written; it ends the training.
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()>;

    /// All that it has recorded so far; it is saved with the training's state.
    ///
    /// # Errors
    /// A record that cannot be put into text.
    fn state(&self) -> Result<String> {
        Ok(String::new())
    }

    /// Continues from what [`Observer::state`] gave in an earlier process.
    ///
    /// # Errors
    /// A text that is none of its records.
    fn restore(&mut self, state: &str) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// Ignores all epochs.
pub struct Unobserved;

impl Observer for Unobserved {
    fn after_epoch(&mut self, _: u64, _: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(u64, &EpochFigures, &dyn Fitted) -> Result<()>> Observer for F {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, model: &dyn Fitted) -> Result<()> {
        self(epoch, figures, model)
    }
}

/// An untrained method with its settings.
///
/// Several cells may be fitted at once, each on a thread of its own.
pub trait Method: Send + Sync {
    /// Trains on the train normals that [`Built::regime`] names. Methods that do not train return at once.
    /// What is returned is the model that `observer` saw last.
    ///
    /// # Errors
    /// Weights that cannot be read, pictures that the settings do not fit, a state that cannot be saved, or
    /// what `observer` fails with.
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>>;
}

/// A trained method.
pub trait Fitted {
    /// What it makes of queries whatever the supports are. Detectors of this model score it, any number of them.
    ///
    /// # Errors
    /// What libtorch or the device fails with.
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(queries.into())
    }

    /// As [`Fitted::encode`], of pictures that come again: a support that is left out of several support sets, or a batch
    /// of the test set, which other draws, epochs and methods score too. What is kept of them is used.
    ///
    /// # Errors
    /// As [`Fitted::encode`].
    fn encode_again<'p>(&self, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        self.encode(pictures)
    }

    /// Takes in the supports of one episode.
    ///
    /// # Errors
    /// Supports that the method cannot use, such as too few.
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>>;

    /// The same with as many anomalies of the target, which only methods that see [`Regime::TargetAnomalies`] are given.
    ///
    /// # Errors
    /// As [`Fitted::adapt`]; a method that takes no anomalies.
    fn adapt_with_anomalies<'a>(
        &'a self,
        supports: &Pictures,
        anomalies: &Pictures,
    ) -> Result<Box<dyn Detector + 'a>> {
        bail!("takes supports alone, not {} with {} anomalies", supports.len(), anomalies.len())
    }

    /// Whether all supports give the same detector, so that one scores for all.
    fn ignores_supports(&self) -> bool {
        false
    }

    /// Whether that is a training, or of unknown cost, so that the harness does it no more often than it must.
    fn trains_on_supports(&self) -> bool {
        false
    }
}

impl<F: Fitted + ?Sized> Fitted for &F {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        (**self).encode(queries)
    }

    fn encode_again<'p>(&self, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        (**self).encode_again(pictures)
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        (**self).adapt(supports)
    }

    fn adapt_with_anomalies<'a>(
        &'a self,
        supports: &Pictures,
        anomalies: &Pictures,
    ) -> Result<Box<dyn Detector + 'a>> {
        (**self).adapt_with_anomalies(supports, anomalies)
    }

    fn ignores_supports(&self) -> bool {
        (**self).ignores_supports()
    }

    fn trains_on_supports(&self) -> bool {
        (**self).trains_on_supports()
    }
}

/// A method ready to score.
pub trait Detector {
    /// Scores each query, encoded by the model that was adapted, by itself; higher is more anomalous.
    ///
    /// # Errors
    /// What libtorch, the device or an external program fails with; queries that another model has encoded.
    fn score(&self, queries: &Encoded) -> Result<Prediction>;

    /// Queries that it is given at once, at most; scores do not depend on it but for rounding.
    fn batch(&self) -> usize {
        16
    }

    /// Memory that it holds, where that is a lot.
    fn bytes(&self) -> usize {
        0
    }

    /// As [`Detector::score`], and for each query what of the supports is nearest to where it is most anomalous; `None` where
    /// the method compares no places with places of supports.
    ///
    /// # Errors
    /// As [`Detector::score`].
    fn score_with_nearest(&self, queries: &Encoded) -> Result<(Prediction, Option<Vec<NearestPlace>>)> {
        Ok((self.score(queries)?, None))
    }
}

/// Where a picture is most anomalous, and the place of a support that is most like it. Places are parts of a picture's height and
/// width, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestPlace {
    /// The most anomalous place: down, right.
    pub peak: [f64; 2],
    /// Number of the support, from 0.
    pub support: usize,
    /// Its place: down, right.
    pub place: [f64; 2],
    /// Cosine of what the network sees at both.
    pub cosine: f64,
}

impl<D: Detector + ?Sized> Detector for Box<D> {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        (**self).score(queries)
    }

    fn batch(&self) -> usize {
        (**self).batch()
    }

    fn bytes(&self) -> usize {
        (**self).bytes()
    }

    fn score_with_nearest(&self, queries: &Encoded) -> Result<(Prediction, Option<Vec<NearestPlace>>)> {
        (**self).score_with_nearest(queries)
    }
}

impl<D: Detector + ?Sized> Detector for &D {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        (**self).score(queries)
    }

    fn batch(&self) -> usize {
        (**self).batch()
    }

    fn bytes(&self) -> usize {
        (**self).bytes()
    }

    fn score_with_nearest(&self, queries: &Encoded) -> Result<(Prediction, Option<Vec<NearestPlace>>)> {
        (**self).score_with_nearest(queries)
    }
}

/// One method on the list.
pub struct Entry {
    /// What users call it, such as `patchcore`.
    pub name: &'static str,
    /// One line for `medfsad methods`.
    pub about: &'static str,
    /// The paper that describes it.
    pub paper: &'static str,
    /// Its regime under default settings, and what else it can be set to.
    pub regime: &'static str,
    /// Weights and programs it needs, in words.
    pub needs: &'static str,
    /// What a cell costs, in words.
    pub cost: &'static str,
    /// Settings (TOML) under which it fits tiny pictures in a moment; the contract test runs them.
    pub trial: &'static str,
    /// Builds it from settings; a missing key takes its default, an unknown one is an error.
    pub build: fn(toml::Table) -> Result<Built>,
    /// Counts what it does, from its settings as [`Built::settings`] has them; `None` if nobody can know.
    pub work: Option<fn(&str, &CellSize) -> Result<Work>>,
}

/// A method, its settings as resolved, and what it is to be given.
pub struct Built {
    /// The method, not trained yet.
    pub method: Box<dyn Method>,
    /// All settings with their defaults, as one JSON object.
    pub settings: String,
    /// What the harness hands to it beside the query.
    pub regime: Regime,
    /// The pretrained network it needs, if any.
    pub network: Option<Network>,
    /// What it asks of a frozen teacher, where that limits the sizes of pictures.
    pub sight: Option<Sight>,
    /// Whole files that it takes in place of squares of the store, where it is set to prepare them as its authors do.
    pub from_files: Option<FromFiles>,
    /// How these settings make it another method than the published one, an extension of ours; `None` where they do not.
    pub extension: Option<&'static str>,
    /// What its detectors will predict.
    pub output: Output,
    /// Whether it takes steps of an optimiser, so that there are epochs to observe.
    pub takes_steps: bool,
    /// Whether its training depends on the number of supports; one that does not serves all numbers.
    pub fits_shots: bool,
    /// True for the control that is measured against permuted labels.
    pub against_shuffled_labels: bool,
}

impl Built {
    /// A method with settings that serialise to one JSON object. It gives maps, unless [`Built::giving`] says otherwise.
    ///
    /// # Errors
    /// Settings that cannot be put into JSON.
    pub fn new(
        method: impl Method + 'static,
        settings: &impl serde::Serialize,
        regime: Regime,
        network: Option<Network>,
    ) -> Result<Built> {
        let settings = serde_json::to_string(settings)?;
        let (method, sight, from_files, extension) = (Box::new(method), None, None, None);
        // What learns from other tasks trains; a learner says so itself.
        let (takes_steps, fits_shots) = (regime.learns_from_others(), regime.learns_from_others());
        Ok(Built {
            method,
            settings,
            regime,
            network,
            sight,
            from_files,
            extension,
            output: Output::Maps,
            takes_steps,
            fits_shots,
            against_shuffled_labels: false,
        })
    }

    /// Refuses pictures of a size that its network cannot take.
    ///
    /// # Errors
    /// Names the network and sizes that fit it.
    pub fn check_size(&self, size: usize) -> Result<()> {
        self.sight.map_or(Ok(()), |sight| sight.check_side(size as i64))
    }

    /// Refuses a board, which has squares of a pixel store alone, where files are asked for.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check_has_squares(&self) -> Result<()> {
        ensure!(
            self.from_files.is_none(),
            "geometry = \"published\" prepares whole files, which only `score` has; a board hands squares of the pixel store to \
             every method: leave geometry out"
        );
        Ok(())
    }

    /// The same, of whole files where they are asked for.
    #[must_use]
    pub fn reading_files(self, from_files: Option<FromFiles>) -> Built {
        Built { from_files, ..self }
    }

    /// The same, with other predictions than maps alone.
    #[must_use]
    pub fn giving(self, output: Output) -> Built {
        Built { output, ..self }
    }

    /// The same, where what it trains follows the form of `backbone`: an extension, unless that is a residual network.
    #[must_use]
    pub fn following(self, backbone: Backbone) -> Built {
        let is_other = backbone == Backbone::EfficientNetLite0;
        let extension =
            is_other.then_some("with blocks of the published form that have this network's channels");
        Built { extension, ..self }
    }
}
