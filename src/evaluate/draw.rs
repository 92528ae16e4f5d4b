//! What one support draw gathers over the epochs of a training, and the cell it becomes.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::measure::Scores;
use super::test_set::{self, Scored, TestSet};
use super::{gallery_cases, left_out, stop};
use crate::episode::batch::Pictures;
use crate::files::lock::Lock;
use crate::manifest::Row;
use crate::manifest::store::PixelStore;
use crate::method::{Detector, EpochFigures, Fitted};
use crate::metric::preset::Preset;
use crate::metric::quantile::median;
use crate::progress::STEPS;
use crate::protocol::{EpochRule, Protocol, Reduction};
use crate::results::{
    CellResult, Epoch, GALLERY, Identity, KeptMaps, MAPS, Measured, Score, gallery, of_maps,
};

/// The epoch that a protocol would choose so far.
#[derive(Clone, Serialize, Deserialize)]
struct Best {
    auroc: Option<f64>,
    epoch: u64,
    scores: Vec<Option<f64>>,
}

/// What the epochs so far have left, beside the last one's scores.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Gathered {
    epochs: Vec<Epoch>,
    /// The last epoch, if the test set was not scored after it: only its figures are there.
    #[serde(default)]
    pub passed: Option<u64>,
    /// Under the protocols that choose an epoch.
    best: BTreeMap<Protocol, Best>,
}

impl Gathered {
    fn log(&mut self, epoch: u64, figures: &EpochFigures) {
        let entry = |(quantity, value): &(&str, f64)| Epoch {
            epoch,
            quantity: (*quantity).to_owned(),
            value: Some(*value),
        };
        self.epochs.extend(figures.iter().map(entry));
    }
}

/// What a support draw hands to the method.
pub(super) struct Given {
    pub supports: Pictures,
    /// As many of the target, for methods that may see them.
    pub anomalies: Option<Pictures>,
}

impl Given {
    fn adapt<'m>(&self, model: &'m dyn Fitted) -> Result<Box<dyn Detector + 'm>> {
        match &self.anomalies {
            Some(anomalies) => model.adapt_with_anomalies(&self.supports, anomalies),
            None => model.adapt(&self.supports),
        }
    }
}

/// One support draw over the epochs of a training.
pub(super) struct Draw<'a> {
    pub identity: &'a Identity,
    given: Given,
    pub gathered: Gathered,
    pub last: Option<Rc<Scored>>,
    /// Spent adapting and scoring, last time; an equal part where several were scored together, and all of it where one was
    /// for all.
    pub seconds: f64,
    /// The threshold that the supports set, where they do.
    preset: Option<Preset>,
    /// Whether maps are kept.
    keeps_maps: bool,
    /// What the epoch left that protocol `published` would choose, where maps are kept; a training that is resumed has
    /// forgotten it.
    best_maps: Option<(u64, Rc<Scored>)>,
}

/// Bytes of detectors and of their maps that are held at once, as long as it is more than one.
const AT_ONCE: usize = 1 << 30;

/// Adapts the model as it stands to the supports of the first of `draws`, as many as there is memory for, and scores the
/// test set by all of them. Where supports change nothing, the first one's scores are those of all. Returns how many.
pub(super) fn score_some(draws: &mut [Draw], model: &dyn Fitted, test: &TestSet) -> Result<usize> {
    let start = Instant::now();
    let mut detectors: Vec<Box<dyn Detector + '_>> = Vec::new();
    let mut held = 0;
    for draw in &mut *draws {
        // Where each takes a training, one that is done is written before the next begins.
        if !detectors.is_empty() && (held >= AT_ONCE || model.trains_on_supports()) {
            break;
        }
        draw.last = None;
        let detector = match draw.given.adapt(model) {
            // The draws before it are scored and written first; it is tried again, and fails, by itself.
            Err(_) if !detectors.is_empty() => break,
            detector => detector?,
        };
        held += detector.bytes() + test.map_bytes();
        detectors.push(detector);
        if model.ignores_supports() {
            break;
        }
    }
    let scored = test.score(model, &detectors.iter().map(|detector| &**detector).collect::<Vec<_>>())?;
    let mut scored: Vec<Rc<Scored>> = scored.into_iter().map(Rc::new).collect();
    if let (true, Some(first)) = (model.ignores_supports(), scored.first().cloned()) {
        scored.resize(draws.len(), first);
    }
    let n = scored.len();
    let seconds = start.elapsed().as_secs_f64() / detectors.len() as f64;
    for (draw, scored) in draws.iter_mut().zip(scored) {
        (draw.last, draw.seconds) = (Some(scored), seconds);
    }
    Ok(n)
}

