//! Can acquisition alone tell the label? AUROC of single numbers that know nothing of what a picture shows.

use std::path::Path;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::near::Prints;
use super::{Finding, Gate, Picture};
use crate::decode::dicom;
use crate::manifest::{Label, Manifest, Row, Split};
use crate::metric::auroc::auroc;
use crate::metric::interval::bootstrap;
use crate::random::Stream;
use crate::spec::{Audit, Level};

/// One number's AUROC on the test pictures of one task; above 0.5, ill pictures have more of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shortcut {
    pub task: String,
    pub what: String,
    /// `None` where a class is absent or the number is not known for every picture.
    pub auroc: Option<f64>,
    /// 95 %, from a bootstrap over pictures.
    pub interval: Option<(f64, f64)>,
    /// The pictures of the least and the greatest value.
    pub extremes: Vec<Picture>,
}

type Number = (&'static str, fn(&Row, &Prints) -> f64);

const NUMBERS: [Number; 8] = [
    ("size (width times height)", |row, _| f64::from(row.width) * f64::from(row.height)),
    ("aspect (width over height)", |row, _| f64::from(row.width) / f64::from(row.height)),
    ("file size", |row, _| row.file_bytes as f64),
    ("file bytes per pixel", |row, _| row.file_bytes as f64 / (f64::from(row.width) * f64::from(row.height))),
    ("bits a sample", |row, _| f64::from(row.bits)),
    ("mean intensity", |row, prints| prints.of(row).mean),
    ("contrast", |row, prints| prints.of(row).contrast),
    ("border", |row, prints| prints.of(row).border),
];

const VIEW: &str = "view position (AP)";

pub(super) fn gate(
    manifest: &Manifest,
    prints: &Prints,
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
            shortcuts.push(measure(&task, what, &rows, |row| Some(number(row, prints))));
        }
        if let Some(raw) = raw {
            let views: Vec<Option<f64>> =
                rows.par_iter().map(|row| ap(&raw.join(&row.source_path))).collect();
            if views.iter().any(Option::is_some) {
                let of = |row: &Row| views[rows.iter().position(|other| std::ptr::eq(*other, row))?];
                shortcuts.push(measure(&task, VIEW, &rows, of));
            }
        }
    }
    if raw.is_none() {
        gate.notes.push("no raw folder is at hand, so view positions were not read".to_owned());
    }
    let margin = thresholds.shortcut_margin;
    for shortcut in &shortcuts {
        let (Some(auroc), Some((low, high))) = (shortcut.auroc, shortcut.interval) else { continue };
        if low > 0.5 + margin || high < 0.5 - margin {
            gate.findings.push(Finding {
                what: format!(
                    "{}: {} alone gives AUROC {auroc:.3} [{low:.3}, {high:.3}]",
                    shortcut.task, shortcut.what
                ),
                pictures: shortcut.extremes.clone(),
            });
        }
    }
    Ok((shortcuts, gate))
}

fn measure(task: &str, what: &str, rows: &[&Row], number: impl Fn(&Row) -> Option<f64>) -> Shortcut {
    let values: Option<Vec<f64>> = rows.iter().map(|row| number(row)).collect();
    let of = |label: Label| -> Vec<f64> {
        let values = values.iter().flatten().zip(rows);
        values.filter(|(_, row)| row.label == label).map(|(value, _)| *value).collect()
    };
    let (normal, anomalous) = (of(Label::Normal), of(Label::Anomalous));
    let stream = Stream::new(0, &format!("audit {task} {what}"), 0);
    let mut order: Vec<usize> = (0..values.as_ref().map_or(0, Vec::len)).collect();
    order.sort_by(|&a, &b| values.as_ref().map_or(std::cmp::Ordering::Equal, |v| v[a].total_cmp(&v[b])));
    let ends = [order.first(), order.last()].into_iter().flatten();
    Shortcut {
        task: task.to_owned(),
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
