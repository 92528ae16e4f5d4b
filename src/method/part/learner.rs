//! Methods that learn from normals of the target alone: from its supports (R1) or from all its train
//! normals (R5), by one setting.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::episode::batch::Pictures;
use crate::method::{
    Built, Context, Detector, EpochFigures, Fitted, Method, Observer, Prediction, TrainTask,
};
use crate::network::Network;
use crate::regime::Regime;

/// Called after each epoch with the detector as it stands.
pub type Watch<'a> = dyn FnMut(u64, &EpochFigures, &dyn Detector) -> Result<()> + 'a;

/// Turns normals of one task into a detector.
pub trait Learner: Send + Sync {
    /// `normals` are at least one picture. What has no epochs never calls `watch`.
    fn learn(&self, normals: &Pictures, context: &Context, watch: &mut Watch) -> Result<Box<dyn Detector>>;

    /// Whether it takes steps of an optimiser, rather than remember features.
    fn takes_steps(&self) -> bool {
        false
    }
}

/// Which normals of the target a method learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainOn {
    /// The supports of the episode (regime R1). Training happens once per support set, and the last epoch is
    /// the one that counts under every protocol.
    #[default]
    Supports,
    /// All train normals of the target (regime R5). Supports are not used, so scores are alike for all shots.
    Normals,
}

/// A method that only needs a [`Learner`].
pub fn build(
    learner: impl Learner + 'static,
    train_on: TrainOn,
    settings: &impl Serialize,
    network: Option<Network>,
) -> Result<Built> {
    let sees = match train_on {
        TrainOn::Supports => Regime::Supports,
        TrainOn::Normals => Regime::TargetNormals,
    };
    Built::new(OnTarget { learner: Arc::new(learner), train_on }, settings, sees, network)
}

struct OnTarget<L> {
    learner: Arc<L>,
    train_on: TrainOn,
}

impl<L: Learner + 'static> Method for OnTarget<L> {
    fn fit(
        &self,
        tasks: &[TrainTask],
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Fitted>> {
        if self.train_on == TrainOn::Supports {
            return Ok(Box::new(Waiting { learner: self.learner.clone(), context: context.clone() }));
        }
        let normals = &tasks.first().context("the target's train normals are missing")?.pictures;
        let mut watch = |epoch: u64, figures: &EpochFigures, detector: &dyn Detector| {
            observer.look(epoch, figures, &Shown(detector))
        };
        Ok(Box::new(Learned(self.learner.learn(normals, context, &mut watch)?)))
    }
}

/// Waits for supports to learn from.
struct Waiting<L> {
    learner: Arc<L>,
    context: Context,
}

impl<L: Learner> Fitted for Waiting<L> {
    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "at least one support is needed");
        self.learner.learn(supports, &self.context, &mut |_, _, _| Ok(()))
    }

    fn trains_on_supports(&self) -> bool {
        self.learner.takes_steps()
    }
}

/// Has learned; supports change nothing.
struct Learned(Box<dyn Detector>);

impl Fitted for Learned {
    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(Shown(&*self.0)))
    }
}

/// A detector lent out.
struct Shown<'a>(&'a dyn Detector);

impl Fitted for Shown<'_> {
    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(Shown(self.0)))
    }
}

impl Detector for Shown<'_> {
    fn score(&self, queries: &Pictures) -> Result<Prediction> {
        self.0.score(queries)
    }

    fn batch(&self) -> usize {
        self.0.batch()
    }
}

/// Settings whose defaults depend on what is learned from: what is `given`, over `defaults`.
pub fn settings<S: Serialize + DeserializeOwned>(
    given: toml::Table,
    defaults: fn(TrainOn) -> S,
) -> Result<S> {
    let train_on = given.get("train_on").map_or(Ok(TrainOn::default()), |value| value.clone().try_into())?;
    let mut table = toml::Table::try_from(defaults(train_on))?;
    table.extend(given);
    Ok(table.try_into()?)
}
