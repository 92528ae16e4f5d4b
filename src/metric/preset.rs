//! A threshold that is set before any test picture is seen, from the supports alone, and what it does.

/// Scores of supports, each by the others: what normal pictures get that a method has not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    left_out: Vec<f64>,
}

impl Preset {
    /// From each support's score with the others as its support set; `None` without any.
    pub fn new(left_out: Vec<f64>) -> Option<Preset> {
        (!left_out.is_empty() && left_out.iter().all(|score| score.is_finite()))
            .then_some(Preset { left_out })
    }

    /// The highest of them. What is above it is called anomalous, which happens to a normal picture with a chance of
    /// at most one in as many as there are supports and one more, if it is drawn as they were.
    pub fn threshold(&self) -> f64 {
        self.left_out.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The chance that [`Preset::threshold`] promises.
    pub fn promised_fpr(&self) -> f64 {
        1.0 / (self.left_out.len() as f64 + 1.0)
    }

    /// The conformal p-value of a score: the share of the supports and itself that reach it. Small is anomalous, and
    /// no smaller than [`Preset::promised_fpr`].
    pub fn p_value(&self, score: f64) -> f64 {
        let reach = self.left_out.iter().filter(|&&other| other >= score).count();
        (1 + reach) as f64 * self.promised_fpr()
    }
}

/// How a threshold divides two classes; a score above it is called anomalous.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Division {
    hits: f64,
    misses: f64,
    false_alarms: f64,
    left_alone: f64,
}

impl Division {
    /// `None` if a class is absent.
    pub fn new(normal: &[f64], anomalous: &[f64], threshold: f64) -> Option<Division> {
        let above = |scores: &[f64]| scores.iter().filter(|&&score| score > threshold).count() as f64;
        let (hits, false_alarms) = (above(anomalous), above(normal));
        (!normal.is_empty() && !anomalous.is_empty()).then_some(Division {
            hits,
            misses: anomalous.len() as f64 - hits,
            false_alarms,
            left_alone: normal.len() as f64 - false_alarms,
        })
    }

    /// Share of the anomalous pictures above the threshold.
    pub fn sensitivity(&self) -> f64 {
        self.hits / (self.hits + self.misses)
    }

    /// Share of the normal pictures above the threshold.
    pub fn false_positive_rate(&self) -> f64 {
        self.false_alarms / (self.false_alarms + self.left_alone)
    }

    /// The mean of sensitivity and specificity.
    pub fn balanced_accuracy(&self) -> f64 {
        (self.sensitivity() + 1.0 - self.false_positive_rate()) / 2.0
    }

    /// Matthews' correlation coefficient; `None` where all pictures are called alike.
    pub fn mcc(&self) -> Option<f64> {
        let Division { hits, misses, false_alarms, left_alone } = self;
        let spread =
            (hits + false_alarms) * (hits + misses) * (left_alone + false_alarms) * (left_alone + misses);
        (spread > 0.0).then(|| (hits * left_alone - false_alarms * misses) / spread.sqrt())
    }
}
