//! Batches are halved when a device's memory is full, and scores do not depend on it.

use std::cell::RefCell;

use anyhow::{Result, bail};
use medfsad::method::part::learner::Fixed;
use medfsad::method::{Detector, Encoded, Prediction, batches};
use tch::Device;

use super::pictures;

/// Holds so many pictures at once, and fails or panics on more as libtorch does.
struct Small {
    holds: usize,
    panics: bool,
    tried: RefCell<Vec<usize>>,
}

impl Detector for Small {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        self.tried.borrow_mut().push(queries.len());
        if queries.len() > self.holds {
            let text = "CUDA out of memory. Tried to allocate 2.00 GiB";
            assert!(!self.panics, "{text}");
            bail!("{text}");
        }
        Ok(Prediction::Scores(queries.acquisition.iter().map(|a| f64::from(a.width)).collect()))
    }
}

fn widths(detector: &Small) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    let query = pictures("query", 21);
    batches::score(&Fixed::new(detector), &[detector], &query, Device::Cpu, &mut |_, range, prediction| {
        let Prediction::Scores(scores) = prediction else { bail!("no scores") };
        assert_eq!(range, all.len()..all.len() + scores.len());
        all.extend(scores);
        Ok(())
    })?;
    Ok(all)
}

#[test]
fn batches_are_halved_until_they_fit() {
    let expected: Vec<f64> = (40..61).map(f64::from).collect();
    for (holds, panics, tried) in
        [(16, false, vec![16, 5]), (5, false, vec![16, 8, 4, 4, 4, 4, 4, 1]), (8, true, vec![16, 8, 8, 5])]
    {
        let detector = Small { holds, panics, tried: RefCell::default() };
        assert_eq!(widths(&detector).expect("scores"), expected);
        assert_eq!(*detector.tried.borrow(), tried);
    }
    let detector = Small { holds: 0, panics: false, tried: RefCell::default() };
    let error = format!("{:#}", widths(&detector).expect_err("nothing fits"));
    assert!(error.contains("--size"), "{error}");
}

/// Loses count of one picture, by its width.
struct Broken(u32);

impl Detector for Broken {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let score = |width: u32| if width == self.0 { f64::NEG_INFINITY } else { 0.5 };
        Ok(Prediction::Scores(queries.acquisition.iter().map(|a| score(a.width)).collect()))
    }
}

#[test]
fn a_score_that_is_no_number_is_refused_with_its_picture() {
    let score = |width: u32| {
        let query = pictures("query", 21);
        let broken = Broken(width);
        batches::score(&Fixed::new(&broken), &[&broken], &query, Device::Cpu, &mut |_, _, _| Ok(()))
    };
    assert!(score(39).is_ok());
    // The third of the second batch.
    let error = score(58).expect_err("no number");
    assert!(error.to_string().contains("query 19 is -inf"), "{error}");
    let named = batches::named(error, |place| format!("picture-{place}.png"));
    assert!(named.to_string().contains("the score of picture-18.png is -inf"), "{named}");
}
