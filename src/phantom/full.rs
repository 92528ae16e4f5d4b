//! Every picture of the owners' releases, by their counts and in their names.

use anyhow::{Context, Result};

use crate::phantom::Counts;
use crate::phantom::layout::{self, Subject, hexadecimal, patient, repeated};
use crate::phantom::mask::Region;
use crate::random::Stream;

/// The layout of `MedIAnomaly`: 5,088, 1,120 and 1,113 patches.
pub(super) fn camelyon16(seed: u64) -> Vec<Subject> {
    let counts = Counts { train_normal: 5088, test_normal: 1120, anomalous: 1113, other: 0 };
    layout::camelyon16(&counts, seed)
}

/// The first release: 4,854 pictures numbered 1 to 5849 with gaps.
pub(super) fn lag(seed: u64) -> Vec<Subject> {
    let findings = repeated(&[("non_glaucoma", 3143), ("suspicious_glaucoma", 1711)]);
    let mut numbers: Vec<usize> = (1..=5849).collect();
    Stream::new(seed, "phantom numbers of lag", 0).shuffle(&mut numbers);
    let subject = |(finding, number): (&'static str, usize)| {
        Subject::new(finding, &format!("{finding}/image"), format!("{number:04}"), "jpg")
    };
    findings.into_iter().zip(numbers).map(subject).collect()
}

/// 3,662 graded pictures and 1,928 without grades.
pub(super) fn aptos(seed: u64) -> Vec<Subject> {
    let graded = repeated(&[("0", 1805), ("1", 370), ("2", 999), ("3", 193), ("4", 295)]);
    let n_graded = graded.len();
    let subject = |(order, finding): (usize, &'static str)| {
        let is_labelled = order < n_graded;
        let folder = if is_labelled { "train_images" } else { "test_images" };
        let id = hexadecimal(seed, "phantom names of aptos", order)[..12].to_owned();
        Subject { is_labelled, ..Subject::new(finding, folder, id, "png") }
    };
    graded.into_iter().chain(repeated(&[("0", 1928)])).enumerate().map(subject).collect()
}

/// 26,684 films with 9,555 boxes on 6,012 of them, and 3,000 films without labels.
pub(super) fn rsna(seed: u64) -> Vec<Subject> {
    const OPACITY: &str = "Lung Opacity";
    const N_FILMS: usize = 26_684;
    const N_TWO_BOXES: usize = 9555 - 6012;
    let findings = repeated(&[
        (OPACITY, 6012),
        ("Normal", 8851),
        ("No Lung Opacity / Not Normal", 11_821),
        ("Normal", 3000),
    ]);
    let subject = |(order, finding): (usize, &'static str)| {
        let is_labelled = order < N_FILMS;
        let folder = if is_labelled { "stage_2_train_images" } else { "stage_2_test_images" };
        let n_boxes = (finding == OPACITY).then_some(if order < N_TWO_BOXES { 2 } else { 1 });
        Subject { n_boxes, is_labelled, ..Subject::new(finding, folder, patient(seed, order), "dcm") }
    };
    findings.into_iter().enumerate().map(subject).collect()
}

/// 7,023 slices; some names carry `Tr` before the underscore.
pub(super) fn brain_tumor_mri(_seed: u64) -> Vec<Subject> {
    let parts = [
        (
            "Training",
            "Tr",
            [
                ("glioma", "gl", 1321),
                ("meningioma", "me", 1339),
                ("notumor", "no", 1595),
                ("pituitary", "pi", 1457),
            ],
        ),
        (
            "Testing",
            "Te",
            [
                ("glioma", "gl", 300),
                ("meningioma", "me", 306),
                ("notumor", "no", 405),
                ("pituitary", "pi", 300),
            ],
        ),
    ];
    let mut subjects = Vec::new();
    for (side, prefix, classes) in parts {
        for (finding, short, count) in classes {
            for order in 0..count {
                let suffix = if order < 10 { "Tr" } else { "" };
                let name = format!("{prefix}-{short}{suffix}_{order:04}");
                subjects.push(Subject::new(finding, &format!("{side}/{finding}"), name, "jpg"));
            }
        }
    }
    subjects
}

/// As many boxes as the owner's table has: the one round everything, or its upper and lower half.
pub(super) fn boxes(regions: &[Region], count: usize) -> Result<Vec<Region>> {
    let left = regions.iter().map(|region| region.x).min().context("an ill film without a lesion")?;
    let top = regions.iter().map(|region| region.y).min().unwrap_or(0);
    let right = regions.iter().map(|region| region.x + region.width).max().unwrap_or(left);
    let bottom = regions.iter().map(|region| region.y + region.height).max().unwrap_or(top);
    let step = (bottom - top) / count;
    let part = |index: usize| Region { x: left, y: top + index * step, width: right - left, height: step };
    Ok((0..count).map(part).collect())
}
