//! What one support draw gathers over the epochs of a training, and the cell it becomes.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::cases;
use super::test_set::{Scored, TestSet};
use crate::episode::batch::Pictures;
use crate::manifest::Row;
use crate::manifest::store::PixelStore;
use crate::method::{EpochFigures, Fitted};
use crate::metric::{auroc::auroc, interval};
use crate::random::Stream;
use crate::results::{CellResult, Epoch, Identity, Metric, Score, gallery};

/// The best epoch so far under a published protocol.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Best {
    auroc: Option<f64>,
    epoch: u64,
    scores: Vec<Option<f64>>,
}

/// What the epochs so far have left, beside the last one's scores.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Gathered {
    epochs: Vec<Epoch>,
    published: Best,
    published_2d: Best,
}

/// One support draw over the epochs of a training.
pub struct Draw<'a> {
    pub identity: &'a Identity,
    supports: Pictures,
    pub gathered: Gathered,
    pub last: Option<Scored>,
    /// Spent adapting and scoring, last time.
    pub seconds: f64,
}

impl<'a> Draw<'a> {
    pub fn new(identity: &'a Identity, supports: Pictures) -> Draw<'a> {
        Draw { identity, supports, gathered: Gathered::default(), last: None, seconds: 0.0 }
    }

    /// Adapts to the supports and scores the test set with the model as it stands.
    pub fn score(&mut self, model: &dyn Fitted, test: &TestSet) -> Result<()> {
        let start = Instant::now();
        let detector = model.adapt(&self.supports)?;
        self.last = Some(test.score(&*detector)?);
        self.seconds = start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Logs an epoch and keeps the best one for the published protocols, which choose on the test set.
    pub fn observe(
        &mut self,
        epoch: u64,
        figures: &EpochFigures,
        model: &dyn Fitted,
        test: &TestSet,
    ) -> Result<()> {
        self.score(model, test)?;
        let scores = &self.last.as_ref().context("just scored")?.scores;
        let clean: Vec<Option<f64>> = scores.clean.iter().copied().map(Some).collect();
        let mut log = |quantity: &str, value: Option<f64>| {
            self.gathered.epochs.push(Epoch { epoch, quantity: quantity.to_owned(), value });
        };
        for (quantity, value) in figures {
            log(quantity, Some(*value));
        }
        log("auroc-clean", test.auroc(&clean));
        for (quantity, best, scores) in [
            ("auroc-published-2d", &mut self.gathered.published_2d, &scores.published_2d),
            ("auroc-published", &mut self.gathered.published, &scores.published),
        ] {
            let auroc = test.auroc(scores);
            log(quantity, auroc);
            if best.scores.is_empty() || auroc > best.auroc {
                *best = Best { auroc, epoch, scores: scores.clone() };
            }
        }
        Ok(())
    }

    /// Measures and writes the cell.
    pub fn finish(self, mut result: CellResult, test: &TestSet, store: &PixelStore) -> Result<()> {
        let scored = self.last.as_ref().context("a cell without scores")?;
        let Gathered { epochs, published, published_2d } = self.gathered;
        let n_epochs = epochs.iter().map(|epoch| epoch.epoch).max();
        let some = |scores: &[f64]| scores.iter().copied().map(Some).collect::<Vec<Option<f64>>>();
        let (published_2d, published) = match n_epochs {
            Some(_) => (published_2d, published),
            None => {
                let still = |scores: &[Option<f64>]| Best { auroc: None, epoch: 0, scores: scores.to_vec() };
                (still(&scored.scores.published_2d), still(&scored.scores.published))
            }
        };
        let mut columns = vec![("clean", some(&scored.scores.clean), n_epochs)];
        for (name, scores) in
            [("clean-mean", &scored.scores.clean_mean), ("clean-top1", &scored.scores.clean_top1)]
        {
            columns.extend(scores.as_ref().map(|scores| (name, some(scores), n_epochs)));
        }
        columns.push(("published-2d", published_2d.scores.clone(), n_epochs.map(|_| published_2d.epoch)));
        columns.push(("published", published.scores.clone(), n_epochs.map(|_| published.epoch)));
        result.metrics =
            columns.iter().map(|(name, scores, epoch)| metric(test, name, scores, *epoch)).collect();
        let at = |scores: &Option<Vec<f64>>, index: usize| scores.as_ref().map(|scores| scores[index]);
        let row = |(index, row): (usize, &Row)| Score {
            image_id: row.image_id.clone(),
            label: row.label,
            finding: row.finding.clone(),
            source_path: row.source_path.clone(),
            clean: Some(scored.scores.clean[index]),
            clean_mean: at(&scored.scores.clean_mean, index),
            clean_top1: at(&scored.scores.clean_top1, index),
            published_2d: published_2d.scores[index],
            published: published.scores[index],
        };
        result.scores = test.rows.iter().enumerate().map(row).collect();
        result.epochs = epochs;
        if scored.maps.is_some() {
            let cases = cases::pick(test, store, scored)?;
            gallery::write(&result.folder.join("gallery.safetensors"), &cases)?;
        }
        result.write()
    }
}

fn metric(test: &TestSet, protocol: &str, scores: &[Option<f64>], epoch: Option<u64>) -> Metric {
    let (normal, anomalous) = test.by_class(scores);
    let stream = Stream::new(0, "bootstrap of image AUROC", 0);
    let interval = interval::bootstrap(&normal, &anomalous, stream, auroc);
    Metric {
        protocol: protocol.to_owned(),
        metric: "image-auroc".to_owned(),
        value: auroc(&normal, &anomalous),
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        n_normal: normal.len() as u64,
        n_anomalous: anomalous.len() as u64,
        n_left_out: (scores.len() - normal.len() - anomalous.len()) as u64,
        epoch,
    }
}
