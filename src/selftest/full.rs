//! A card whose memory is nearly full: batches are halved until they fit, and scores stay what they were.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::methods::{Given, scores};
use super::{Numbers, Options, Part, Record, apart};
use crate::episode::batch::Pictures;
use crate::method::part::grid;
use crate::method::part::learner::Fixed;
use crate::method::{Detector, Encoded, Fitted, Prediction, batches};
use crate::network::remembering::Remembering;
use crate::network::{Backbone, Input, card};

/// Bytes that are left free, beside up to 20 MiB that no piece fills: enough for some pictures, not for 256, whose first
/// layer alone takes 64 MiB and its pooling 16.
const SPARED: i64 = 40 << 20;
/// Bytes of the pieces that fill the rest of a card.
const PIECES: [i64; 5] = [4 << 30, 512 << 20, 64 << 20, 16 << 20, 4 << 20];

/// Pictures that are scored.
const PICTURES: usize = 1024;

pub(super) fn run(options: &Options, record: &mut Record) -> Result<()> {
    let given = Given::new()?;
    let context = given.context(options.device, Numbers::F32);
    let many: Vec<usize> = (0..PICTURES).map(|index| index % given.queries.len()).collect();
    let many = given.queries.at(&many);
    // While there is room: what does not fit a card with one picture is an error, not tried here.
    let detector = Fixed::new(AtOnce { teacher: context.teacher(Backbone::Resnet18, Input::ImageNet)? });
    let (few, _) = score(&detector, &given.queries, options)?;
    card::give_back_memory(options.device);
    let bytes = |bytes: i64| Tensor::f_empty([bytes], (Kind::Uint8, options.device));
    let spared = bytes(SPARED)?;
    let mut ballast = Vec::new();
    for size in PIECES {
        while let Ok(piece) = bytes(size) {
            ballast.push(piece);
        }
    }
    drop(spared);
    let found = score(&detector, &many, options);
    drop(ballast);
    let (found, at_once) = found?;
    ensure!(at_once < 256, "{at_once} pictures at once fitted a full card, so nothing was tried");
    ensure!(found.len() == PICTURES, "{} scores of {PICTURES} pictures", found.len());
    let expected: Vec<f64> = (0..PICTURES).map(|index| few[index % few.len()]).collect();
    let what = "scores on a card whose memory is full, relative";
    record.check(Part::Twice, what, Numbers::F32, apart(&found, &expected), Some(1e-5));
    Ok(())
}

/// Mean of the teacher's last stage. Methods may pass pictures through their teacher in parts; this passes all at once.
struct AtOnce {
    teacher: Rc<Remembering>,
}

impl Detector for AtOnce {
    fn score(&self, queries: &Encoded) -> Result<Prediction> {
        let queries = queries.pictures();
        let deep = self.teacher.features(&queries.pixels).deep;
        let means = deep.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Double);
        Ok(Prediction::Scores(grid::to_scores(&means)?))
    }
}

fn score(model: &dyn Fitted, pictures: &Pictures, options: &Options) -> Result<(Vec<f64>, usize)> {
    let (mut all, detector) = (Vec::new(), model.adapt(pictures)?);
    let at_once = batches::score(model, &[&*detector], pictures, options.device, &mut |_, _, prediction| {
        all.extend(scores(prediction, None)?);
        Ok(())
    })?;
    Ok((all, at_once))
}
