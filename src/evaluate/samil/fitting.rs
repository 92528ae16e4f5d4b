//! A training of SAMIL from its bags to its end, and what is noted of it.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::bag::Bag;
use super::settings::Settings;
use super::training::{Samil, SamilTraining};
use crate::method::part::trainer::{self, Subject};
use crate::method::{Context, EpochFigures, Fitted, Observer};
use crate::results::Epoch;
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

/// Losses by epoch, of both stages.
#[derive(Default)]
pub(super) struct Losses(pub(super) Vec<Epoch>);

impl Observer for Losses {
    fn after_epoch(&mut self, epoch: u64, figures: &EpochFigures, _: &dyn Fitted) -> Result<()> {
        let rows = figures.iter().map(|(quantity, value)| Epoch {
            epoch,
            quantity: (*quantity).to_owned(),
            value: Some(*value),
        });
        self.0.extend(rows);
        Ok(())
    }

    fn state(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.0)?)
    }

    fn restore(&mut self, state: &str) -> Result<()> {
        self.0 = serde_json::from_str(state)?;
        Ok(())
    }
}
