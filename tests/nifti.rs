//! Volumes are cut as nibabel's canonical orientation says, whatever their file.

pub mod made;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medfsad::decode::nifti::slice_values;
use medfsad::decode::{decode, files_of, frames, label_counts, mask_frames, mask_frames_over, n_frames};
use medfsad::spec::{Axis, Intensity, Reading};

use crate::shared::shared;
use made::{Made, Transform};

fn along(axis: Axis) -> Reading {
    Reading { axis, ..Reading::default() }
}

/// One slice as nibabel reads and turns it.
#[derive(serde::Deserialize)]
struct Expected {
    file: String,
    stored: String,
    axis: Axis,
    frame: u32,
    frames: u32,
    height: usize,
    width: usize,
    /// Of voxels that are numbers; so are the two below.
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    rows: Vec<usize>,
    columns: Vec<usize>,
    /// `None` for what is no number.
    values: Vec<Option<f64>>,
    percentiles: [f64; 2],
}

#[derive(serde::Deserialize)]
struct Reference {
    entries: Vec<Expected>,
}

fn zoo() -> Option<PathBuf> {
    shared("realmini/formats/nifti")
}

fn near(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

#[test]
fn every_volume_has_nibabels_values_orientation_and_percentiles() {
    let Some(folder) = zoo() else { return };
    let text = include_str!("reference/nifti_slices.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    for expected in &reference.entries {
        let (path, reading) = (folder.join(&expected.file), along(expected.axis));
        let name = format!("{} {} {}", expected.file, expected.axis.name(), expected.frame);
        assert_eq!(n_frames(&path, &reading).unwrap(), expected.frames, "{name}");
        let (rows, columns, values) = slice_values(&path, expected.frame, &reading).unwrap();
        assert_eq!((rows, columns), (expected.height, expected.width), "{name}");
        let numbers = || values.iter().copied().filter(|value| !value.is_nan());
        assert!(near(numbers().sum::<f64>(), expected.sum), "{name}: sum");
        let [least, most] = [numbers().reduce(f64::min), numbers().reduce(f64::max)];
        for (ours, theirs) in [(least, expected.min), (most, expected.max)] {
            let is_same = ours.zip(theirs).map_or(ours == theirs, |(ours, theirs)| near(ours, theirs));
            assert!(is_same, "{name}: {least:?} to {most:?}");
        }
        let places =
            expected.rows.iter().flat_map(|row| expected.columns.iter().map(move |c| row * columns + c));
        for (place, theirs) in places.zip(&expected.values) {
            let ours = values[place];
            let is_same = theirs.map_or(ours.is_nan(), |theirs| near(ours, theirs));
            assert!(is_same, "{name}: {ours} at {place}, not {theirs:?}");
        }
        let decoded = frames(&path, &[expected.frame], &reading).unwrap().remove(0).unwrap();
        let policy = &decoded.intensity_policy;
        assert!(policy.contains(&format!("stored as {}", expected.stored)), "{name}: {policy}");
        let [low, high] = expected.percentiles;
        let grey = |value: f64| ((value - low) / (high - low)).clamp(0.0, 1.0) * 255.0;
        for (value, &sample) in values.iter().zip(decoded.pixels.samples()) {
            let theirs = if value.is_nan() { 0.0 } else { grey(*value) };
            assert!((theirs - f64::from(sample)).abs() <= 0.5 + 1e-6, "{name}: {policy}");
        }
    }
    let mut slices: BTreeMap<&str, usize> = BTreeMap::new();
    reference.entries.iter().for_each(|expected| *slices.entry(&expected.file).or_default() += 1);
    for (file, count) in &slices {
        println!("{file} | {count} slices equal to nibabel's along three axes");
    }
    assert_eq!(slices.len(), 16, "volumes of the zoo that nibabel and we read");
}

#[test]
fn broken_volumes_and_what_is_no_picture_are_refused_with_a_reason() {
    let Some(folder) = zoo() else { return };
    for (file, reason) in [
        ("row_major.dconn.nii", "CIFTI"),
        ("broken/bad_magic.nii", "magic"),
        ("broken/truncated.nii", "cut off"),
        ("broken/truncated.nii.gz", "cut gzip"),
        ("example3d_pair.img", "no picture known here"),
    ] {
        let refusal = match frames(&folder.join(file), &[0], &Reading::default()) {
            Err(refusal) => format!("{refusal:#}"),
            Ok(_) => panic!("{file} should be refused"),
        };
        println!("{file} | refused: {refusal}");
        assert!(refusal.contains(reason), "{file}: {refusal}");
    }
    // The name says gzip, the content is a whole volume: content counts.
    let [named, plain] = ["broken/not_gzip.nii.gz", "anatomical.nii"].map(|file| folder.join(file));
    let values = |path: &Path| slice_values(path, 3, &Reading::default()).unwrap().2;
    assert_eq!(values(&named), values(&plain));
}

#[test]
fn a_pair_is_both_of_its_files() {
    let Some(folder) = zoo() else { return };
    let header = folder.join("example3d_pair.hdr");
    assert_eq!(files_of(&header), [header.clone(), folder.join("example3d_pair.img")]);
    let alone = folder.join("anatomical.nii");
    assert_eq!(files_of(&alone), [alone]);
    let refusal = decode(&std::fs::read(&header).unwrap(), 0).unwrap_err();
    assert!(format!("{refusal:#}").contains(".img"));
}

#[test]
fn the_usual_views_come_out_of_any_storage_order() {
    let folder = tempfile::tempdir().unwrap();
    // Values tell their place in the patient: 100 x right + 10 x anterior + superior.
    let shown = |made: &Made, axis: Axis, slice: u32| {
        let path = folder.path().join("made.nii");
        std::fs::write(&path, made.bytes()).unwrap();
        slice_values(&path, slice, &along(axis)).unwrap()
    };
    for made in Made::in_every_orientation() {
        // 2 to the right, 3 to the front, 4 up. Axial: anterior first, the patient's right on the left.
        let axial = shown(&made, Axis::Axial, 3);
        assert_eq!(axial, (3, 2, vec![123.0, 23.0, 113.0, 13.0, 103.0, 3.0]), "{}", made.name);
        let coronal = shown(&made, Axis::Coronal, 1);
        let expected = vec![113.0, 13.0, 112.0, 12.0, 111.0, 11.0, 110.0, 10.0];
        assert_eq!(coronal, (4, 2, expected), "{}", made.name);
        // Sagittal: superior first, anterior on the left.
        let (rows, columns, values) = shown(&made, Axis::Sagittal, 1);
        assert_eq!((rows, columns, &values[..3]), (4, 3, &[123.0, 113.0, 103.0][..]), "{}", made.name);
    }
    assert_eq!(Made::in_every_orientation().len(), 48 * 2 + 1);
}

#[test]
fn an_oblique_volume_takes_the_nearest_axes_and_says_by_how_much() {
    let (sin, cos) = 20f32.to_radians().sin_cos();
    let turned = Made {
        transform: Transform::Sform([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 2.0]]),
        ..Made::plain()
    };
    let decoded = decode(&turned.bytes(), 0).unwrap();
    let policy = &decoded.intensity_policy;
    assert!(
        policy.contains("stored as RAS by its sform, oblique by 20.0 degrees; voxels 1 x 1 x 2 mm"),
        "{policy}"
    );
    let flat = Made {
        transform: Transform::Sform([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ..Made::plain()
    };
    assert!(format!("{:#}", decode(&flat.bytes(), 0).unwrap_err()).contains("singular"));
}

#[test]
fn time_points_follow_each_other_and_have_ranges_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("time.nii");
    let mut made = Made::plain();
    let volume = made.values.clone();
    made.times = 2;
    made.values = volume.iter().copied().chain(volume.iter().map(|value| value * 100.0)).collect();
    std::fs::write(&path, made.bytes()).unwrap();
    let reading = Reading { intensity: Intensity::MinMax, ..Reading::default() };
    assert_eq!(n_frames(&path, &reading).unwrap(), 8);
    let decoded = frames(&path, &[3, 7, 8], &reading).unwrap();
    let [first, second] = [0, 1].map(|at| decoded[at].as_ref().unwrap());
    assert_eq!(first.pixels, second.pixels);
    assert!(format!("{:#}", decoded[2].as_ref().unwrap_err()).contains("holds 8"));
}

#[test]
fn what_is_no_number_is_shown_dark_and_takes_no_part_in_ranges() {
    let mut made = Made::plain();
    made.values[0] = f32::NAN;
    made.values[1] = f32::INFINITY;
    made.values[2] = f32::NEG_INFINITY;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.nii");
    std::fs::write(&path, made.bytes()).unwrap();
    let reading = Reading { intensity: Intensity::MinMax, ..Reading::default() };
    let decoded = frames(&path, &[0], &reading).unwrap().remove(0).unwrap();
    // Shown from the far corner on: the first stored voxel is the last sample.
    let samples = decoded.pixels.samples();
    assert_eq!((samples[5], samples[4], samples[3]), (0, 255, 0));
    assert!(mask_frames(&path, &[0], &reading).unwrap()[0].is_err());
}

#[test]
fn masks_and_labels_are_cut_like_their_volume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seg.nii.gz");
    let mut made = Made::plain();
    made.values.fill(0.0);
    // Stored as x + 2 y + 6 z; slice 2 has two voxels of label 4 and one of label 1, slice 3 one of label 1.
    for (place, label) in [(12, 4.0), (13, 4.0), (17, 1.0), (18, 1.0)] {
        made.values[place] = label;
    }
    std::fs::write(&path, made.gzip()).unwrap();
    let counts = label_counts(&path, &path, &Reading::default()).unwrap();
    let expected = [vec![], vec![], vec![(1, 1), (4, 2)], vec![(1, 1)]];
    assert_eq!(counts, expected.map(BTreeMap::from_iter));
    let mask = mask_frames(&path, &[2], &Reading::default()).unwrap().remove(0).unwrap();
    assert_eq!(mask.samples(), [255, 0, 0, 0, 255, 255]);
    made.values[0] = 0.5;
    std::fs::write(&path, made.gzip()).unwrap();
    let refusal = label_counts(&path, &path, &Reading::default()).unwrap_err();
    assert!(format!("{refusal:#}").contains("no label volume"));
}

