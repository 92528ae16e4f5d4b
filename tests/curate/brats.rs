//! Volumes with masks become slices whose labels are their masks', divided by patient.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use medfsad::decode::resize::RESIZE_ID;
use medfsad::manifest::store::PixelStore;
use medfsad::manifest::{Label, MaskKind, Row, Split};
use medfsad::spec::Spec;

use super::tree::{built, plant};

const SPEC: &str = r#"
name = "volumes"
version = 1
title = "made-up volumes"
seed = 5
sizes = [32]

[[task]]
name = "brats"
organ = "brain"
modality = "MRI"
anomaly = "glioma"
source = "brats"
folder = "BraTS"
anomalous_patients = "may-train"
normal = ["no tumour"]
train_normal = 9
slices = { from = 2, to = 9, stride = 1 }
[[task.anomalous]]
findings = ["tumour"]
"#;

const SHAPE: [u16; 3] = [20, 24, 12];

/// A NIfTI-1 file of unsigned bytes with 1 mm voxels, axes to the right, anterior and superior.
fn volume(voxel: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    bytes[..4].copy_from_slice(&348i32.to_le_bytes());
    for (place, value) in [(40, 3), (42, SHAPE[0]), (44, SHAPE[1]), (46, SHAPE[2])] {
        bytes[place..place + 2].copy_from_slice(&value.to_le_bytes());
    }
    for place in [48, 50, 52, 54] {
        bytes[place..place + 2].copy_from_slice(&1u16.to_le_bytes());
    }
    bytes[70..72].copy_from_slice(&2i16.to_le_bytes());
    bytes[72..74].copy_from_slice(&8i16.to_le_bytes());
    for place in [76, 80, 84, 88] {
        bytes[place..place + 4].copy_from_slice(&1f32.to_le_bytes());
    }
    bytes[108..112].copy_from_slice(&352f32.to_le_bytes());
    bytes[112..116].copy_from_slice(&1f32.to_le_bytes());
    bytes[254..256].copy_from_slice(&1i16.to_le_bytes());
    for (place, value) in [(280, 1f32), (300, 1.0), (320, 1.0)] {
        bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes[344..348].copy_from_slice(b"n+1\0");
    let [x, y, z] = SHAPE.map(usize::from);
    for k in 0..z {
        for j in 0..y {
            bytes.extend((0..x).map(|i| voxel(i, j, k)));
        }
    }
    bytes
}

/// Case `n` has its tumour in slices 4 to `4 + n % 3`, in the right front of the head.
fn plant_cases(raw: &Path, n_cases: usize) {
    for case in 0..n_cases {
        let name = format!("BraTS2021_{case:05}");
        let flair = volume(|i, j, k| (30 + (1 + case) * i + 2 * j + 5 * k) as u8);
        let tumour = |i, j, k| u8::from((4..=4 + case % 3).contains(&k) && i >= 10 && j >= 12) * 4;
        plant(raw, &format!("BraTS/{name}/{name}_flair.nii"), &flair);
        plant(raw, &format!("BraTS/{name}/{name}_seg.nii"), &volume(tumour));
        plant(raw, &format!("BraTS/{name}/{name}_t1.nii"), b"not read");
    }
    let name = "BraTS2021_90000";
    plant(raw, &format!("BraTS/{name}/{name}_flair.nii"), &volume(|_, _, _| 1));
}

#[test]
fn slices_have_the_labels_and_masks_of_their_volumes_and_patients_stay_whole() {
    let raw = tempfile::tempdir().unwrap();
    plant_cases(raw.path(), 6);
    let built = built(&Spec::parse(SPEC).unwrap(), raw.path());
    let mut sides: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for row in &built.manifest.rows {
        sides.entry(row.patient_id.as_deref().unwrap()).or_default().insert(row.split);
        let slice = row.slice_index.unwrap();
        assert!((2..=9).contains(&slice) && row.frame == slice);
        assert_eq!((row.width, row.height), (20, 24));
        assert_eq!(row.mask_kind, (row.label == Label::Anomalous).then_some(MaskKind::Pixels));
        assert_eq!(row.finding, if row.label == Label::Anomalous { "tumour" } else { "no tumour" });
        let case: usize = row.source_path[10..].split(['_', '/']).nth(1).unwrap().parse().unwrap();
        assert_eq!(row.label == Label::Anomalous, (4..=4 + case as u32 % 3).contains(&slice));
    }
    assert!(sides.values().all(|sides| sides.len() == 1), "{sides:?}");
    assert_eq!(built.paths(Split::Train, &["no tumour"]).len(), 9);
    assert!(built.paths(Split::Train, &["tumour"]).is_empty());
    assert!(built.paths(Split::Test, &["tumour"]).len() >= 6);
    let masked: Vec<&Row> = built.manifest.rows.iter().filter(|row| row.mask_hash.is_some()).collect();
    let store = PixelStore::open(built.out.path(), "brats", 32, RESIZE_ID, &masked).unwrap();
    let mask = store.mask(masked[0].mask_hash.as_deref().unwrap()).unwrap();
    // Anterior is up and the patient's right is on the left, as radiologists look at it.
    assert_eq!((mask[0], mask[31], mask[31 * 32], mask[32 * 32 - 1]), (255, 0, 0, 0));
    let reason = built.rejection("BraTS/BraTS2021_90000/BraTS2021_90000_flair.nii").1;
    assert!(reason.contains("_seg.nii is missing"), "{reason}");
    let remarks = &built.outcome.remarks;
    assert!(remarks[0].contains("6 cases with a mask found, 1251 published"), "{remarks:?}");
}
