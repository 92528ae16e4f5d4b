//! A training of SAMIL from its bags to its end, and what is noted of it.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::bag::Bag;
use super::settings::Settings;
use super::training::{Samil, SamilTraining};
use crate::method::part::trainer::{self, Subject};
use crate::method::{Context, Observer};
use crate::study::learned::LearnedIdentity;

/// Mean and deviation of each feature over the slices that train, `[d]`; a feature without spread is not scaled.
pub(super) fn moments(bags: &[Bag]) -> (Tensor, Tensor) {
    let n: usize = bags.iter().map(Bag::len).sum();
    let sums = bags.iter().skip(1).fold(bags[0].sums(), |sums, bag| sums + bag.sums()) / n as f64;
    let (mean, squares) = (sums.get(0), sums.get(1));
    let deviation = (squares - mean.square()).clamp_min(0.0).sqrt();
    let deviation = deviation.where_self(&deviation.gt(1e-6), &deviation.ones_like());
    (mean.to_kind(Kind::Float), deviation.to_kind(Kind::Float))
}

/// Trains to the end, from the state that was saved if there is one.
///
/// # Errors
/// As [`trainer::train`].
pub fn train_bags(
    model: &Samil,
    bags: &[Bag],
    counts: [usize; 2],
    identity: &LearnedIdentity,
    context: &Context,
    observer: &mut dyn Observer,
) -> Result<()> {
    let settings: Settings = serde_json::from_str(&identity.settings)?;
    let bytes: Vec<u8> = bags.iter().flat_map(Bag::bytes).collect();
    let bytes = Tensor::from_slice(&bytes);
    let subject = Subject::of_pictures("samil", &identity, None, &bytes)?;
    let mut training = SamilTraining { model, bags, seed: context.seed, counts };
    trainer::train(&mut training, &Samil::recipe(&settings, bags.len()), &subject, context, observer)
}
