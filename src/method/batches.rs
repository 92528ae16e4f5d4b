//! Queries in batches: as many at once as the device's memory holds.

use std::ops::Range;
use std::panic::resume_unwind;

use anyhow::{Error, Result, bail};
use tch::Device;

use super::contract::{Detector, Encoded, Fitted};
use super::prediction::{NotANumber, Prediction};
use crate::episode::batch::Pictures;
use crate::panics::{caught_quietly, message};

/// Times as many pictures at once on a card, which small batches leave idle, as on a CPU.
pub const ON_CARD: usize = 16;

/// Scores all of `pictures` in their order on `device`, each batch encoded by `model` once and scored by all of
/// `detectors`, and hands over what each of them gives, by its place. Batches are halved, and it is said so, when the
/// device's memory is full; scores do not depend on it but for rounding. Returns how many were given at once in the end.
///
/// # Errors
/// What the model, a detector or `take` refuses, [`NotANumber`] with the place among all pictures, or a memory that does
/// not hold one picture.
pub fn score(
    model: &dyn Fitted,
    detectors: &[&dyn Detector],
    pictures: &Pictures,
    device: Device,
    take: &mut dyn FnMut(usize, Range<usize>, Prediction) -> Result<()>,
) -> Result<usize> {
    let least = detectors.iter().map(Detector::batch).min().unwrap_or(1);
    let at_once = least.saturating_mul(if device.is_cuda() { ON_CARD } else { 1 });
    let (mut size, mut start) = (at_once.clamp(1, pictures.len().max(1)), 0);
    while start < pictures.len() {
        let range = start..(start + size).min(pictures.len());
        let batch: Vec<usize> = range.clone().collect();
        match unless_memory_is_full(|| predict_all(model, detectors, &pictures.at(&batch)))
            .map_err(|e| behind(e, start))?
        {
            Some(predictions) => {
                start = range.end;
                for (place, prediction) in predictions.into_iter().enumerate() {
                    take(place, range.clone(), prediction)?;
                }
            }
            None if size > 1 => {
                log::warn!("the device's memory is full: batches of {} instead of {size}", size / 2);
                size /= 2;
            }
            None => bail!(
                "the device's memory does not hold one picture; lower --size, or the method's side where it has one, or use --device cpu"
            ),
        }
    }
    Ok(size)
}

fn predict_all(
    model: &dyn Fitted,
    detectors: &[&dyn Detector],
    queries: &Pictures,
) -> Result<Vec<Prediction>> {
    let encoded = model.encode_again(queries)?;
    detectors.iter().map(|detector| predict_encoded(*detector, &encoded)).collect()
}

/// What `detector`, an adapted `model`, says of `queries`, held against the contract. Everything that is scored comes
/// through here or through [`score`].
///
/// # Errors
/// What the model or the detector fails with, and as [`Prediction::checked`].
pub fn predict(model: &dyn Fitted, detector: &dyn Detector, queries: &Pictures) -> Result<Prediction> {
    predict_encoded(detector, &model.encode(queries)?)
}

/// As [`predict`], of queries that `detector`'s model has encoded.
///
/// # Errors
/// What the detector fails with, and as [`Prediction::checked`].
pub fn predict_encoded(detector: &dyn Detector, queries: &Encoded) -> Result<Prediction> {
    detector.score(queries)?.checked(queries.pictures().len())
}

/// Counts a picture without a number among all pictures, not those of its batch.
fn behind(error: Error, start: usize) -> Error {
    match error.downcast::<NotANumber>() {
        Ok(NotANumber { place, value }) => NotANumber { place: start + place, value }.into(),
        Err(error) => error,
    }
}

/// Names the picture that has no number, if that is the error.
pub fn named(error: Error, name: impl Fn(usize) -> String) -> Error {
    match error.downcast::<NotANumber>() {
        Ok(found) => found.of(&name(found.place)),
        Err(error) => error,
    }
}

/// What `work` gives; `None` if libtorch found the device's memory full, which it tells by an error or a panic.
pub(crate) fn unless_memory_is_full<T>(work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    match caught_quietly(says_so, work) {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(error)) if says_so(&format!("{error:#}")) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(panic) if says_so(message(&*panic)) => Ok(None),
        Err(panic) => resume_unwind(panic),
    }
}

fn says_so(text: &str) -> bool {
    text.contains("out of memory")
}
