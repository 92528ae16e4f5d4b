//! Lesion masks go with their pictures, or the picture is rejected.

use image::{DynamicImage, GrayImage, Luma};
use medfsad::curate::{Request, build};
use medfsad::decode::resize::RESIZE_ID;
use medfsad::manifest::store::PixelStore;
use medfsad::manifest::{Label, Manifest, Row};
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use tempfile::TempDir;

use super::tree::{self, SIZE, built, encode, plant, shape};

/// The number of `bad/00.png` among the noise pictures.
const FIRST_BAD: u64 = 20;

/// A mask whose left part, up to `column`, is lesion.
fn mask(height: u32, width: u32, column: u32) -> Vec<u8> {
    let value = |x, _| Luma([if x < column { 255 } else { 0 }]);
    encode(&DynamicImage::ImageLuma8(GrayImage::from_fn(width, height, value)))
}

/// All anomalous pictures drawn; `bad/00` to `bad/02` have masks.
fn masked() -> (Spec, TempDir) {
    let mut spec = tree::spec();
    spec.tasks[0].masks = Some("Masks".to_owned());
    spec.tasks[0].anomalous[0].count = None;
    let raw = tree::raw();
    for number in 0..3 {
        let (height, width) = shape(FIRST_BAD + number);
        plant(raw.path(), &format!("Masks/bad/{number:02}.png"), &mask(height, width, width / 2));
    }
    (spec, raw)
}

#[test]
fn a_mask_is_named_in_its_row_and_stored_as_0_and_255() {
    let (spec, raw) = masked();
    let built = built(&spec, raw.path());
    let rows: Vec<&Row> = built.manifest.rows.iter().filter(|row| row.mask_path.is_some()).collect();
    let paths: Vec<&str> = rows.iter().map(|row| row.mask_path.as_deref().unwrap()).collect();
    assert_eq!(paths, ["Masks/bad/00.png", "Masks/bad/01.png", "Masks/bad/02.png"]);
    let store = PixelStore::open(built.out.path(), "skin", SIZE, RESIZE_ID, &rows).unwrap();
    for row in rows {
        assert_eq!(row.label, Label::Anomalous);
        let mask = store.mask(row.mask_hash.as_ref().unwrap()).unwrap();
        let share = mask.iter().filter(|&&value| value == 255).count() as f64 / mask.len() as f64;
        assert!(mask.iter().all(|&value| value == 0 || value == 255));
        assert!((share - 0.5).abs() < 0.05, "{share} of the mask is lesion");
        assert_eq!((mask[0], mask[SIZE - 1]), (255, 0), "left and right");
    }
}

#[test]
fn a_mask_of_another_shape_rejects_its_picture_with_the_reason() {
    let (spec, raw) = masked();
    let (height, width) = shape(FIRST_BAD + 1);
    plant(raw.path(), "Masks/bad/01.png", &mask(width, height, 4));
    let built = built(&spec, raw.path());
    let (kind, reason) = built.rejection("Skin/bad/01.png");
    assert_eq!(kind, "unreadable");
    assert!(reason.contains("Masks/bad/01.png"), "{reason}");
    assert!(
        reason.contains(&format!("it is {width} x {height}, its picture {height} x {width}")),
        "{reason}"
    );
}

#[test]
fn a_mask_that_changed_since_the_last_build_is_read_again() {
    let (spec, raw) = masked();
    let out = tempfile::tempdir().unwrap();
    let hashes = || {
        build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
            .unwrap();
        let rows = Manifest::read(out.path()).unwrap().rows;
        rows.into_iter().map(|row| row.mask_hash).collect::<Vec<_>>()
    };
    let before = hashes();
    let (height, width) = shape(FIRST_BAD);
    plant(raw.path(), "Masks/bad/00.png", &mask(height, width, 3));
    let changed = hashes();
    assert_ne!(changed, before, "an old mask was kept");
    std::fs::remove_file(raw.path().join("Masks/bad/00.png")).unwrap();
    assert_eq!(hashes().iter().flatten().count(), 2, "a mask that is gone was kept");
}

#[test]
fn a_missing_folder_of_masks_is_said_aloud() {
    let (mut spec, raw) = masked();
    spec.tasks[0].masks = Some("Mask".to_owned());
    let built = built(&spec, raw.path());
    assert!(built.manifest.rows.iter().all(|row| row.mask_path.is_none()));
    let remarks = &built.outcome.remarks;
    assert!(remarks.iter().any(|remark| remark.contains("Mask, so no lesion mask")), "{remarks:?}");
}

#[test]
fn masks_under_other_names_are_used_and_missing_and_empty_ones_are_named() {
    let (mut spec, raw) = masked();
    spec.tasks[0].anomalous[0].count = None;
    let (height, width) = shape(FIRST_BAD + 3);
    plant(raw.path(), "Masks/bad/03_Mask.PNG", &mask(height, width, 9));
    let (height, width) = shape(FIRST_BAD + 4);
    plant(raw.path(), "Masks/bad/04.png", &mask(height, width, 0));
    let (height, width) = shape(FIRST_BAD + 5);
    for word in ["seg", "gt"] {
        plant(raw.path(), &format!("Masks/bad/05_{word}.png"), &mask(height, width, 3));
    }
    let built = built(&spec, raw.path());
    let row = |path: &str| built.manifest.rows.iter().find(|row| row.source_path == path).unwrap();
    assert_eq!(row("Skin/bad/03.png").mask_path.as_deref(), Some("Masks/bad/03_Mask.PNG"));
    let empty = row("Skin/bad/04.png");
    assert_eq!((empty.mask_kind, empty.mask_hash.as_ref()), (None, None));
    assert_eq!(empty.repaired.as_deref(), Some("its mask is empty and not used"));
    assert!(row("Skin/bad/05.png").mask_path.is_none());
    let said = |words: &str| built.outcome.remarks.iter().any(|remark| remark.contains(words));
    // 06 of `bad` and all five of `worse`.
    assert!(
        said("6 anomalous pictures have no mask: bad/06.png, worse/00.png"),
        "{:?}",
        built.outcome.remarks
    );
    assert!(said("1 anomalous pictures have an empty mask, which is not used: bad/04.png"));
    assert!(said("1 anomalous pictures have several masks, of which none is used: bad/05.png"));
}

#[test]
fn a_lesion_of_nine_pixels_survives_reduction() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/23_mask_tiny_3x3_in_512.png");
    let mask = medfsad::decode::mask_frames(path.as_ref(), &[0], &medfsad::spec::Reading::default())
        .unwrap()
        .remove(0)
        .unwrap();
    let set = |mask: &medfsad::pixels::Pixels| mask.samples().iter().filter(|&&sample| sample == 255).count();
    assert_eq!((mask.height(), mask.width(), set(&mask)), (512, 512, 9));
    for size in [256, 128, 64, 31, 7] {
        let small = medfsad::decode::overlap::resize(&mask, size, size);
        assert!((1..=9).contains(&set(&small)), "{size}: {} pixels", set(&small));
    }
    let large = medfsad::decode::overlap::resize(&mask, 1024, 1024);
    assert_eq!(set(&large), 36);
}
