//! Can acquisition alone tell the label? AUROC of single numbers that know nothing of what a picture shows.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprints;
use super::{Finding, Gate, Picture};
use crate::decode::dicom;
use crate::ids::TaskName;
use crate::manifest::{Label, Manifest, Row, Split};
use crate::metric::auroc::auroc;
use crate::metric::interval::bootstrap;
use crate::random::Stream;
use crate::spec::{Audit, Level};

/// One number's AUROC on the test pictures of one task; above 0.5, ill pictures have more of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shortcut {
    /// The task whose label it tells.
    pub task: TaskName,
    /// Which number: size, aspect, border ...
    pub what: String,
    /// `None` where a class is absent or the number is not known for every picture.
    pub auroc: Option<f64>,
    /// 95 %, from a bootstrap over pictures ([`bootstrap`]) of seed [`BOOTSTRAP_SEED`].
    pub interval: Option<(f64, f64)>,
    /// The pictures of the least and the greatest value.
    pub extremes: Vec<Picture>,
}

impl Shortcut {
    /// Whether the whole interval lies further than `margin` from 0.5.
    pub fn is_beyond(&self, margin: f64) -> bool {
        self.interval.is_some_and(|(low, high)| low > 0.5 + margin || high < 0.5 - margin)
    }
}

type Number = (&'static str, fn(&Row, &Fingerprints) -> f64);

const NUMBERS: [Number; 8] = [
    ("size (width times height)", |row, _| f64::from(row.width) * f64::from(row.height)),
    ("aspect (width over height)", |row, _| f64::from(row.width) / f64::from(row.height)),
    ("file size", |row, _| row.file_bytes as f64),
    ("file bytes per pixel", |row, _| row.file_bytes as f64 / (f64::from(row.width) * f64::from(row.height))),
    ("bits a sample", |row, _| f64::from(row.bits)),
    ("mean intensity", |row, fingerprints| fingerprints.of(row).mean),
    ("contrast", |row, fingerprints| fingerprints.of(row).contrast),
    ("border", |row, fingerprints| fingerprints.of(row).border),
];

/// Intervals are drawn from this seed, so that the same manifest has the same ones.
pub const BOOTSTRAP_SEED: u64 = 0;

const VIEW: &str = "view position (AP)";

pub(super) fn gate(
    manifest: &Manifest,
    fingerprints: &Fingerprints,
    thresholds: &Audit,
    raw: Option<&Path>,
) -> Result<(Vec<Shortcut>, Gate)> {
    let asks = "can size, aspect, border, intensity, file size or view position alone tell the label?";
    let mut gate = Gate::new("shortcuts", asks, thresholds.shortcuts);
    if thresholds.shortcuts == Level::Off {
        return Ok((Vec::new(), gate));
    }
    let mut shortcuts = Vec::new();
    for task in manifest.tasks() {
        let rows: Vec<&Row> = manifest.select(&task, Split::Test).collect();
        for (what, number) in NUMBERS {
            let values = rows.iter().map(|row| number(row, fingerprints)).collect();
            shortcuts.push(measure(&task, what, &rows, Some(values)));
        }
        if let Some(raw) = raw {
            let views: Vec<Option<f64>> =
                rows.par_iter().map(|row| ap(&raw.join(&row.source_path))).collect();
            if views.iter().any(Option::is_some) {
                shortcuts.push(measure(&task, VIEW, &rows, views.into_iter().collect()));
            }
        }
    }
    if raw.is_none() {
        gate.notes.push("no raw folder is at hand, so view positions were not read".to_owned());
    }
    for shortcut in shortcuts.iter().filter(|shortcut| shortcut.is_beyond(thresholds.shortcut_margin)) {
        let (Some(auroc), Some((low, high))) = (shortcut.auroc, shortcut.interval) else { continue };
        gate.findings.push(Finding {
            what: format!(
                "{}: {} alone gives AUROC {auroc:.3} [{low:.3}, {high:.3}]",
                shortcut.task, shortcut.what
            ),
            pictures: shortcut.extremes.clone(),
        });
    }
    Ok((shortcuts, gate))
}

/// Of one value for each row; `None` where some are unknown.
fn measure(task: &str, what: &str, rows: &[&Row], values: Option<Vec<f64>>) -> Shortcut {
    let values = values.unwrap_or_default();
    let of = |label: Label| -> Vec<f64> {
        let values = values.iter().zip(rows);
        values.filter(|(_, row)| row.label == label).map(|(value, _)| *value).collect()
    };
    let (normal, anomalous) = (of(Label::Normal), of(Label::Anomalous));
    let stream = Stream::new(BOOTSTRAP_SEED, &format!("audit {task} {what}"), 0);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let ends = [order.first(), order.last()].into_iter().flatten();
    Shortcut {
        task: TaskName::new(task),
        what: what.to_owned(),
        auroc: auroc(&normal, &anomalous),
        interval: bootstrap(&normal, &anomalous, stream, auroc),
        extremes: ends.map(|&index| Picture::of(rows[index])).collect(),
    }
}

/// 1 for a film taken from the front (AP), 0 for another view that the file states.
fn ap(path: &Path) -> Option<f64> {
    let view = dicom::view_position(path).ok()??;
    Some(f64::from(u8::from(view == "AP")))
}
