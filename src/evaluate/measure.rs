//! Every number of a cell that its scores give, and a threshold that the supports set.

use super::test_set::TestSet;
use crate::metric::preset::Preset;
use crate::metric::{Metric, image};
use crate::protocol::Protocol;
use crate::results::Measured;

/// The scores of one protocol by class, and where they come from.
pub(super) struct Scores {
    protocol: Protocol,
    normal: Vec<f64>,
    anomalous: Vec<f64>,
    n_left_out: usize,
    /// The epoch whose maps were used.
    epoch: Option<u64>,
}

impl Scores {
    /// `values` are `None` for pictures that the protocol leaves out.
    pub(super) fn new(
        test: &TestSet,
        protocol: Protocol,
        values: &[Option<f64>],
        epoch: Option<u64>,
    ) -> Scores {
        let (normal, anomalous) = test.by_class(values);
        let n_left_out = values.len() - normal.len() - anomalous.len();
        Scores { protocol, normal, anomalous, n_left_out, epoch }
    }

    /// AUROC, with its interval over pictures.
    pub(super) fn ranked(&self) -> Measured {
        self.measured(image::ranked(&self.normal, &self.anomalous))
    }

    /// Everything else that they tell.
    pub(super) fn along_thresholds(&self) -> impl Iterator<Item = Measured> {
        let numbers = image::along_thresholds(&self.normal, &self.anomalous);
        numbers.into_iter().map(|number| self.measured(number))
    }

    /// What the threshold does that the supports set; undefined where they set none.
    pub(super) fn at_preset(&self, preset: Option<&Preset>) -> impl Iterator<Item = Measured> {
        let threshold = preset.map(Preset::threshold);
        let first = (Metric::ImagePresetThreshold, (threshold, None));
        let last = (Metric::ImagePresetPromisedFpr, (preset.map(Preset::promised_fpr), None));
        let numbers = image::at_threshold(&self.normal, &self.anomalous, threshold);
        [first].into_iter().chain(numbers).chain([last]).map(|number| self.measured(number))
    }

    fn measured(&self, number: (Metric, image::Value)) -> Measured {
        let counts = [self.normal.len(), self.anomalous.len(), self.n_left_out];
        Measured { epoch: self.epoch, ..Measured::of(self.protocol, number, counts) }
    }
}
