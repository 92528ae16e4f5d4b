//! Numbers along the thresholds of a score: average precision, best F1, operating points, partial AUROC.
//!
//! A picture is called anomalous if its score reaches the threshold; thresholds are the distinct scores, so ties
//! are never told apart.

/// What is called anomalous at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    threshold: f64,
    /// Anomalous pictures that reach it.
    hits: f64,
    /// Normal ones that do.
    false_alarms: f64,
}

/// All distinct thresholds of two classes of scores, highest first.
#[derive(Clone, Debug)]
pub struct Ranking {
    steps: Vec<Step>,
    n_anomalous: f64,
    n_normal: f64,
}

impl Ranking {
    /// `None` if a class is absent or a score is not a number.
    pub fn new(normal: &[f64], anomalous: &[f64]) -> Option<Ranking> {
        let classes = [(normal, false), (anomalous, true)];
        let mut all: Vec<(f64, bool)> =
            classes.iter().flat_map(|(scores, class)| scores.iter().map(|&score| (score, *class))).collect();
        if normal.is_empty() || anomalous.is_empty() || all.iter().any(|(score, _)| score.is_nan()) {
            return None;
        }
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let (mut hits, mut false_alarms) = (0.0, 0.0);
        let steps = all.chunk_by(|a, b| a.0 == b.0).map(|ties| {
            let n_hits = ties.iter().filter(|(_, is_anomalous)| *is_anomalous).count();
            hits += n_hits as f64;
            false_alarms += (ties.len() - n_hits) as f64;
            Step { threshold: ties[0].0, hits, false_alarms }
        });
        let steps = steps.collect();
        Some(Ranking { steps, n_anomalous: anomalous.len() as f64, n_normal: normal.len() as f64 })
    }

    /// Average precision: precision at each threshold, weighted by the recall that it adds. No interpolation; a
    /// score without information gives the share of anomalous pictures.
    pub fn average_precision(&self) -> f64 {
        let mut hits_before = 0.0;
        let parts = self.steps.iter().map(|step| {
            let precision = step.hits / (step.hits + step.false_alarms);
            let recall = (step.hits - hits_before) / self.n_anomalous;
            hits_before = step.hits;
            precision * recall
        });
        parts.sum()
    }

    /// The highest F1 over all thresholds, and the highest threshold that gives it. Chosen with the labels, so an
    /// upper bound.
    pub fn best_f1(&self) -> (f64, f64) {
        let f1 = |step: &Step| 2.0 * step.hits / (self.n_anomalous + step.hits + step.false_alarms);
        let start = (f1(&self.steps[0]), self.steps[0].threshold);
        self.steps[1..].iter().fold(start, |best, step| {
            let f1 = f1(step);
            if f1 > best.0 { (f1, step.threshold) } else { best }
        })
    }

    /// The smallest false positive rate at which at least `sensitivity` of the anomalous pictures are found.
    pub fn fpr_at(&self, sensitivity: f64) -> f64 {
        let enough = self.steps.iter().find(|step| step.hits >= sensitivity * self.n_anomalous);
        enough.map_or(1.0, |step| step.false_alarms / self.n_normal)
    }

    /// The highest sensitivity at which at least `specificity` of the normal pictures are left alone.
    pub fn sensitivity_at(&self, specificity: f64) -> f64 {
        let allowed = |step: &&Step| 1.0 - step.false_alarms / self.n_normal >= specificity;
        let steps = self.steps.iter().take_while(allowed);
        steps.last().map_or(0.0, |step| step.hits / self.n_anomalous)
    }

    /// The area under the ROC curve up to a false positive rate of `limit`, over `limit`; lines between thresholds.
    pub fn partial_auroc(&self, limit: f64) -> f64 {
        let curve =
            self.steps.iter().map(|step| (step.false_alarms / self.n_normal, step.hits / self.n_anomalous));
        area_up_to(curve, limit)
    }
}

/// The area under a rising curve that starts at (0, 0), up to `limit` on its first axis, over `limit`.
pub fn area_up_to(curve: impl Iterator<Item = (f64, f64)>, limit: f64) -> f64 {
    let (mut area, mut before) = (0.0, (0.0, 0.0));
    for (x, y) in curve {
        if x > limit {
            let share = (limit - before.0) / (x - before.0);
            let end = before.1 + share * (y - before.1);
            area += (limit - before.0) * (before.1 + end) / 2.0;
            return area / limit;
        }
        area += (x - before.0) * (before.1 + y) / 2.0;
        before = (x, y);
    }
    // The curve ends at 1, unless nothing lies outside of what it counts.
    (area + (limit - before.0) * before.1) / limit
}
