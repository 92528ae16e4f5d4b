//! Figures of single cells' scores under `clean`: ROC curves and histograms.

use anyhow::Result;

use super::chart::{Figure, Heading, ticks};
use super::colour::{FAINT, MUTED, SERIES};
use super::drawing::Anchor;
use super::exemplar::{Exemplar, Exemplars};
use super::grid::{Grid, Multiples, back_to_front, colours, legend};
use super::summary::Summary;
use crate::manifest::Label;

const BINS: usize = 18;
/// Points of a curve that lie closer than this, in either rate, are drawn as one.
const GRAIN: f64 = 0.004;

/// One panel for each task, one curve for each method.
pub(super) fn curves(summary: &Summary, exemplars: &Exemplars) -> Result<Figure> {
    let multiples = Multiples::new(summary.tasks.len());
    let heading = Heading {
        name: "roc",
        title: "ROC curves, protocol clean".to_owned(),
        caption:
            "One cell each: most shots, first draw. False positive rate to the right, true positive rate \
                  upwards; the diagonal is chance."
                .to_owned(),
        alt: "Receiver operating characteristic curves, one panel for each task, one curve for each method."
            .to_owned(),
        warning: summary.warning.as_deref(),
        legend: legend(summary),
    };
    let (unit, colours) = ((0.0, 1.0), colours(summary));
    heading.figure(multiples.size(), |sketch, top| {
        for (index, task) in summary.tasks.iter().enumerate() {
            let panel = multiples.panel(top, index, unit, unit);
            panel.ticks_x(sketch, &ticks(unit, 5));
            panel.ticks_y(sketch, &ticks(unit, 5));
            panel.frame(sketch, task);
            panel.curve(sketch, &[(0.0, 0.0), (1.0, 1.0)], FAINT, 1);
            let (left, foot) = (panel.left + panel.width / 2.0, panel.top + panel.height + 26.0);
            sketch.text((left, foot), 11, MUTED, Anchor::Middle, "false positive rate");
            let upright = (panel.left - 36.0, panel.top + panel.height / 2.0);
            sketch.turned_text(upright, 11, MUTED, "true positive rate");
            for entrant in back_to_front(summary) {
                let points = exemplars.of(entrant, task).map(roc).unwrap_or_default();
                panel.curve(sketch, &points, colours[entrant], if colours[entrant] == FAINT { 1 } else { 2 });
            }
        }
    })
}

/// False and true positive rates from the highest threshold down; empty if a class is absent.
fn roc(exemplar: &Exemplar) -> Vec<(f64, f64)> {
    let mut scores = exemplar.scores.clone();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let anomalous = scores.iter().filter(|(_, label)| *label == Label::Anomalous).count();
    let normal = scores.len() - anomalous;
    if normal == 0 || anomalous == 0 {
        return Vec::new();
    }
    let (mut points, mut hits, mut alarms) = (vec![(0.0, 0.0)], 0, 0);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        let positive = tied.iter().filter(|(_, label)| *label == Label::Anomalous).count();
        (hits, alarms) = (hits + positive, alarms + tied.len() - positive);
        let point = (alarms as f64 / normal as f64, hits as f64 / anomalous as f64);
        let last = points[points.len() - 1];
        if point.0 - last.0 >= GRAIN || point.1 - last.1 >= GRAIN || point == (1.0, 1.0) {
            points.push(point);
        }
    }
    points
}

/// Methods down, tasks across: how the scores of the two classes lie.
pub(super) fn histograms(summary: &Summary, exemplars: &Exemplars) -> Result<Figure> {
    let grid = Grid::new(summary.entrants.len(), summary.tasks.len(), 54.0).with_ticks(10.0, 0.0);
    let heading = Heading {
        name: "histograms",
        title: "Image scores by class, protocol clean".to_owned(),
        caption: "One cell each: most shots, first draw. Every panel runs from its lowest to its highest score, so \
                  that only the overlap of the classes can be compared; each class is scaled to its own share of \
                  pictures. An empty panel has no scores."
            .to_owned(),
        alt: "Histograms of image scores for normal and anomalous pictures, methods down, tasks across.".to_owned(),
        warning: summary.warning.as_deref(),
        legend: vec![("normal".to_owned(), SERIES[0]), ("anomalous".to_owned(), SERIES[1])],
    };
    heading.figure(grid.size(), |sketch, top| {
        grid.name_columns(sketch, top, &summary.tasks);
        for (row, entrant) in summary.entrants.iter().enumerate() {
            grid.name_row(sketch, top, row, &entrant.label);
            for (column, task) in summary.tasks.iter().enumerate() {
                let shares = exemplars.of(row, task).map(|cell| histogram(&cell.scores)).unwrap_or_default();
                let peak = shares.iter().flat_map(|(_, bins)| bins).copied().fold(1e-9, f64::max);
                let panel = grid.panel(top, row, column, (0.0, BINS as f64), (0.0, peak * 1.05));
                panel.frame(sketch, "");
                for (label, bins) in &shares {
                    let colour = SERIES[usize::from(*label == Label::Anomalous)];
                    panel.curve(sketch, &outline(bins), colour, 2);
                }
            }
        }
    })
}

type Histogram = (Label, [f64; BINS]);

fn histogram(scores: &[(f64, Label)]) -> Vec<Histogram> {
    let low = scores.iter().map(|s| s.0).fold(f64::INFINITY, f64::min);
    let high = scores.iter().map(|s| s.0).fold(f64::NEG_INFINITY, f64::max);
    let width = if high > low { high - low } else { 1.0 };
    let of = |label: Label| {
        let mine: Vec<f64> = scores.iter().filter(|s| s.1 == label).map(|s| s.0).collect();
        let mut bins = [0.0; BINS];
        for score in &mine {
            let bin = ((score - low) / width * BINS as f64) as usize;
            bins[bin.min(BINS - 1)] += 1.0 / mine.len() as f64;
        }
        (label, bins)
    };
    [Label::Normal, Label::Anomalous].map(of).to_vec()
}

fn outline(bins: &[f64; BINS]) -> Vec<(f64, f64)> {
    let steps = bins.iter().enumerate().flat_map(|(i, &share)| [(i as f64, share), (i as f64 + 1.0, share)]);
    [(0.0, 0.0)].into_iter().chain(steps).chain([(BINS as f64, 0.0)]).collect()
}
