//! The test set of a task, its labels apart from its pictures.

use std::sync::Once;

use anyhow::{Result, bail, ensure};
use tch::Device;

use super::smoothing::OnDevice;
use crate::episode::batch::Pictures;
use crate::manifest::store::PixelStore;
use crate::manifest::{Label, Row};
use crate::maps::MapStack;
use crate::method::{Detector, Encoded, Fitted, Prediction, batches};
use crate::metric::auroc::auroc;
use crate::protocol::{self, Host, ImageScores, Protocol};
use crate::random::Stream;

/// Test pictures in the published, class-sorted order: anomalous before normal, by path within a class.
pub(super) struct TestSet {
    pub rows: Vec<Row>,
    /// What methods see.
    pictures: Pictures,
    /// Where maps are smoothed: where they are made.
    device: Device,
}

/// What one detector said, picture after picture.
#[derive(Default)]
struct Predictions {
    maps: Vec<f32>,
    /// Of a map: height and width.
    side: (usize, usize),
    scores: Vec<f64>,
}

impl Predictions {
    fn take(&mut self, prediction: Prediction) {
        let (maps, scores) = match prediction {
            Prediction::Maps(maps) => (Some(maps), Vec::new()),
            Prediction::Scores(scores) => (None, scores),
            Prediction::Both(maps, scores) => (Some(maps), scores),
        };
        self.scores.extend(scores);
        if let Some(maps) = maps {
            self.side = (maps.height(), maps.width());
            self.maps.extend_from_slice(maps.values());
        }
    }
}

/// Raw maps and the scores of every protocol.
pub(super) struct Scored {
    /// `None` for methods without maps.
    pub maps: Option<MapStack>,
    /// Whether the image scores are the maps' maxima, so that one threshold serves both.
    pub scores_are_of_maps: bool,
    pub scores: ImageScores,
}

impl TestSet {
    /// `shuffle` permutes the labels among the pictures, for the control that must then give 0.5.
    pub(super) fn load(
        store: &PixelStore,
        mut rows: Vec<Row>,
        shuffle: Option<Stream>,
        device: Device,
    ) -> Result<TestSet> {
        if let Some(mut stream) = shuffle {
            ensure!(
                rows.iter().all(|row| row.label != Label::Unopened),
                "labels that are not opened cannot be permuted; leave this control out until they are"
            );
            rows.sort_by(|a, b| (&a.source_path, a.frame).cmp(&(&b.source_path, b.frame)));
            let mut labels: Vec<Label> = rows.iter().map(|row| row.label).collect();
            stream.shuffle(&mut labels);
            rows.iter_mut().zip(labels).for_each(|(row, label)| row.label = label);
        }
        rows.sort_by(|a, b| (b.label, &a.source_path, a.frame).cmp(&(a.label, &b.source_path, b.frame)));
        let pictures = Pictures::load(store, &rows.iter().collect::<Vec<_>>())?;
        Ok(TestSet { rows, pictures, device })
    }

    /// Whether all labels are known: without them there is neither an order of classes nor an epoch that is best.
    pub(super) fn is_open(&self) -> bool {
        self.rows.iter().all(|row| row.label != Label::Unopened)
    }

    /// Whether scores under a protocol can be had.
    pub(super) fn has(&self, protocol: Protocol) -> bool {
        protocol.is_of_one_picture() || self.is_open()
    }

    /// Scores every picture by every one of `detectors`, batch by batch; `model`, which they come from, sees each once.
    pub(super) fn score(&self, model: &dyn Fitted, detectors: &[&dyn Detector]) -> Result<Vec<Scored>> {
        let mut gathered: Vec<Predictions> = detectors.iter().map(|_| Predictions::default()).collect();
        batches::score(model, detectors, &self.pictures, self.device, &mut |place, _, prediction| {
            gathered[place].take(prediction);
            Ok(())
        })
        .map_err(|error| batches::named(error, |place| self.rows[place].source_path.clone()))?;
        gathered.into_iter().map(|predictions| self.scored(predictions)).collect()
    }

    /// Bytes of the maps of all pictures, if there are any.
    pub(super) fn map_bytes(&self) -> usize {
        let side = self.pictures.size() as usize;
        self.rows.len() * side * side * size_of::<f32>()
    }

    /// What predictions come to under every protocol.
    fn scored(&self, predictions: Predictions) -> Result<Scored> {
        let Predictions { maps, side, scores } = predictions;
        if maps.is_empty() {
            let scores = protocol::pass_scores(&scores);
            return Ok(Scored { maps: None, scores_are_of_maps: false, scores });
        }
        let maps = MapStack::new(self.rows.len(), side.0, side.1, maps)?;
        let smoothed = || protocol::score(&OnDevice::new(&maps, self.device));
        let of_maps = match batches::unless_memory_is_full(smoothed)? {
            Some(scores) => scores,
            None => {
                static SAID: Once = Once::new();
                SAID.call_once(|| log::warn!("the device's memory is full: maps are smoothed on the host"));
                protocol::score(&Host(&maps))?
            }
        };
        let scores_are_of_maps = scores.is_empty();
        let scores = if scores_are_of_maps { of_maps } else { protocol::own_scores(&scores, of_maps) };
        Ok(Scored { maps: Some(maps), scores_are_of_maps, scores })
    }

    /// One picture, to time a detector on.
    pub(super) fn first(&self) -> Pictures {
        self.pictures.at(&[0])
    }

    /// Scores by class, normal first; pictures without a score are left out.
    pub(super) fn by_class(&self, scores: &[Option<f64>]) -> (Vec<f64>, Vec<f64>) {
        let of = |label: Label| {
            let rows = self.rows.iter().zip(scores);
            rows.filter(|(row, _)| row.label == label).filter_map(|(_, score)| *score).collect()
        };
        (of(Label::Normal), of(Label::Anomalous))
    }

    /// Image-level AUROC.
    pub(super) fn auroc(&self, scores: &[Option<f64>]) -> Option<f64> {
        let (normal, anomalous) = self.by_class(scores);
        auroc(&normal, &anomalous)
    }
}

/// The score of one picture under the protocol that ranks.
pub(super) fn ranked_score(detector: &dyn Detector, picture: &Encoded) -> Result<f64> {
    let scores = match batches::predict_encoded(detector, picture)? {
        Prediction::Maps(maps) => protocol::of_each(Protocol::RANKED, &maps),
        Prediction::Scores(scores) | Prediction::Both(_, scores) => scores,
    };
    match scores[..] {
        [score] => Ok(score),
        _ => bail!("{} scores for one picture", scores.len()),
    }
}
