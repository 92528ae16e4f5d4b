//! The test set of a task, its labels apart from its pictures.

use anyhow::{Result, bail};

use crate::episode::batch::Pictures;
use crate::manifest::store::PixelStore;
use crate::manifest::{Label, Row};
use crate::maps::MapStack;
use crate::method::{Detector, Prediction};
use crate::metric::auroc::auroc;
use crate::protocol::{self, ImageScores};

/// Queries per batch when scoring; scores do not depend on it.
const BATCH: usize = 16;

/// Test pictures in the published, class-sorted order: anomalous before normal, by path within a class.
pub struct TestSet<'a> {
    pub rows: Vec<&'a Row>,
    /// What methods see.
    pictures: Pictures,
}

/// Raw maps and the scores of every protocol.
pub struct Scored {
    /// `None` for methods without maps.
    pub maps: Option<MapStack>,
    pub scores: ImageScores,
}

impl<'a> TestSet<'a> {
    pub fn load(store: &PixelStore, mut rows: Vec<&'a Row>) -> Result<TestSet<'a>> {
        rows.sort_by(|a, b| (b.label, &a.source_path, a.frame).cmp(&(a.label, &b.source_path, b.frame)));
        let pictures = Pictures::load(store, &rows)?;
        Ok(TestSet { rows, pictures })
    }

    /// Scores every picture, batch by batch.
    pub fn score(&self, detector: &dyn Detector) -> Result<Scored> {
        let (mut maps, mut scores) = (Vec::new(), Vec::new());
        let mut side = (0, 0);
        let indices: Vec<usize> = (0..self.rows.len()).collect();
        for batch in indices.chunks(BATCH) {
            match detector.score(&self.pictures.at(batch))? {
                Prediction::Maps(stack) => {
                    side = (stack.height(), stack.width());
                    maps.extend_from_slice(stack.values());
                }
                Prediction::Scores(batch) => scores.extend(batch),
            }
        }
        let values = maps.iter().map(|&value| f64::from(value)).chain(scores.iter().copied());
        let n_each = (side.0 * side.1).max(1);
        if let Some((place, value)) = values.enumerate().find(|(_, value)| !value.is_finite()) {
            bail!(
                "the score of {} is {value}: are the weights sound?",
                self.rows[place / n_each].source_path
            );
        }
        if maps.is_empty() {
            return Ok(Scored { maps: None, scores: protocol::pass_scores(scores) });
        }
        let maps = MapStack::new(self.rows.len(), side.0, side.1, maps)?;
        let scores = protocol::score_maps(&maps);
        Ok(Scored { maps: Some(maps), scores })
    }

    /// Scores by class, normal first; pictures without a score are left out.
    pub fn by_class(&self, scores: &[Option<f64>]) -> (Vec<f64>, Vec<f64>) {
        let of = |label: Label| {
            let rows = self.rows.iter().zip(scores);
            rows.filter(|(row, _)| row.label == label).filter_map(|(_, score)| *score).collect()
        };
        (of(Label::Normal), of(Label::Anomalous))
    }

    /// Image-level AUROC.
    pub fn auroc(&self, scores: &[Option<f64>]) -> Option<f64> {
        let (normal, anomalous) = self.by_class(scores);
        auroc(&normal, &anomalous)
    }
}