#[test]
fn a_header_that_claims_a_huge_volume_is_refused_at_once() {
    for (dims, reason) in
        [([4000, 4000, 4000], "limit"), ([600, 600, 600], "cut off"), ([0, 3, 4], "damaged")]
    {
        let made = Made { shape: dims, ..Made::plain() };
        let refusal = format!("{:#}", decode(&made.bytes(), 0).unwrap_err());
        assert!(refusal.contains(reason), "{refusal}");
        let zipped = format!("{:#}", decode(&made.gzip(), 0).unwrap_err());
        assert!(zipped.contains(if reason == "cut off" { "cannot hold" } else { reason }), "{zipped}");
    }
}

/// Values of the middle slice of a file of `tests/cases`.
fn case(name: &str) -> (Vec<f64>, Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    let (_, _, values) = slice_values(&path, 1, &Reading::default()).unwrap();
    let decoded = frames(&path, &[1], &Reading::default()).unwrap().remove(0).unwrap();
    (values, decoded.repaired)
}

#[test]
fn one_unessential_defect_does_not_lose_a_volume() {
    let (zeros, notes) = case("15_nifti_gz_trailzero.nii.gz");
    assert_eq!(notes, ["512 zero bytes after the gzip stream passed over"]);
    let (qform, notes) = case("15_nifti_sform_zero_qform_ok.nii");
    assert_eq!(notes, ["the sform gives an axis no direction, the qform taken"]);
    assert!(zeros.iter().any(|value| *value != 0.0) && qform.iter().any(|value| *value != 0.0));
    let mut negative = Made::plain().bytes();
    negative[80..84].copy_from_slice(&(-1f32).to_le_bytes());
    let negative = decode(&negative, 0).unwrap();
    assert_eq!(negative.pixels, decode(&Made::plain().bytes(), 0).unwrap().pixels);
    assert_eq!(negative.repaired, ["the sign of a negative voxel size in pixdim dropped"]);
}

