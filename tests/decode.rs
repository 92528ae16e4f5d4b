//! Bytes become the pixels they stand for, or are refused with a reason.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, RgbImage, RgbaImage};
use medfsad::decode::{Decoded, decode};
use medfsad::files::sha256;

use crate::shared::shared;

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn refusal(bytes: &[u8], frame: u32) -> String {
    format!("{:#}", decode(bytes, frame).expect_err("this should be refused"))
}

/// 5 wide, 3 high, no two pixels alike.
fn coloured() -> RgbImage {
    RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8 * 50, y as u8 * 100, (x * y) as u8]))
}

#[test]
fn lossless_rasters_keep_every_sample_and_their_sides() {
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Bmp] {
        let decoded = decode(&encoded(coloured(), format), 0).unwrap();
        assert_eq!((decoded.pixels.height(), decoded.pixels.width()), (3, 5));
        assert_eq!(decoded.pixels.samples(), coloured().as_raw().as_slice());
        assert_eq!((decoded.photometric.as_str(), decoded.bits, decoded.frames), ("RGB", 8, 1));
    }
    let grey = GrayImage::from_fn(7, 2, |x, y| Luma([(x * 9 + y) as u8]));
    let decoded = decode(&encoded(grey.clone(), ImageFormat::Png), 0).unwrap();
    assert_eq!((decoded.pixels.channels(), decoded.photometric.as_str()), (1, "GREY"));
    assert_eq!(decoded.pixels.samples(), grey.as_raw().as_slice());
}

#[test]
fn transparency_is_dropped_and_said() {
    let clear = RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 0]));
    let decoded = decode(&encoded(clear, ImageFormat::Png), 0).unwrap();
    assert_eq!(decoded.pixels.at(1, 2), [10, 20, 30]);
    assert!(decoded.intensity_policy.contains("transparency dropped"));
    let clear = GrayAlphaImage::from_pixel(3, 2, image::LumaA([77, 0]));
    assert_eq!(decode(&encoded(clear, ImageFormat::Png), 0).unwrap().pixels.samples(), [77; 6]);
}

#[test]
fn sixteen_bits_are_scaled_and_said() {
    let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_raw(3, 1, vec![0, 32768, 65535]).unwrap();
    let decoded = decode(&encoded(deep, ImageFormat::Png), 0).unwrap();
    assert_eq!(decoded.pixels.samples(), [0, 128, 255]);
    assert_eq!(decoded.bits, 16);
    assert!(decoded.intensity_policy.contains("16 bits to 8"));
}

#[test]
fn what_is_no_picture_or_cut_off_is_refused_with_a_reason() {
    assert!(refusal(b"", 0).contains("empty"));
    assert!(refusal(b"id_code,diagnosis\n1,2\n", 0).contains("no picture known here"));
    let jpeg = encoded(coloured(), ImageFormat::Jpeg);
    assert!(refusal(&jpeg[..jpeg.len() - 9], 0).contains("cut off"));
    let png = encoded(coloured(), ImageFormat::Png);
    assert!(refusal(&png[..png.len() - 20], 0).contains("damaged"));
    assert!(refusal(&png, 1).contains("frame 1"));
}

#[test]
fn a_header_that_claims_a_huge_picture_is_refused_at_once() {
    let mut bmp = encoded(coloured(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    assert!(refusal(&bmp, 0).contains("limit"));
}

/// A row of the DICOM manifest, by column.
type Row = BTreeMap<String, String>;

fn dicom_files(kind: &str) -> Vec<(PathBuf, Row)> {
    let Some(folder) = shared("realmini/formats/dicom") else { return Vec::new() };
    let rows = manifest(&folder.join("manifest.csv")).into_iter().filter(|row| row["folder"] == kind);
    rows.map(|row| (folder.join(kind).join(&row["file"]), row)).collect()
}

fn manifest(path: &Path) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(path).expect("manifest.csv can be read");
    reader.deserialize().map(|row| row.expect("manifest.csv is whole")).collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|err| panic!("{} cannot be read: {err}", path.display()))
}

#[test]
fn dicom_files_have_the_expected_shape_or_are_refused_with_a_reason() {
    let files = dicom_files("images");
    let (mut decoded_count, mut equal) = (0, 0);
    for (path, row) in &files {
        match decode(&read(path), 0) {
            Ok(decoded) => {
                decoded_count += 1;
                assert_shape(&decoded, row);
                if eight_bits_unchanged(&decoded, row) {
                    equal += 1;
                    assert_eq!(sha256(decoded.pixels.samples()), row["decoded_sha256_le"], "{}", row["file"]);
                }
            }
            Err(reason) => println!("refused {}: {reason:#}", row["file"]),
        }
    }
    println!(
        "{decoded_count} of {} decoded, {equal} of them equal to the reference byte by byte",
        files.len()
    );
    assert!(files.is_empty() || decoded_count >= 90, "only {decoded_count} of {} decoded", files.len());
}

fn assert_shape(decoded: &Decoded, row: &Row) {
    let pixels = &decoded.pixels;
    let sides = format!("{}x{}", pixels.height(), pixels.width());
    assert_eq!(sides, format!("{}x{}", row["Rows"], row["Columns"]), "{}", row["file"]);
    let colour = !row["PhotometricInterpretation"].starts_with("MONOCHROME");
    assert_eq!(pixels.channels(), if colour { 3 } else { 1 }, "{}", row["file"]);
    let frames = row["NumberOfFrames"].parse().unwrap_or(1);
    assert_eq!(decoded.frames, frames, "{}", row["file"]);
}

/// Whether our policy leaves the samples alone, the file has one frame and its syntax loses nothing.
fn eight_bits_unchanged(decoded: &Decoded, row: &Row) -> bool {
    let lossy =
        ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91"].contains(&row["transfer_syntax"].as_str());
    let unchanged = decoded.intensity_policy.contains("unchanged");
    unchanged && decoded.frames == 1 && !lossy && !row["decoded_sha256_le"].is_empty()
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
                assert!(policy.contains("assumed; first stated window LINEAR centre 600"), "{policy}")
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
fn broken_dicom_never_panics_and_cut_files_are_refused() {
    for (path, row) in dicom_files("broken") {
        let decoded = decode(&read(&path), 0);
        match &decoded {
            Ok(picture) => println!(
                "{} decodes to {} x {}: {}",
                row["file"],
                picture.pixels.height(),
                picture.pixels.width(),
                picture.intensity_policy
            ),
            Err(reason) => println!("{} refused: {reason:#}", row["file"]),
        }
        let cut =
            row["file"].contains("trunc") || row["file"].contains("_cut") || row["file"].contains("empty");
        assert!(!cut || decoded.is_err(), "{} is cut off, yet decodes", row["file"]);
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
