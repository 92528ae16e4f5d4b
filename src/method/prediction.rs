//! What a detector says of queries, and what it may not say: something that is no number.

use std::fmt;

use anyhow::{Result, anyhow, ensure};

use crate::maps::MapStack;

/// What a detector says about a batch of queries.
pub enum Prediction {
    /// One raw map per query, of the queries' size; the protocol makes image scores of them.
    Maps(MapStack),
    /// One score per query, for methods without maps.
    Scores(Vec<f64>),
    /// Raw maps, and image scores by the method's own published rule.
    Both(MapStack, Vec<f64>),
}

/// Which [`Prediction`] a method makes, where that is known before it makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// [`Prediction::Maps`].
    Maps,
    /// [`Prediction::Scores`].
    Scores,
    /// [`Prediction::Both`].
    Both,
    /// Only the prediction tells, such as that of somebody's program.
    Unknown,
}

/// A score or a value of a map that is no finite number: nothing may be ranked by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotANumber {
    /// Of the picture among the queries, from 0.
    pub place: usize,
    /// NaN or infinite.
    pub value: f64,
}

impl NotANumber {
    /// The error for a picture of that name.
    pub fn of(self, name: &str) -> anyhow::Error {
        anyhow!("the score of {name} is {}: are the weights sound?", self.value)
    }
}

impl fmt::Display for NotANumber {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the score of query {} is {}: are the weights sound?", self.place + 1, self.value)
    }
}

impl std::error::Error for NotANumber {}

impl Prediction {
    /// Holds it against the contract: `n` queries, each with finite values.
    ///
    /// # Errors
    /// [`NotANumber`] for the first value that is none, or another number of scores or maps.
    pub fn checked(self, n: usize) -> Result<Prediction> {
        let (maps, scores) = match &self {
            Prediction::Maps(maps) => (Some(maps), None),
            Prediction::Scores(scores) => (None, Some(scores)),
            Prediction::Both(maps, scores) => (Some(maps), Some(scores)),
        };
        if let Some(maps) = maps {
            ensure!(maps.count() == n, "{} maps for {n} pictures", maps.count());
            let n_each = (maps.height() * maps.width()).max(1);
            let mut values = maps.values().iter().enumerate();
            if let Some((at, &value)) = values.find(|(_, value)| !value.is_finite()) {
                return Err(NotANumber { place: at / n_each, value: value.into() }.into());
            }
        }
        if let Some(scores) = scores {
            ensure!(scores.len() == n, "{} scores for {n} pictures", scores.len());
            if let Some((place, &value)) = scores.iter().enumerate().find(|(_, value)| !value.is_finite()) {
                return Err(NotANumber { place, value }.into());
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(prediction: Prediction, n: usize) -> Option<usize> {
        let error = prediction.checked(n).err()?;
        Some(error.downcast::<NotANumber>().expect("no number").place)
    }

    #[test]
    fn what_is_no_number_is_found_and_the_rest_passes() {
        let maps = |values: [f32; 6]| MapStack::new(3, 1, 2, values.to_vec()).expect("three maps");
        let sound = [0.0, -1.0, 2.0, f32::MAX, 1e-30, 5.0];
        assert_eq!(place(Prediction::Both(maps(sound), vec![0.0, 1.0, -2.0]), 3), None);
        assert_eq!(place(Prediction::Maps(maps([0.0, 0.0, 0.0, f32::NAN, 0.0, 0.0])), 3), Some(1));
        assert_eq!(place(Prediction::Scores(vec![0.0, 1.0, f64::NEG_INFINITY]), 3), Some(2));
        assert_eq!(place(Prediction::Both(maps(sound), vec![f64::NAN, 0.0, 0.0]), 3), Some(0));
        assert!(Prediction::Scores(vec![0.0; 2]).checked(3).is_err(), "one score is missing");
        assert!(Prediction::Maps(maps(sound)).checked(2).is_err(), "one map is too many");
    }
}
