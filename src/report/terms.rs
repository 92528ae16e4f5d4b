//! Words of the report that a reader may not know, explained where they stand and in a list at its end.

/// A word and what it means.
pub(super) const TERMS: &[(&str, &str)] = &[
    ("shots", "How many normal reference pictures (supports) of the target a method is given."),
    ("draws", "How many different support sets were drawn; each gives a score of its own."),
    ("seeds", "How many trainings from different starting points."),
    (
        "group",
        "Rank group: rows with one letter are not told apart by their intervals. A is the best row and what cannot be told from it.",
    ),
    ("R0", "Regime: the method sees nothing beside the picture."),
    ("R1", "Regime: the method sees the supports, a few normal pictures of the target."),
    ("R2", "Regime: the method sees the supports, and normal training pictures of other tasks."),
    ("R3", "Regime: the method also sees anomalies of other tasks, with their labels."),
    (
        "R4",
        "Regime: the method also sees anomalies of the target, with their labels. Never ranked with the others.",
    ),
    ("R5", "Regime: the method sees all normal training pictures of the target. Not few-shot."),
    (
        "R6",
        "Regime: as R5, and validation pictures of the target without labels, normal and anomalous. Never ranked with the others.",
    ),
    (
        "R6T",
        "Regime: as R5, and the test pictures themselves, without labels: transductive. Never ranked with the others.",
    ),
    ("regime", "What a method was allowed to see beside the picture that it scores."),
    (
        "seen before",
        "Whether pictures of the task may be among those that the pretrained network was trained on.",
    ),
    ("mean", "Mean over tasks; given only where every task is defined."),
    ("worst draw", "The lowest mean of a single support draw."),
    ("clean", "Protocol: each picture's map is smoothed alone, every picture counts, the last epoch counts."),
    (
        "published",
        "Protocol of the published code: maps smoothed across neighbouring test pictures, last batch dropped, best epoch on the test set.",
    ),
    ("published-2d", "The published protocol without smoothing across pictures."),
    (
        "published-2d gap",
        "What choosing the epoch on the test set and dropping the last batch add to the clean mean.",
    ),
    ("published gap", "What the whole published protocol adds to the clean mean."),
    ("seconds", "Fit and score, per cell."),
    (
        "observing",
        "Seconds spent on scoring the test set after epochs, which only the published protocols need.",
    ),
    ("ms a picture", "Median time of one picture, once the supports are taken in."),
    ("peak MiB", "The most memory that the whole process had held by then."),
    ("undefined", "Cells that ran and whose AUROC does not exist, such as of one class only."),
    ("failed", "Cells without scores; the table of failed cells says why."),
    ("sens-at-spec-90", "Sensitivity where 90 % of normal pictures are called normal."),
    ("sens-at-spec-95", "Sensitivity where 95 % of normal pictures are called normal."),
    ("fpr95", "Share of normal pictures called anomalous where 95 % of anomalous ones are found."),
    (
        "ap",
        "Average precision, the area under the precision-recall curve; chance is the share of anomalous pictures, not 0.5.",
    ),
    ("f1-max", "The highest F1 of all thresholds, chosen on the test set: an upper bound."),
    (
        "aupro",
        "Area under the per-region overlap curve up to a false positive rate; see docs/pixel-metrics.md.",
    ),
    ("aupimo", "Per-picture overlap at false positive rates measured on normal pictures alone."),
    ("pauroc-10", "Area under the ROC curve up to a false positive rate of 0.1, over 0.1."),
    (
        "pointing",
        "Share of pictures whose highest map value lies in the lesion mask or at most 15 pixels from it.",
    ),
    ("energy", "Share of the map that lies inside the lesion mask."),
    ("Borda", "Others beaten, summed over tasks."),
    (
        "could show",
        "The smallest true difference that this test set would tell from zero in four of five trials.",
    ),
    ("p, Holm", "p corrected for the number of pairs tested."),
    ("control", "A score that knows nothing of disease, such as the file's size. A useful method beats it."),
];

/// What a word means; `None` for words that need no explanation.
pub(super) fn meaning(word: &str) -> Option<&'static str> {
    TERMS.iter().find(|(term, _)| *term == word).map(|(_, meaning)| *meaning)
}
