//! Real DICOM files: policies, frames and refusals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medfsad::decode::{Decoded, decode};

use super::refusal;
use crate::shared::shared;

/// A row of the DICOM manifest, by column.
pub type Row = BTreeMap<String, String>;

pub fn dicom_files(kind: &str) -> Vec<(PathBuf, Row)> {
    let Some(folder) = shared("realmini/formats/dicom") else { return Vec::new() };
    let rows = manifest(&folder.join("manifest.csv")).into_iter().filter(|row| row["folder"] == kind);
    rows.map(|row| (folder.join(kind).join(&row["file"]), row)).collect()
}

fn manifest(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).expect("manifest.csv can be read");
    reader.deserialize().map(|row| row.expect("manifest.csv is whole")).collect()
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|err| panic!("{} cannot be read: {err}", path.display()))
}

#[test]
fn intensity_policies_say_what_was_stated_and_what_assumed() {
    for (path, row) in dicom_files("images") {
        let Ok(Decoded { pixels, intensity_policy: policy, .. }) = decode(&read(&path), 0) else { continue };
        match row["file"].as_str() {
            "CT_small.dcm" => {
                assert!(policy.contains("slope 1 intercept -1024 stated; minimum to maximum"), "{policy}");
                assert_eq!(
                    (pixels.samples().iter().min(), pixels.samples().iter().max()),
                    (Some(&0), Some(&255))
                );
            }
            "MR_small.dcm" => {
                assert!(policy.contains("assumed; first stated window LINEAR centre 600"), "{policy}");
            }
            "explicit_VR-UN.dcm" => assert!(policy.contains("slope 1 intercept 0 stated"), "{policy}"),
            // The darkest stored value is shown bright.
            "RG3_J2KI.dcm" => assert!(policy.ends_with("MONOCHROME1 inverted"), "{policy}"),
            "vlut_04.dcm" => assert!(policy.contains("first stated VOI table of 256 entries"), "{policy}"),
            _ => {}
        }
    }
}

#[test]
fn one_picture_in_five_encodings_is_the_same_picture() {
    let kinds = ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"];
    let files = dicom_files("images");
    let same =
        |row: &Row| kinds.contains(&row["file"].as_str()) || row["file"] == "MR_small_jp2klossless.dcm";
    let hashes: Vec<String> = files
        .iter()
        .filter(|(_, row)| same(row))
        .map(|(path, row)| decode(&read(path), 0).unwrap_or_else(|err| panic!("{}: {err:#}", row["file"])))
        .map(|decoded| decoded.pixels.hash())
        .collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(files.is_empty() || hashes.len() == 5);
}

#[test]
fn frames_are_told_apart_and_the_last_is_the_last() {
    for (path, row) in dicom_files("images").iter().filter(|(_, row)| row["file"] == "emri_small.dcm") {
        let bytes = read(path);
        let frames: Vec<String> = (0..10).map(|frame| decode(&bytes, frame).unwrap().pixels.hash()).collect();
        assert_ne!(frames[0], frames[9], "{}", row["file"]);
        assert!(refusal(&bytes, 10).contains("holds 10"));
    }
}

#[test]
fn dicom_without_pixels_is_refused() {
    for (path, _) in dicom_files("no_pixels") {
        println!("{}", refusal(&read(&path), 0));
    }
}

#[test]
fn a_real_film_cut_anywhere_is_refused() {
    let Some(folder) = shared("realmini/raw/rsna-pneumonia-detection-challenge/stage_2_train_images") else {
        return;
    };
    let film = std::fs::read_dir(folder).unwrap().next().expect("the folder holds films").unwrap().path();
    let bytes = read(&film);
    let whole = decode(&bytes, 0).unwrap();
    assert_eq!((whole.pixels.height(), whole.pixels.width()), (1024, 1024));
    assert!(whole.intensity_policy.contains("stored values unchanged, no window"));
    for share in [1, 3, 7, 10, 13, 15] {
        assert!(decode(&bytes[..bytes.len() * share / 16], 0).is_err());
    }
}
