//! A whole cell, as the published script computes one: training, the test set after every epoch, the best epoch on it.

use std::fs;

use anyhow::{Context as _, Result};
use tch::{Kind, Tensor};

use super::{Timed, Workload};
use crate::episode::batch::{Acquisition, Pictures};
use crate::evaluate::smoothing::OnDevice;
use crate::maps::MapStack;
use crate::method::d24fad::Model;
use crate::method::{Detector, Fitted, Prediction, batches};
use crate::metric::auroc::auroc;
use crate::network::formula;
use crate::protocol::{self, Protocol, Smoother as _};

impl Workload {
    /// A cell of `epochs` epochs over `n_train` pictures in batches of `batch`, each followed by the `n_test` pictures of
    /// the test set under every protocol, of which the first half count as anomalous; the value is the published AUROC.
    /// What is kept of features is kept during the cell; of the test set's and the training's, none are there when it begins.
    ///
    /// # Errors
    /// What the training or the scoring fails with.
    pub fn cell(
        &self,
        shots: usize,
        batch: usize,
        [n_train, n_test]: [usize; 2],
        epochs: usize,
    ) -> Result<Timed> {
        let test = pictures(told_apart(&self.pool("image.query", n_test), 1));
        let supports = pictures(self.pool("image.support", shots));
        let pixels = told_apart(&self.pool("image.query", n_train), 0);
        let episodes = super::episodes_of(n_train, shots);
        if self.features.exists() {
            fs::remove_dir_all(&self.features).context("removing the features of the cell before")?;
        }
        let cell = || -> Result<f64> {
            let (mut training, mut optimiser) = self.training(&pixels)?;
            let mut best: Option<f64> = None;
            for _ in 0..epochs {
                for step in episodes.chunks_exact(batch) {
                    let _ = training.step(&step.iter().collect::<Vec<_>>(), &mut optimiser);
                }
                let found = self.published_auroc(&self.model, &supports, &test)?;
                best = [best, found].into_iter().flatten().reduce(f64::max);
            }
            best.context("both classes are there")
        };
        let mut outcome = None;
        let timed = self.timed(1, || {
            let found = cell();
            let value = *found.as_ref().unwrap_or(&f64::NAN);
            outcome = Some(found);
            value
        });
        outcome.context("it ran")??;
        Ok(timed)
    }

    fn published_auroc(&self, model: &Model, supports: &Pictures, test: &Pictures) -> Result<Option<f64>> {
        let detector = model.adapt(supports)?;
        let mut values = Vec::new();
        batches::score(model, &[&*detector], test, self.device, &mut |_, _, prediction| {
            if let Prediction::Maps(maps) = prediction {
                values.extend_from_slice(maps.values());
            }
            Ok(())
        })?;
        let side = self.size as usize;
        let maps = MapStack::new(test.len(), side, side, values)?;
        let scores = protocol::score(&OnDevice::new(&maps, self.device))?;
        let (anomalous, normal) = scores[Protocol::Published].split_at(test.len() / 2);
        let known = |scores: &[Option<f64>]| scores.iter().flatten().copied().collect::<Vec<_>>();
        Ok(auroc(&known(normal), &known(anomalous)))
    }

    /// Maps of one batch, whose teacher's features are kept, each smoothed by itself.
    ///
    /// # Errors
    /// What libtorch or the smoothing fails with.
    pub fn score_again(&self, shots: usize, batch: usize, repeats: usize) -> Result<Timed> {
        formula::fill(&self.model.student.store, "");
        let queries = pictures(self.pixels("image.query", batch));
        let detector = self.model.adapt(&pictures(self.pixels("image.support", shots)))?;
        self.model.encode_again(&queries)?;
        let score = || -> Result<f64> {
            let encoded = self.model.encode_again(&queries)?;
            let Prediction::Maps(maps) = detector.score(&encoded)? else { return Ok(f64::NAN) };
            OnDevice::new(&maps, self.device).own()?;
            let sum: f64 = maps.values().iter().map(|&value| f64::from(value)).sum();
            Ok(sum / maps.values().len() as f64)
        };
        let mut failed = Ok(());
        let timed = self.timed(repeats, || {
            score().unwrap_or_else(|error| {
                failed = Err(error);
                f64::NAN
            })
        });
        failed.map(|()| timed)
    }
}

/// Pictures of 8 bits with their number in the first pixel, so that no two batches are the same and pass the teacher once.
fn told_apart(pixels: &Tensor, set: i64) -> Tensor {
    let pixels = pixels.copy();
    let number = Tensor::arange(pixels.size()[0], (Kind::Int64, pixels.device()));
    let digits = [number.remainder(256), number.divide_scalar_mode(256, "floor"), number.full_like(set)];
    for (channel, digit) in digits.iter().enumerate() {
        pixels.select(1, channel as i64).select(1, 0).select(1, 0).copy_(digit);
    }
    pixels
}

fn pictures(pixels: Tensor) -> Pictures {
    let acquisition = Acquisition { width: 1, height: 1, file_bytes: 1 };
    let n = pixels.size()[0] as usize;
    Pictures::new(pixels, vec![acquisition; n])
}
