//! What the D2-4FAD paper reports, for a reader who wants to compare.
//!
//! Image AUROC per task, main table of "D2-4FAD: Dual Distillation for Few-Shot Anomaly Detection".
//! The values are as notes on the paper and its reviews quote them.
//! Neither our data selection nor, without the authors' checkpoints, our weights are theirs.

/// The method that the values belong to.
pub(super) const METHOD: &str = "d24fad";

/// Another method's image AUROC in the same table, for tasks and shots that we know of.
pub(super) struct Rival {
    pub method: &'static str,
    /// InCTRL trains on other data sets' anomalies too (R3), MVFA is given anomalies of the target (R4).
    pub regime: &'static str,
    pub task: &'static str,
    pub shots: usize,
    pub auroc: f64,
}

const fn inctrl(task: &'static str, shots: usize, auroc: f64) -> Rival {
    Rival { method: "InCTRL", regime: "R3", task, shots, auroc }
}

const fn mvfa(task: &'static str, shots: usize, auroc: f64) -> Rival {
    Rival { method: "MVFA", regime: "R4", task, shots, auroc }
}

/// Rivals in D2-4FAD's table.
pub(super) const RIVALS: [Rival; 10] = [
    inctrl("his", 2, 0.718),
    inctrl("lag", 4, 0.711),
    inctrl("aptos", 2, 0.895),
    inctrl("rsna", 4, 0.814),
    inctrl("brain_tumor", 4, 0.918),
    mvfa("his", 2, 0.764),
    mvfa("lag", 4, 0.772),
    mvfa("aptos", 2, 0.861),
    mvfa("rsna", 4, 0.874),
    mvfa("brain_tumor", 4, 0.937),
];

/// Shots of the columns of [`VALUES`].
pub(super) const SHOTS: [usize; 3] = [2, 4, 8];

/// Tasks in the paper's order, each with its image AUROC for 2, 4 and 8 shots.
pub(super) const VALUES: [(&str, [f64; 3]); 5] = [
    ("his", [0.942, 0.942, 0.943]),
    ("lag", [0.947, 0.962, 0.973]),
    ("aptos", [1.0, 1.0, 1.0]),
    ("rsna", [0.889, 0.979, 0.992]),
    ("brain_tumor", [0.955, 0.953, 0.955]),
];

/// The paper's image AUROC, if it reports this task and number of shots.
pub(super) fn auroc(task: &str, shots: usize) -> Option<f64> {
    let column = SHOTS.iter().position(|&known| known == shots)?;
    VALUES.iter().find(|(known, _)| *known == task).map(|(_, values)| values[column])
}

/// Sorts tasks in the paper's order, others after them by name.
pub(super) fn task_order(task: &str) -> (usize, String) {
    let place = VALUES.iter().position(|(known, _)| *known == task).unwrap_or(VALUES.len());
    (place, task.to_owned())
}
