//! Methods that learn from normals of the target alone: from its supports (R1) or from all its train
//! normals (R5), by one setting.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::Tensor;

use crate::episode::batch::Pictures;
use crate::method::contract::{
    Built, Context, Detector, Encoded, Fitted, Method, Observer, TrainTask, Unobserved,
};
use crate::method::train_on::TrainOn;
use crate::network::remembering::Remembering;
use crate::network::{Features, Network, Sight};
use crate::regime::Regime;

/// Turns normals of one task into a detector.
pub trait Learner: Send + Sync {
    /// `normals` are at least one picture. What has no epochs never calls the observer.
    ///
    /// # Errors
    /// What the method's training or the observer fails with.
    fn learn(
        &self,
        normals: &Pictures,
        context: &Context,
        observer: &mut dyn Observer,
    ) -> Result<Box<dyn Detector>>;

    /// The frozen teacher of whose features its detectors read what [`Learner::reads`] makes; `None` where they read
    /// pictures alone.
    fn sees(&self) -> Option<Sight> {
        None
    }

    /// What its detectors find in queries ([`Encoded::made`]), whatever was learnt.
    fn reads(&self, context: &Context, features: Features) -> Box<dyn Any> {
        let _ = context;
        Box::new(features)
    }

    /// What it makes of queries whatever was learnt, where its detectors read no teacher's features.
    ///
    /// # Errors
    /// As [`Fitted::encode`].
    fn encode<'p>(&self, context: &Context, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        let _ = context;
        Ok(pictures.into())
    }

    /// Whether it takes steps of an optimiser, rather than remember features.
    fn takes_steps(&self) -> bool {
        false
    }
}

/// A method that only needs a [`Learner`].
///
/// # Errors
/// Settings that cannot be put into JSON.
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
    let (sight, takes_steps) = (learner.sees(), learner.takes_steps());
    let built = Built::new(OnTarget { learner: Arc::new(learner), train_on }, settings, sees, network)?;
    Ok(Built { sight, takes_steps, ..built })
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
            return Ok(Box::new(LearnsFromSupports {
                learner: self.learner.clone(),
                context: context.clone(),
            }));
        }
        let normals = &tasks.first().context("the target's train normals are missing")?.pictures;
        self.learner.sees().map_or(Ok(()), |sight| sight.check_side(normals.size()))?;
        let detector = self.learner.learn(normals, context, observer)?;
        Ok(Box::new(Learnt { learner: self.learner.clone(), context: context.clone(), detector }))
    }
}

/// Learns anew from every support set.
struct LearnsFromSupports<L> {
    learner: Arc<L>,
    context: Context,
}

impl<L: Learner> Fitted for LearnsFromSupports<L> {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        encoded(&*self.learner, &self.context, queries, |teacher, pixels| teacher.features(pixels))
    }

    fn encode_again<'p>(&self, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        encoded(&*self.learner, &self.context, pictures, Remembering::features_again)
    }

    fn adapt<'a>(&'a self, supports: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        ensure!(!supports.is_empty(), "at least one support is needed");
        self.learner.sees().map_or(Ok(()), |sight| sight.check_side(supports.size()))?;
        let mut context = self.context.for_pictures(&[&supports.pixels])?;
        context.state_file = context.state_file.filter(|_| self.learner.takes_steps());
        self.learner.learn(supports, &context, &mut Unobserved)
    }

    fn trains_on_supports(&self) -> bool {
        self.learner.takes_steps()
    }
}

/// Pictures, with features of the teacher that the learner sees.
fn encoded<'p>(
    learner: &(impl Learner + ?Sized),
    context: &Context,
    pictures: &'p Pictures,
    features: impl Fn(&Remembering, &Tensor) -> Features,
) -> Result<Encoded<'p>> {
    let Some(sight) = learner.sees() else { return learner.encode(context, pictures) };
    sight.check_side(pictures.size())?;
    let features = features(&*context.seeing(sight)?, &pictures.pixels);
    Ok(Encoded::new(pictures, learner.reads(context, features)))
}

/// What a learner has learnt once; supports change nothing.
pub struct Learnt<L, D> {
    /// It encodes queries.
    pub learner: L,
    /// What it may know.
    pub context: Context,
    /// What scores them.
    pub detector: D,
}

impl<L: Deref<Target: Learner + Sized>, D: Detector> Fitted for Learnt<L, D> {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        encoded(&*self.learner, &self.context, queries, |teacher, pixels| teacher.features(pixels))
    }

    fn encode_again<'p>(&self, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        encoded(&*self.learner, &self.context, pictures, Remembering::features_again)
    }

    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(&self.detector))
    }

    fn ignores_supports(&self) -> bool {
        true
    }
}

/// A detector that supports do not change.
pub struct Fixed<'t, D> {
    detector: D,
    teacher: Option<&'t Remembering>,
}

impl<D> Fixed<'static, D> {
    /// One of plain pictures.
    pub fn new(detector: D) -> Fixed<'static, D> {
        Fixed { detector, teacher: None }
    }
}

impl<'t, D> Fixed<'t, D> {
    /// One that reads a teacher's features.
    pub fn seeing(teacher: &'t Remembering, detector: D) -> Fixed<'t, D> {
        Fixed { detector, teacher: Some(teacher) }
    }

    fn encoded<'p>(
        &self,
        pictures: &'p Pictures,
        features: impl Fn(&Remembering, &Tensor) -> Features,
    ) -> Encoded<'p> {
        self.teacher.map_or_else(
            || pictures.into(),
            |teacher| Encoded::new(pictures, Box::new(features(teacher, &pictures.pixels))),
        )
    }
}

impl<D: Detector> Fitted for Fixed<'_, D> {
    fn encode<'p>(&self, queries: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(self.encoded(queries, |teacher, pixels| teacher.features(pixels)))
    }

    fn encode_again<'p>(&self, pictures: &'p Pictures) -> Result<Encoded<'p>> {
        Ok(self.encoded(pictures, Remembering::features_again))
    }

    fn adapt<'a>(&'a self, _: &Pictures) -> Result<Box<dyn Detector + 'a>> {
        Ok(Box::new(&self.detector))
    }

    fn ignores_supports(&self) -> bool {
        true
    }
}

/// Settings whose defaults depend on what is learned from: what is `given`, over `defaults`.
///
/// # Errors
/// An unknown key, or a value of another type.
pub fn settings<S: Serialize + DeserializeOwned>(
    given: toml::Table,
    defaults: fn(TrainOn) -> S,
) -> Result<S> {
    let train_on = given.get("train_on").map_or(Ok(TrainOn::default()), |value| value.clone().try_into())?;
    let mut table = toml::Table::try_from(defaults(train_on))?;
    table.extend(given);
    Ok(table.try_into()?)
}