#[test]
fn without_a_stated_transform_the_first_axis_rises_to_the_left() {
    let decoded = |made: &Made| decode(&made.bytes(), 2).unwrap();
    let left = Transform::Sform([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    let plain = Made::plain();
    let [none, left] =
        [Transform::Neither, left].map(|transform| decoded(&Made { transform, ..plain.clone() }));
    assert_eq!(none.pixels, left.pixels);
    assert_ne!(none.pixels, decoded(&plain).pixels);
    assert!(none.intensity_policy.contains("stored as LAS by its voxel sizes alone"));
}

#[test]
fn a_mask_that_lost_its_transform_is_laid_over_its_picture_voxel_by_voxel() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/16_nifti_mask_lost_affine");
    let (picture, mask) = (folder.join("picture.nii.gz"), folder.join("mask.nii.gz"));
    let masks = mask_frames_over(&mask, &picture, &[0, 1, 2], &Reading::default()).unwrap();
    assert!(masks.repaired[0].contains("voxel by voxel"), "{:?}", masks.repaired);
    for mask in masks.frames {
        let mask = mask.unwrap();
        let set = (0..32 * 32).filter(|&place| mask.samples()[place] == 255);
        // Stored x from 2 to 9, y from 3 to 7; stored to the left and to the back, as it is shown.
        let expected: Vec<usize> =
            (3..8).flat_map(|row| (2..10).map(move |column| row * 32 + column)).collect();
        assert_eq!(set.collect::<Vec<_>>(), expected);
    }
    // Where shapes differ, nothing says which voxels belong together.
    let other = tempfile::tempdir().unwrap();
    let other_mask = other.path().join("mask.nii");
    std::fs::write(&other_mask, Made { transform: Transform::Neither, ..Made::plain() }.bytes()).unwrap();
    let refusal = mask_frames_over(&other_mask, &picture, &[0], &Reading::default()).err().unwrap();
    assert!(format!("{refusal:#}").contains("does not state how it lies"), "{refusal:#}");
}
