//! The page of an audit: gates, the pictures of every finding, the shortcut table. One file that opens offline.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use askama::Template;

use super::drawing::data_url;
use crate::audit::{BOOTSTRAP_SEED, Finding, Picture, Report, Shortcut};
use crate::ids::TaskName;
use crate::manifest::Manifest;
use crate::manifest::store::PixelStore;
use crate::metric::interval::N_RESAMPLES;

/// Findings of one gate that are shown with pictures; the others are in `audit.json`.
const N_SHOWN: usize = 60;

#[derive(Template)]
#[template(path = "audit.html", config = "src/report/askama.toml")]
struct Page<'a> {
    report: &'a Report,
    verdict: &'static str,
    gates: Vec<ShownGate<'a>>,
    shortcuts: Vec<ShownShortcut<'a>>,
    n_resamples: usize,
    bootstrap_seed: u64,
}

struct ShownGate<'a> {
    name: &'a str,
    asks: &'a str,
    outcome: &'static str,
    left_out: Option<&'a str>,
    findings: Vec<ShownFinding<'a>>,
    n_findings: usize,
    notes: &'a [String],
    remedy: Option<&'a str>,
}

struct ShownFinding<'a> {
    what: &'a str,
    pictures: Vec<ShownPicture>,
}

struct ShownPicture {
    caption: String,
    /// Empty where the pixel store does not hold it.
    address: String,
}

struct ShownShortcut<'a> {
    task: &'a str,
    what: &'a str,
    auroc: String,
    interval: String,
    /// The interval as a part of a bar from 0 to 100, and the AUROC on it.
    bar: Option<[f64; 3]>,
    is_beyond: bool,
}

/// The page's HTML.
///
/// # Errors
/// A pixel store that cannot be read.
pub fn page(report: &Report, manifest: &Manifest) -> Result<String> {
    let shown_findings = || report.gates.iter().flat_map(|gate| gate.findings.iter().take(N_SHOWN));
    let tasks = shown_findings().flat_map(|finding| &finding.pictures).map(|picture| &picture.task);
    let thumbnails = Thumbnails::open(manifest, tasks.collect())?;
    let finding = |finding: &'_ Finding| -> Result<Vec<ShownPicture>> {
        let picture = |picture: &Picture| {
            Ok(ShownPicture { caption: picture.to_string(), address: thumbnails.address(picture)? })
        };
        finding.pictures.iter().map(picture).collect()
    };
    let mut gates = Vec::new();
    for gate in &report.gates {
        let mut findings = Vec::new();
        for shown in gate.findings.iter().take(N_SHOWN) {
            findings.push(ShownFinding { what: &shown.what, pictures: finding(shown)? });
        }
        gates.push(ShownGate {
            name: &gate.name,
            asks: &gate.asks,
            outcome: gate.outcome().name(),
            left_out: gate.left_out.as_deref(),
            findings,
            n_findings: gate.findings.len(),
            notes: &gate.notes,
            remedy: gate.remedy.as_deref(),
        });
    }
    let margin = report.thresholds.shortcut_margin;
    let shortcuts = report.shortcuts.iter().map(|shortcut| shown(shortcut, margin)).collect();
    let verdict = if report.fails() { "A gate fails." } else { "No gate fails." };
    let (n_resamples, bootstrap_seed) = (N_RESAMPLES, BOOTSTRAP_SEED);
    Page { report, verdict, gates, shortcuts, n_resamples, bootstrap_seed }
        .render()
        .context("filling the audit's page")
}

fn shown(shortcut: &Shortcut, margin: f64) -> ShownShortcut<'_> {
    let interval = shortcut.interval;
    ShownShortcut {
        task: &shortcut.task,
        what: &shortcut.what,
        auroc: shortcut.auroc.map_or_else(|| "undefined".to_owned(), |auroc| format!("{auroc:.3}")),
        interval: interval.map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}")),
        bar: shortcut
            .auroc
            .zip(interval)
            .map(|(auroc, (low, high))| [100.0 * low, 100.0 * (high - low).max(0.01), 100.0 * auroc]),
        is_beyond: shortcut.is_beyond(margin),
    }
}

/// Pixel stores of the smallest size, by task; only of tasks of which a picture is shown.
struct Thumbnails(HashMap<TaskName, PixelStore>);

impl Thumbnails {
    fn open(manifest: &Manifest, tasks: BTreeSet<&TaskName>) -> Result<Thumbnails> {
        let size = manifest.smallest_size()?;
        let open = |task: &TaskName| {
            let store = manifest.task(task)?.store(size)?;
            Ok((task.clone(), store))
        };
        Ok(Thumbnails(tasks.into_iter().map(open).collect::<Result<_>>()?))
    }

    fn address(&self, picture: &Picture) -> Result<String> {
        let Some(store) = self.0.get(&picture.task) else { return Ok(String::new()) };
        data_url(&store.pixels(&picture.pixel_hash)?)
    }
}
