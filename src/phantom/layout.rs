//! Which pictures there are, and what their owners would call the files.

use crate::phantom::Counts;
use crate::random::{Stream, rank};

/// A picture to be drawn.
pub(super) struct Subject {
    /// The owner's label.
    pub finding: &'static str,
    /// Path below the source's folder.
    pub path: String,
    /// The owner's identifier, which label tables use.
    pub id: String,
    /// Boxes that the owner's table has for it, where that is known beforehand.
    pub n_boxes: Option<usize>,
    /// Whether the owner's label tables name it; his own test pictures have no labels.
    pub is_labelled: bool,
}

impl Subject {
    pub(super) fn new(finding: &'static str, folder: &str, id: String, extension: &str) -> Subject {
        let path = format!("{folder}/{id}.{extension}");
        Subject { finding, path, id, n_boxes: None, is_labelled: true }
    }
}

/// `train/good`, `test/good` and `test/Ungood`; numbers restart in every folder.
pub(super) fn camelyon16(counts: &Counts, _seed: u64) -> Vec<Subject> {
    let parts = [
        ("good", "train/good", counts.train_normal),
        ("good", "test/good", counts.test_normal),
        ("Ungood", "test/Ungood", counts.anomalous),
    ];
    let part = |(finding, folder, count): (&'static str, &'static str, usize)| {
        (0..count).map(move |order| Subject::new(finding, folder, (1000 + order).to_string(), "png"))
    };
    parts.into_iter().flat_map(part).collect()
}

/// One folder per class; numbers run through both.
pub(super) fn lag(counts: &Counts, seed: u64) -> Vec<Subject> {
    let findings = repeated(&[("non_glaucoma", normals(counts)), ("suspicious_glaucoma", counts.anomalous)]);
    let mut numbers: Vec<usize> = (1..=findings.len()).collect();
    Stream::new(seed, "phantom numbers of lag", 0).shuffle(&mut numbers);
    let subject = |(finding, number): (&'static str, usize)| {
        Subject::new(finding, &format!("{finding}/image"), format!("{number:04}"), "jpg")
    };
    findings.into_iter().zip(numbers).map(subject).collect()
}

/// One folder, names of 12 hexadecimal digits; the label table tells the grade.
pub(super) fn aptos(counts: &Counts, seed: u64) -> Vec<Subject> {
    let grades = ["1", "2", "3", "4"];
    let mut findings = repeated(&[("0", normals(counts))]);
    findings.extend((0..counts.anomalous).map(|order| grades[order % grades.len()]));
    let subject = |(order, finding)| {
        let id = hexadecimal(seed, "phantom names of aptos", order)[..12].to_owned();
        Subject::new(finding, "train_images", id, "png")
    };
    findings.into_iter().enumerate().map(subject).collect()
}

/// One folder, names like UUIDs; the label tables tell the class.
pub(super) fn rsna(counts: &Counts, seed: u64) -> Vec<Subject> {
    let findings = repeated(&[
        ("Normal", normals(counts)),
        ("Lung Opacity", counts.anomalous),
        ("No Lung Opacity / Not Normal", counts.other),
    ]);
    let subject =
        |(order, finding)| Subject::new(finding, "stage_2_train_images", patient(seed, order), "dcm");
    findings.into_iter().enumerate().map(subject).collect()
}

/// `Training` and `Testing`, a folder per class, names such as `Tr-gl_0010.jpg`.
pub(super) fn brain_tumor_mri(counts: &Counts, _seed: u64) -> Vec<Subject> {
    let [glioma, meningioma] = [counts.anomalous.div_ceil(2), counts.anomalous / 2];
    let parts = [
        ("notumor", "no", counts.train_normal, counts.test_normal),
        ("glioma", "gl", glioma.div_ceil(2), glioma / 2),
        ("meningioma", "me", meningioma.div_ceil(2), meningioma / 2),
        ("pituitary", "pi", counts.other.div_ceil(2), counts.other / 2),
    ];
    let mut subjects = Vec::new();
    for (finding, short, training, testing) in parts {
        for (side, prefix, count) in [("Training", "Tr", training), ("Testing", "Te", testing)] {
            let folder = format!("{side}/{finding}");
            let name = |order: usize| format!("{prefix}-{short}_{:04}", 10 + order);
            subjects.extend((0..count).map(|order| Subject::new(finding, &folder, name(order), "jpg")));
        }
    }
    subjects
}

/// An id like a UUID.
pub(super) fn patient(seed: u64, order: usize) -> String {
    let hex = hexadecimal(seed, "phantom patients of rsna", order);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn normals(counts: &Counts) -> usize {
    counts.train_normal + counts.test_normal
}

pub(super) fn repeated(findings: &[(&'static str, usize)]) -> Vec<&'static str> {
    findings.iter().flat_map(|&(finding, count)| std::iter::repeat_n(finding, count)).collect()
}

/// 32 hexadecimal digits that tell nothing about the picture.
pub(super) fn hexadecimal(seed: u64, purpose: &str, order: usize) -> String {
    rank(seed, purpose, &order.to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}
