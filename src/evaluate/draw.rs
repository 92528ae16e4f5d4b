//! What one support draw gathers over the epochs of a training, and the cell it becomes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::measure::{self, Scores};
use super::test_set::{self, Scored, TestSet};
use super::{cases, stop};
use crate::episode::batch::Pictures;
use crate::manifest::Row;
use crate::manifest::store::PixelStore;
use crate::method::{EpochFigures, Fitted};
use crate::metric::preset::Preset;
use crate::metric::quantile::median;
use crate::protocol::ImageScores;
use crate::results::{CellResult, Epoch, Identity, Score, gallery};

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
    published_shuffled: Best,
    published_2d: Best,
    /// The best epoch on the source tasks, under `clean`.
    source: Best,
}

/// One support draw over the epochs of a training.
pub struct Draw<'a> {
    pub identity: &'a Identity,
    supports: Pictures,
    pub gathered: Gathered,
    pub last: Option<Scored>,
    /// Spent adapting and scoring, last time.
    pub seconds: f64,
    /// The threshold that the supports set, where they do.
    preset: Option<Preset>,
}

/// Time and runs for the latency of one picture, whichever ends first.
const LATENCY: (Duration, usize) = (Duration::from_millis(300), 100);

impl<'a> Draw<'a> {
    pub fn new(identity: &'a Identity, supports: Pictures) -> Draw<'a> {
        Draw { identity, supports, gathered: Gathered::default(), last: None, seconds: 0.0, preset: None }
    }

    /// Adapts to the supports and scores the test set with the model as it stands.
    pub fn score(&mut self, model: &dyn Fitted, test: &TestSet) -> Result<()> {
        let start = Instant::now();
        let detector = model.adapt(&self.supports)?;
        self.last = Some(test.score(&*detector)?);
        self.seconds = start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Scores each support by the others, so that they set a threshold without any test picture. Undefined for one
    /// support, and where taking supports in is a training, which would have to be repeated for each.
    pub fn preset(&mut self, model: &dyn Fitted) -> Result<()> {
        let n = self.supports.len();
        if n < 2 || model.trains_on_supports() {
            return Ok(());
        }
        let left_out = (0..n).map(|index| {
            let others: Vec<usize> = (0..n).filter(|&other| other != index).collect();
            let others = self.supports.at(&others);
            let detector = model.adapt(&others)?;
            test_set::clean_score(&*detector, &self.supports.at(&[index]))
        });
        self.preset = Preset::new(left_out.collect::<Result<_>>()?);
        Ok(())
    }

    /// Seconds for one picture, supports taken in: the median of some runs.
    pub fn latency(&self, model: &dyn Fitted, test: &TestSet) -> Result<f64> {
        let detector = model.adapt(&self.supports)?;
        let (limit, most) = LATENCY;
        let start = Instant::now();
        let mut seconds = Vec::new();
        while seconds.len() < 3 || (seconds.len() < most && start.elapsed() < limit) {
            let run = Instant::now();
            test_set::clean_score(&*detector, &test.first())?;
            seconds.push(run.elapsed().as_secs_f64());
        }
        median(&mut seconds).context("at least three runs")
    }

    /// Logs an epoch and keeps the best one for the published protocols, which choose on the test set, and the best
    /// one by what the model reaches `on_sources`, if that was asked for.
    pub fn observe(
        &mut self,
        epoch: u64,
        figures: &EpochFigures,
        model: &dyn Fitted,
        test: &TestSet,
        on_sources: Option<f64>,
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
        if on_sources.is_some() {
            log("auroc-source-tasks", on_sources);
        }
        let source = &mut self.gathered.source;
        if on_sources > source.auroc {
            *source = Best { auroc: on_sources, epoch, scores: clean };
        }
        for (quantity, best, scores) in [
            ("auroc-published-2d", &mut self.gathered.published_2d, &scores.published_2d),
            ("auroc-published", &mut self.gathered.published, &scores.published),
            ("auroc-published-shuffled", &mut self.gathered.published_shuffled, &scores.published_shuffled),
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
        let Gathered { epochs, published, published_shuffled, published_2d, source } = self.gathered;
        let n_epochs = epochs.iter().map(|epoch| epoch.epoch).max();
        let some = |scores: &[f64]| scores.iter().copied().map(Some).collect::<Vec<Option<f64>>>();
        let [published_2d, published, published_shuffled] = match n_epochs {
            Some(_) => [published_2d, published, published_shuffled],
            None => {
                let still = |scores: &[Option<f64>]| Best { auroc: None, epoch: 0, scores: scores.to_vec() };
                let ImageScores { published_2d, published, published_shuffled, .. } = &scored.scores;
                [published_2d, published, published_shuffled].map(|scores| still(scores))
            }
        };
        let clean = some(&scored.scores.clean);
        let clean = Scores::new(test, "clean", &clean, n_epochs);
        result.metrics.push(clean.ranked());
        result.metrics.extend(clean.along_thresholds());
        result.metrics.extend(clean.at_preset(self.preset.as_ref()));
        if let Some(maps) = &scored.maps {
            let preset = self.preset.as_ref().filter(|_| scored.scores_are_of_maps);
            result.metrics.extend(measure::pixels(test, store, maps, preset, n_epochs)?);
        }
        for (protocol, values) in
            [("clean-mean", &scored.scores.clean_mean), ("clean-top1", &scored.scores.clean_top1)]
        {
            if let Some(values) = values {
                result.metrics.push(Scores::new(test, protocol, &some(values), n_epochs).ranked());
            }
        }
        if source.auroc.is_some() {
            let scores = Scores::new(test, "clean-source", &source.scores, Some(source.epoch));
            result.metrics.push(scores.ranked());
            result.metrics.extend(scores.along_thresholds());
        }
        for (protocol, best) in [
            ("published-2d", &published_2d),
            ("published", &published),
            ("published-shuffled", &published_shuffled),
        ] {
            let scores = Scores::new(test, protocol, &best.scores, n_epochs.map(|_| best.epoch));
            result.metrics.push(scores.ranked());
            result.metrics.extend(scores.along_thresholds());
        }
        let at = |scores: &Option<Vec<f64>>, index: usize| scores.as_ref().map(|scores| scores[index]);
        let row = |(index, row): (usize, &Row)| Score {
            image_id: row.image_id.clone(),
            label: row.label,
            finding: row.finding.clone(),
            source_path: row.source_path.clone(),
            group: row.patient_id.clone().or_else(|| row.group_id.clone()),
            p_value: self.preset.as_ref().map(|preset| preset.p_value(scored.scores.clean[index])),
            clean: Some(scored.scores.clean[index]),
            clean_mean: at(&scored.scores.clean_mean, index),
            clean_top1: at(&scored.scores.clean_top1, index),
            published_2d: published_2d.scores[index],
            published: published.scores[index],
            published_shuffled: published_shuffled.scores[index],
            clean_source: source.scores.get(index).copied().flatten(),
        };
        result.scores = test.rows.iter().enumerate().map(row).collect();
        result.epochs = epochs;
        let cases = scored.maps.as_ref().map(|_| cases::pick(test, store, scored)).transpose()?;
        // Measuring takes long and waits for nobody; writing is what a signal waits for.
        let _writing = stop::writing();
        if let Some(cases) = cases {
            gallery::write(&result.folder.join("gallery.safetensors"), &cases)?;
        }
        result.write()
    }
}
