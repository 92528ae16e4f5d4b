//! A threshold from the supports alone: each is scored by the others.

use anyhow::Result;

use crate::episode::batch::Pictures;
use crate::method::{Detector, Fitted};
use crate::metric::preset::Preset;

/// What normal pictures get that a method has not seen: each support's score with the others as its support set, by
/// `score`. `None` for one support, and where taking supports in is a training, which would have to be repeated for each.
///
/// # Errors
/// What the method or `score` fails with.
pub fn preset(
    model: &dyn Fitted,
    supports: &Pictures,
    score: &mut dyn FnMut(&dyn Detector, &Pictures) -> Result<f64>,
) -> Result<Option<Preset>> {
    let n = supports.len();
    if n < 2 || model.trains_on_supports() {
        return Ok(None);
    }
    let left_out = (0..n).map(|index| {
        let others: Vec<usize> = (0..n).filter(|&other| other != index).collect();
        let others = supports.at(&others);
        let detector = model.adapt(&others)?;
        score(&*detector, &supports.at(&[index]))
    });
    Ok(Preset::new(left_out.collect::<Result<_>>()?))
}
