//! Every image-level number of a set of scores: one place, for those who measure and those who check.

use super::auroc::auroc;
use super::preset::Division;
use super::ranking::Ranking;
use super::{Metric, interval};
use crate::random::Stream;

/// A number and, for AUROC, its 95 % interval over pictures. Undefined is `None`.
pub type Value = (Option<f64>, Option<(f64, f64)>);

/// Image AUROC with its interval, which resamples pictures by a fixed stream.
pub fn ranked(normal: &[f64], anomalous: &[f64]) -> (Metric, Value) {
    let stream = Stream::new(0, "bootstrap of image AUROC", 0);
    let interval = interval::bootstrap(normal, anomalous, stream, auroc);
    (Metric::ImageAuroc, (auroc(normal, anomalous), interval))
}

/// What scores tell along all thresholds.
pub fn along_thresholds(normal: &[f64], anomalous: &[f64]) -> Vec<(Metric, Value)> {
    let ranking = Ranking::new(normal, anomalous);
    let ranking = ranking.as_ref();
    let best = ranking.map(Ranking::best_f1);
    [
        (Metric::ImageAp, ranking.map(Ranking::average_precision)),
        (Metric::ImageF1Max, best.map(|(f1, _)| f1)),
        (Metric::ImageF1MaxThreshold, best.map(|(_, threshold)| threshold)),
        (Metric::ImageFpr95, ranking.map(|ranking| ranking.fpr_at(0.95))),
        (Metric::ImageSensAtSpec90, ranking.map(|ranking| ranking.sensitivity_at(0.90))),
        (Metric::ImageSensAtSpec95, ranking.map(|ranking| ranking.sensitivity_at(0.95))),
        (Metric::ImagePauroc10, ranking.map(|ranking| ranking.partial_auroc(0.1))),
    ]
    .map(|(metric, value)| (metric, (value, None)))
    .into()
}

/// What a threshold does that was set before; all undefined where none was.
pub fn at_threshold(normal: &[f64], anomalous: &[f64], threshold: Option<f64>) -> [(Metric, Value); 4] {
    let division = threshold.and_then(|threshold| Division::new(normal, anomalous, threshold));
    [
        (Metric::ImagePresetBalancedAccuracy, division.map(|division| division.balanced_accuracy())),
        (Metric::ImagePresetMcc, division.and_then(|division| division.mcc())),
        (Metric::ImagePresetSensitivity, division.map(|division| division.sensitivity())),
        (Metric::ImagePresetFpr, division.map(|division| division.false_positive_rate())),
    ]
    .map(|(metric, value)| (metric, (value, None)))
}