/// Time and runs for the latency of one picture, whichever ends first.
const LATENCY: (Duration, usize) = (Duration::from_millis(300), 100);

impl<'a> Draw<'a> {
    pub(super) fn new(identity: &'a Identity, given: Given, keeps_maps: bool) -> Draw<'a> {
        Draw {
            identity,
            given,
            gathered: Gathered::default(),
            last: None,
            seconds: 0.0,
            preset: None,
            keeps_maps,
            best_maps: None,
        }
    }

    /// The maps to be kept, if they are to be and there are any.
    fn kept_maps(&self) -> Option<KeptMaps> {
        let last = self.last.as_ref().filter(|_| self.keeps_maps)?.maps.clone()?;
        let chosen = self.gathered.best.get(&Protocol::Published);
        let best =
            self.best_maps.as_ref().filter(|(epoch, _)| chosen.is_some_and(|best| best.epoch == *epoch));
        Some(KeptMaps { last, best: best.and_then(|(_, scored)| scored.maps.clone()) })
    }

    /// Has the supports set a threshold, without any test picture; not where anomalies are given with them.
    pub(super) fn preset(&mut self, model: &dyn Fitted) -> Result<()> {
        if self.given.anomalies.is_some() {
            return Ok(());
        }
        let score = &mut |detector: &dyn Detector, one: &Pictures| {
            test_set::ranked_score(detector, &model.encode_again(one)?)
        };
        self.preset = left_out::preset(model, &self.given.supports, score)?;
        Ok(())
    }

    /// Seconds for one picture, supports taken in: the median of some runs.
    pub(super) fn latency(&self, model: &dyn Fitted, test: &TestSet) -> Result<f64> {
        let detector = self.given.adapt(model)?;
        let (first, (limit, most)) = (test.first(), LATENCY);
        let start = Instant::now();
        let mut seconds = Vec::new();
        while seconds.len() < 3 || (seconds.len() < most && start.elapsed() < limit) {
            let run = Instant::now();
            test_set::ranked_score(&*detector, &model.encode(&first)?)?;
            seconds.push(run.elapsed().as_secs_f64());
        }
        median(&mut seconds).context("at least three runs")
    }

    /// Logs an epoch after which the test set is not scored; what an earlier one left is no longer the last.
    pub(super) fn pass_over(&mut self, epoch: u64, figures: &EpochFigures) {
        self.gathered.log(epoch, figures);
        (self.gathered.passed, self.last) = (Some(epoch), None);
    }

    /// Logs an epoch that was just scored, and keeps the best one for the protocols that choose on the test set, and for those that choose
    /// by what the model reaches `on_sources`, if that was asked for.
    pub(super) fn observe(
        &mut self,
        epoch: u64,
        figures: &EpochFigures,
        test: &TestSet,
        on_sources: Option<f64>,
    ) -> Result<()> {
        let all = &self.last.as_ref().context("just scored")?.scores;
        self.gathered.log(epoch, figures);
        let Gathered { epochs, best, passed } = &mut self.gathered;
        *passed = None;
        let mut log = |quantity: String, value| epochs.push(Epoch { epoch, quantity, value });
        for (protocol, scores) in all.iter().filter(|(protocol, _)| test.has(*protocol)) {
            let auroc = match protocol.rule().epoch {
                EpochRule::Last if protocol != Protocol::RANKED => continue,
                EpochRule::BestOnSources if on_sources.is_none() => continue,
                EpochRule::BestOnSources => on_sources,
                EpochRule::BestOnTest | EpochRule::Last => test.auroc(scores),
            };
            log(logged(protocol), auroc);
            let is_better = best.get(&protocol).is_none_or(|best| auroc > best.auroc);
            if protocol == Protocol::Published && is_better && self.keeps_maps {
                self.best_maps = self.last.clone().map(|scored| (epoch, scored));
            }
            if protocol.rule().epoch != EpochRule::Last && is_better {
                best.insert(protocol, Best { auroc, epoch, scores: scores.to_vec() });
            }
        }
        Ok(())
    }

    /// The scores under a protocol, of the epoch that it chooses, and that epoch; `None` where it has none.
    fn chosen(&self, protocol: Protocol) -> Option<(&[Option<f64>], Option<u64>)> {
        let Gathered { epochs, best, .. } = &self.gathered;
        if let Some(best) = best.get(&protocol) {
            return Some((&best.scores, Some(best.epoch)));
        }
        let last = epochs.iter().map(|epoch| epoch.epoch).max();
        let scores = self.last.as_ref()?.scores.get(protocol)?;
        (protocol.rule().epoch != EpochRule::BestOnSources).then_some((scores, last))
    }

    /// Measures the cell, and writes it if `lock` is still held.
    pub(super) fn finish(
        self,
        mut result: CellResult,
        test: &TestSet,
        store: &PixelStore,
        lock: &Lock,
    ) -> Result<()> {
        let (identity, scoring) = (self.identity, self.seconds);
        let scored = self.last.as_ref().context("a cell without scores")?;
        let chosen: Vec<_> = Protocol::all()
            .filter(|protocol| test.has(*protocol))
            .filter_map(|protocol| self.chosen(protocol).map(|(scores, epoch)| (protocol, scores, epoch)))
            .collect();
        for &(protocol, scores, epoch) in &chosen {
            result.metrics.extend(self.measured(protocol, scores, epoch, scored, test, store)?);
        }
        let ranked = scored.scores.ranked();
        let row = |(index, row): (usize, &Row)| Score {
            image_id: row.image_id.clone(),
            label: row.label,
            finding: row.finding.clone(),
            group: row.patient_id.clone().or_else(|| row.group_id.clone()),
            p_value: self.preset.as_ref().map(|preset| preset.p_value(ranked[index])),
            scores: chosen
                .iter()
                .filter_map(|(protocol, scores, _)| Some((*protocol, scores[index]?)))
                .collect(),
        };
        result.scores = test.rows.iter().enumerate().map(row).collect();
        let maps = self.kept_maps();
        let cases = scored.maps.as_ref().map(|_| gallery_cases::pick(test, store, scored)).transpose()?;
        result.epochs = self.gathered.epochs;
        // Measuring takes long and waits for nobody; writing is what a signal waits for.
        let _writing = stop::writing();
        lock.ensure_held()?;
        if let Some(cases) = cases {
            gallery::write(&result.folder.join(GALLERY), &cases)?;
        }
        if let Some(maps) = maps {
            maps.write(&result.folder.join(MAPS))?;
        }
        result.write()?;
        let Identity { method, task, shots, draw, seed, .. } = identity;
        log::debug!(
            target: STEPS,
            "cell {}, {method} on {task}, {shots}-shot, draw {draw}, seed {seed}: done, scored in {scoring:.1} s",
            identity.id()
        );
        Ok(())
    }

    /// Every number under one protocol; what thresholds and maps tell only where scores are maxima, and what the
    /// supports' threshold does only where scores rank.
    fn measured(
        &self,
        protocol: Protocol,
        scores: &[Option<f64>],
        epoch: Option<u64>,
        scored: &Scored,
        test: &TestSet,
        store: &PixelStore,
    ) -> Result<Vec<Measured>> {
        let scores = Scores::new(test, protocol, scores, epoch);
        let mut metrics = vec![scores.ranked()];
        if protocol.rule().reduction == Reduction::Maximum {
            metrics.extend(scores.along_thresholds());
        }
        if protocol == Protocol::RANKED {
            metrics.extend(scores.at_preset(self.preset.as_ref()));
            if let Some(maps) = &scored.maps {
                let preset = self.preset.as_ref().filter(|_| scored.scores_are_of_maps);
                let rows: Vec<&Row> = test.rows.iter().collect();
                metrics.extend(of_maps::pixels(&rows, store, maps, preset, epoch)?);
            }
        }
        Ok(metrics)
    }
}

/// What the AUROC by which a protocol chooses, or would, is called among the epochs.
fn logged(protocol: Protocol) -> String {
    match protocol.rule().epoch {
        EpochRule::BestOnSources => "auroc-source-tasks".to_owned(),
        _ => format!("auroc-{protocol}"),
    }
}
