//! AUROC of one cell under every choice, from its kept maps or, as far as they tell, from its scores.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::choices::{Epoch, LastBatch, MapSize, OfCell, Smoothing};
use crate::manifest::Label;
use crate::maps::MapStack;
use crate::metric::auroc::auroc;
use crate::protocol::{PUBLISHED_BATCH, Protocol, Reduction, reduced};
use crate::results::{KeptMaps, MAPS, Score, StoredCell};

/// A cell's scores in class-sorted order; maps are read when they are measured, as they may be large.
pub(super) struct OneCell<'a> {
    cell: &'a StoredCell,
    scores: Vec<Score>,
    /// Whether pictures of a class stand together, as published code has them; not where labels were opened later.
    pub is_sorted: bool,
    /// Whether a training chose among epochs.
    pub has_epochs: bool,
}

impl<'a> OneCell<'a> {
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(cell: &'a StoredCell) -> Result<OneCell<'a>> {
        let scores = cell.scores()?;
        let changes = scores.windows(2).filter(|pair| pair[0].label != pair[1].label).count();
        Ok(OneCell { cell, scores, is_sorted: changes <= 1, has_epochs: !cell.epochs()?.is_empty() })
    }

    /// How many pictures were scored.
    pub(super) fn pictures(&self) -> usize {
        self.scores.len()
    }

    /// Whether maps were made, kept or not: their mean is no score of a method without.
    pub(super) fn has_maps(&self) -> bool {
        self.scores.iter().any(|score| score.under(Protocol::CleanMean).is_some())
    }

    /// Whether they were kept.
    pub(super) fn keeps_maps(&self) -> bool {
        self.cell.folder.join(MAPS).exists()
    }

    /// # Errors
    /// Maps that cannot be read, or of other pictures than the scores.
    fn maps(&self) -> Result<Option<KeptMaps>> {
        let maps = self.cell.maps()?;
        ensure!(
            maps.as_ref().is_none_or(|maps| maps.last.count() == self.scores.len()),
            "{} holds {} scores and maps of other pictures; compute the cell again",
            self.cell.folder.display(),
            self.scores.len()
        );
        Ok(maps)
    }

    /// AUROC under each choice; those that cannot be had are not there.
    ///
    /// # Errors
    /// Maps that cannot be read.
    pub(super) fn aurocs(&self, choices: &[OfCell]) -> Result<BTreeMap<OfCell, f64>> {
        let kept = self.maps()?;
        let mut found = BTreeMap::new();
        let mut stacks: BTreeMap<(Epoch, MapSize), Option<MapStack>> = BTreeMap::new();
        let mut smoothed: BTreeMap<(Epoch, MapSize, Smoothing, LastBatch), MapStack> = BTreeMap::new();
        let needs_order = |choice: &OfCell| {
            choice.last_batch == LastBatch::Dropped || choice.smoothing == Smoothing::FourStacked
        };
        for choice in choices.iter().filter(|choice| self.is_sorted || !needs_order(choice)) {
            let scores = match (&kept, self.has_maps()) {
                (Some(maps), _) => {
                    let OfCell { epoch, size, smoothing, reduction, last_batch } = *choice;
                    let stack = stacks.entry((epoch, size)).or_insert_with(|| self.stack(maps, epoch, size));
                    let Some(stack) = stack else { continue };
                    // Only batches depend on which pictures count.
                    let batch =
                        if smoothing == Smoothing::FourStacked { last_batch } else { LastBatch::Kept };
                    let maps = smoothed
                        .entry((epoch, size, smoothing, batch))
                        .or_insert_with(|| smooth(stack, smoothing, batch));
                    reduced(maps, reduction).into_iter().map(Some).collect()
                }
                (None, true) => self.stored(*choice),
                (None, false) => self.stored(of_scores(*choice)),
            };
            let kept = choice.last_batch.of(self.scores.len());
            found.extend(self.auroc(scores.get(..kept).unwrap_or_default()).map(|auroc| (*choice, auroc)));
        }
        Ok(found)
    }

    /// Maps of an epoch; without epochs the last one is the best.
    fn stack(&self, maps: &KeptMaps, epoch: Epoch, size: MapSize) -> Option<MapStack> {
        let stack = match (epoch, self.has_epochs) {
            (Epoch::Best, true) => maps.best.as_ref()?,
            _ => &maps.last,
        };
        match size {
            MapSize::Full => Some(stack.clone()),
            MapSize::Half => stack.halved(),
        }
    }

    /// Scores that the cell has stored under a protocol which makes that choice; empty if none does.
    fn stored(&self, choice: OfCell) -> Vec<Option<f64>> {
        let is_dropped =
            choice.last_batch == LastBatch::Dropped || self.scores.len().is_multiple_of(PUBLISHED_BATCH);
        let is_last = choice.epoch == Epoch::Last || !self.has_epochs;
        let protocol = match (choice.size, choice.smoothing, choice.reduction) {
            (MapSize::Full, Smoothing::Four, Reduction::Maximum) if is_last => Protocol::Clean,
            (MapSize::Full, Smoothing::Four, Reduction::Mean) if is_last => Protocol::CleanMean,
            (MapSize::Full, Smoothing::Four, Reduction::Top1) if is_last => Protocol::CleanTop1,
            (MapSize::Full, Smoothing::Four, Reduction::Maximum) if is_dropped => Protocol::Published2d,
            (MapSize::Full, Smoothing::FourStacked, Reduction::Maximum)
                if is_dropped && (choice.epoch == Epoch::Best || !self.has_epochs) =>
            {
                Protocol::Published
            }
            _ => return Vec::new(),
        };
        self.scores.iter().map(|score| score.under(protocol)).collect()
    }

    /// `None` where a picture has no score or a class is absent.
    fn auroc(&self, scores: &[Option<f64>]) -> Option<f64> {
        let of = |label: Label| -> Option<Vec<f64>> {
            let own = self.scores.iter().zip(scores).filter(|(score, _)| score.label == label);
            own.map(|(_, value)| *value).collect()
        };
        auroc(&of(Label::Normal)?, &of(Label::Anomalous)?)
    }
}

/// Of a method that has no maps, what is done to maps changes nothing.
fn of_scores(choice: OfCell) -> OfCell {
    OfCell { size: MapSize::Full, smoothing: Smoothing::Four, reduction: Reduction::Maximum, ..choice }
}

fn smooth(maps: &MapStack, smoothing: Smoothing, last_batch: LastBatch) -> MapStack {
    match smoothing {
        Smoothing::None => maps.clone(),
        Smoothing::FourStacked => {
            let kept: Vec<usize> = (0..last_batch.of(maps.count())).collect();
            let values = kept
                .chunks(PUBLISHED_BATCH)
                .flat_map(|batch| maps.at(batch).smoothed_across(smoothing.sigma()).values().to_vec())
                .collect();
            let (height, width) = (maps.height(), maps.width());
            MapStack::new(kept.len(), height, width, values).expect("smoothing keeps the shape")
        }
        _ => maps.smoothed(smoothing.sigma()),
    }
}
