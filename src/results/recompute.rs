//! The numbers of a cell that follow from its scores, computed again.

use std::collections::BTreeMap;

use super::{CellResult, Measured};
use crate::manifest::Label;
use crate::metric::{Metric, image};
use crate::protocol::Protocol;

/// Stored numbers that do not follow from the stored scores, each in a sentence; and how many do. Numbers of maps are not
/// among them, nor is the threshold that the supports set: neither maps nor supports' scores are stored.
pub fn recompute(result: &CellResult) -> (usize, Vec<String>) {
    let mut holding = 0;
    let mut broken = Vec::new();
    for protocol in Protocol::all() {
        let stored: Vec<&Measured> = result.metrics.iter().filter(|row| row.protocol == protocol).collect();
        let follows = follows(result, protocol);
        for row in stored {
            let Some(expected) = follows.get(&row.metric) else { continue };
            match same(row, expected) {
                true => holding += 1,
                false => broken.push(format!(
                    "{} under {protocol} is stored as {} and follows from the scores as {}",
                    row.metric,
                    words(row.value),
                    words(expected.value)
                )),
            }
        }
    }
    (holding, broken)
}

/// Every image-level number under one protocol that follows from a cell's scores, in the order of their names.
pub fn image_level(result: &CellResult, protocol: Protocol) -> Vec<Measured> {
    follows(result, protocol).into_values().collect()
}

/// What the scores of a protocol give, by metric.
fn follows(result: &CellResult, protocol: Protocol) -> BTreeMap<Metric, Measured> {
    let of = |label: Label| -> Vec<f64> {
        let own = result.scores.iter().filter(|score| score.label == label);
        own.filter_map(|score| score.under(protocol)).collect()
    };
    let (normal, anomalous) = (of(Label::Normal), of(Label::Anomalous));
    let threshold = result.metric(protocol, Metric::ImagePresetThreshold).and_then(|row| row.value);
    let numbers = [image::ranked(&normal, &anomalous)]
        .into_iter()
        .chain(image::along_thresholds(&normal, &anomalous))
        .chain(image::at_threshold(&normal, &anomalous, threshold));
    let counts = [normal.len(), anomalous.len(), result.scores.len() - normal.len() - anomalous.len()];
    let measured = |number: (Metric, image::Value)| (number.0, Measured::of(protocol, number, counts));
    numbers.map(measured).collect()
}

/// Whether all but the epoch is the same; the same program gives the same bits.
fn same(stored: &Measured, expected: &Measured) -> bool {
    *stored == Measured { epoch: stored.epoch, ..expected.clone() }
}

fn words(value: Option<f64>) -> String {
    value.map_or("undefined".to_owned(), |value| value.to_string())
}
