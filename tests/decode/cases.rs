//! Files that are easily read wrongly, and the values that they hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use medfsad::decode::{Decoded, decode, frames, map_frames, mask_frames, n_frames};
use medfsad::pixels::Pixels;
use medfsad::spec::{Intensity, Reading};

use super::{encoded, refusal};

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn shown(name: &str) -> Decoded {
    decode(&bytes(name), 0).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}

fn mean(pixels: &Pixels) -> f64 {
    pixels.samples().iter().map(|&sample| f64::from(sample)).sum::<f64>() / pixels.samples().len() as f64
}

fn assert_mean(name: &str, expected: f64) -> Decoded {
    let decoded = shown(name);
    let found = mean(&decoded.pixels);
    assert!((found - expected).abs() < 0.06, "{name}: mean {found:.2}, expected {expected}");
    decoded
}

/// The greatest difference between a picture and a function of row, column and channel.
fn apart(pixels: &Pixels, value: impl Fn(usize, usize, usize) -> usize) -> usize {
    let (columns, channels) = (pixels.width(), pixels.channels());
    let place = |at: usize| value(at / channels / columns, at / channels % columns, at % channels);
    pixels.samples().iter().enumerate().map(|(at, &s)| usize::from(s).abs_diff(place(at))).max().unwrap()
}

#[test]
fn a_jpeg_scan_that_ends_early_is_refused_whatever_follows_it() {
    assert!(refusal(&bytes("08_jpeg_cut_with_eoi.jpg"), 0).contains("scan is cut off"));
    let noise =
        image::RgbImage::from_fn(96, 80, |x, y| image::Rgb([x as u8 * 7, y as u8 * 5, (x * y) as u8]));
    let whole = encoded(noise, image::ImageFormat::Jpeg);
    assert!(decode(&whole, 0).unwrap().repaired.is_empty());
    let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    for share in 1..20 {
        let cut = scan + (whole.len() - scan) * share / 20;
        let mended = [&whole[..cut], &[0xff, 0xd9]].concat();
        assert!(decode(&mended, 0).is_err(), "{share} twentieths of a scan");
        assert!(decode(&whole[..cut], 0).is_err(), "{share} twentieths of a scan without an end");
    }
}

#[test]
fn a_jpeg_that_lacks_its_end_marker_alone_is_read_with_a_note() {
    let grey = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * 3 + y) as u8]));
    let whole = encoded(grey, image::ImageFormat::Jpeg);
    let cut = decode(&whole[..whole.len() - 2], 0).unwrap();
    assert_eq!(cut.pixels, decode(&whole, 0).unwrap().pixels);
    assert_eq!(cut.repaired, ["the JPEG end marker is missing, the scans are whole"]);
}

#[test]
fn what_follows_a_jpeg_is_no_part_of_it() {
    let decoded = shown("09_jpeg_trailer_with_sos.jpg");
    let value = |y, x, channel| [x, y, (x + y) / 2][channel];
    assert!(apart(&decoded.pixels, value) <= 12, "{}", apart(&decoded.pixels, value));
}

#[test]
fn a_point_transform_is_undone_after_prediction() {
    let decoded = assert_mean("18_dicom_jpeg_lossless_point_transform.dcm", 55.6);
    assert!(decoded.intensity_policy.contains("centre 2000 width 4000"));
    let stored =
        medfsad::decode::dicom::stored_values(&bytes("18_dicom_jpeg_lossless_point_transform.dcm"), 0)
            .unwrap();
    let ends = (stored.values.iter().min().copied(), stored.values.iter().max().copied());
    assert_eq!(ends, (Some(0), Some(1752)));
}

#[test]
fn one_unessential_defect_does_not_lose_a_dicom_file() {
    let private = assert_mean("19_dicom_un_undefined_length.dcm", 150.9);
    assert_eq!(private.repaired, ["1 elements of unknown VR and undefined length passed over"]);
    let title = assert_mean("20_dicom_ae_title_18.dcm", 150.9);
    assert_eq!(title.repaired.len(), 1, "{:?}", title.repaired);
    assert!(title.repaired[0].contains("18 bytes, 16 are allowed"), "{:?}", title.repaired);
    let frames = shown("12_dicom_frames_0.dcm");
    assert_eq!(
        (frames.frames, &frames.repaired[..]),
        (1, &["NumberOfFrames is 0, read as 1".to_owned()][..])
    );
    // 84.24 rounded, as here; 83.84 for a reference that cuts fractions off.
    let empty = assert_mean("11_dicom_voilut_empty_item.dcm", 84.24);
    assert_eq!(empty.repaired, ["an empty VOI LUT item passed over"]);
    let mut zeros = bytes("20_dicom_ae_title_18.dcm");
    zeros.extend([0; 700]);
    let zeros = decode(&zeros, 0).unwrap();
    assert_eq!(zeros.pixels, title.pixels);
    assert!(zeros.repaired[1].contains("700 zero bytes"), "{:?}", zeros.repaired);
}

#[test]
fn a_decimal_comma_is_read_and_said() {
    // 124.63 rounded, as here; 124.18 for a reference that cuts fractions off.
    let comma = assert_mean("13_dicom_window_comma.dcm", 124.63);
    assert!(comma.intensity_policy.contains("centre 2095.5 width 2785"), "{}", comma.intensity_policy);
    assert_eq!(comma.repaired, ["WindowCenter is written with a decimal comma"]);
}

#[test]
fn a_window_that_cannot_be_read_is_said_to_be_stated() {
    let mut file = bytes("13_dicom_window_comma.dcm");
    let at = file.windows(6).position(|text| text == b"2095,5").expect("the window's centre");
    file[at..at + 6].copy_from_slice(b"middle");
    let decoded = decode(&file, 0).unwrap();
    let policy = &decoded.intensity_policy;
    assert!(policy.contains("the stated window is not readable"), "{policy}");
    assert!(!policy.contains("2785"), "{policy}");
}

#[test]
fn padding_is_outside_the_range_and_dark() {
    for name in ["10_dicom_pad_min2000.dcm", "10_dicom_pad_32768.dcm"] {
        let decoded = assert_mean(name, 77.7);
        let pixels = &decoded.pixels;
        let (height, width) = (pixels.height(), pixels.width());
        assert_eq!(pixels.at(0, 0), [0], "{name}: padding is dark");
        let samples = pixels.samples();
        assert_eq!((samples.iter().min(), samples.iter().max()), (Some(&0), Some(&255)), "{name}");
        assert!(decoded.intensity_policy.contains("padding"), "{}", decoded.intensity_policy);
        assert!(height > 8 && width > 8);
    }
}

#[test]
fn hostile_pictures_are_refused_at_once_and_by_name() {
    let nested = refusal(&bytes("hostile/dicom_nested_1468_levels.dcm"), 0);
    assert!(nested.contains("deep"), "{nested}");
    let frames = refusal(&bytes("hostile/dicom_claims_4e9_frames.dcm"), 0);
    assert!(frames.contains("states 4") && frames.contains("holds"), "{frames}");
    assert!(refusal(&bytes("hostile/png_palette_panic.png"), 0).contains("PNG"));
    for name in ["dicom_nested_1468_levels.dcm", "dicom_claims_4e9_frames.dcm", "nifti_claims_1e9_slices.nii"]
    {
        let path = path(&format!("hostile/{name}"));
        assert!(n_frames(&path, &Reading::default()).is_err(), "{name}: its header is believed");
    }
}

#[test]
fn a_jpeg_header_that_claims_more_than_its_scan_can_hold_is_refused() {
    let grey = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([(x * y) as u8]));
    let mut claims = encoded(grey, image::ImageFormat::Jpeg);
    let frame = claims.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    claims[frame + 5..frame + 9].copy_from_slice(&[0x7d, 0, 0x7d, 0]);
    assert!(
        refusal(&claims, 0).contains("32000 x 32000 pixels cannot come out of"),
        "{}",
        refusal(&claims, 0)
    );
}

#[test]
fn tiff_pages_are_what_libtiff_and_pillow_read() {
    let exactly = |name: &str, value: fn(usize, usize, usize) -> usize| {
        let decoded = shown(name);
        assert_eq!(apart(&decoded.pixels, value), 0, "{name}");
        decoded
    };
    exactly("03_tiff_fillorder2.tif", |y, x, _| (5 * x + 3 * y) % 256);
    let planar =
        exactly("04_tiff_planar_tiled_edge.tif", |y, x, channel| [8 * x, 8 * y, 255 - 4 * x][channel]);
    assert_eq!((planar.photometric.as_str(), planar.bits), ("RGB", 8));
    let lzw = exactly("05_tiff_lzw_tiled_by_libtiff.tif", |y, x, _| (255 * x / 63 + y) % 256);
    assert_eq!((lzw.pixels.height(), lzw.pixels.width()), (64, 64));
    let jpeg = shown("06_tiff_jpeg_ycbcr.tif");
    let loss = apart(&jpeg.pixels, |y, x, channel| [8 * x, 8 * y, 255 - 4 * x][channel]);
    assert!(loss <= 24, "{loss} apart");
    let four = shown("06_tiff_grey_4bit.tif");
    assert_eq!((four.bits, four.pixels.channels()), (4, 1));
    assert!(four.pixels.samples().iter().all(|sample| sample % 17 == 0));
}

#[test]
fn reduced_pages_of_a_tiff_are_no_pictures() {
    let decoded = shown("07_tiff_pyramid.tif");
    assert_eq!((decoded.frames, decoded.pixels.height(), decoded.pixels.width()), (1, 32, 32));
    assert_eq!(n_frames(&path("07_tiff_pyramid.tif"), &Reading::default()).unwrap(), 1);
}

#[test]
fn the_orientation_of_a_tiff_is_applied_and_said() {
    let turned = shown("21_tiff_orientation_6.tif");
    assert!(turned.intensity_policy.ends_with("turned as its orientation tag says"));
    // The same file with its tag set to 1: rows of the turned picture are its columns, from the last row on.
    let mut plain = bytes("21_tiff_orientation_6.tif");
    // The last directory counts; an older one stands before it.
    let entry = plain.windows(4).rposition(|tag| tag == [0x12, 1, 3, 0]).unwrap();
    plain[entry + 8] = 1;
    let plain = decode(&plain, 0).unwrap().pixels;
    let (height, width) = (plain.height(), plain.width());
    assert_eq!((turned.pixels.height(), turned.pixels.width()), (width, height));
    for (row, column) in (0..width).flat_map(|row| (0..height).map(move |column| (row, column))) {
        assert_eq!(turned.pixels.at(row, column), plain.at(height - 1 - column, row), "{row}, {column}");
    }
    assert!(plain.samples().contains(&0) && plain.samples().contains(&255));
}

#[test]
fn a_mask_is_where_stored_values_are_not_0() {
    for (name, expected) in
        [("01_mask_01.png", 168), ("01_mask_labels_1_2_4.png", 200), ("01_mask_palette_voc.png", 200)]
    {
        let mask = mask_frames(&path(name), &[0], &Reading::default()).unwrap().remove(0).unwrap();
        let set: Vec<usize> = (0..mask.samples().len()).filter(|&at| mask.samples()[at] == 255).collect();
        assert_eq!(set.len(), expected, "{name}");
        assert!((8..20).all(|row| (10..24).all(|column| mask.at(row, column) == [255])), "{name}");
    }
}

/// A TIFF of one row of 8-bit grey, as it is stored.
fn grey_tiff(photometric: u16, row: &[u8]) -> Vec<u8> {
    let entries = [
        (256, row.len() as u32),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, u32::from(photometric)),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, row.len() as u32),
    ];
    let mut file = b"II*\0".to_vec();
    file.extend((8 + row.len() as u32).to_le_bytes());
    file.extend(row);
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, value) in entries {
        file.extend([&(tag as u16).to_le_bytes()[..], &4u16.to_le_bytes(), &1u32.to_le_bytes()].concat());
        file.extend(value.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    file
}

#[test]
fn a_mask_whose_0_is_white_is_where_it_is_not_black() {
    let folder = tempfile::tempdir().unwrap();
    for (photometric, expected) in [(0, [0, 255, 255, 255]), (1, [255, 255, 255, 0])] {
        let path = folder.path().join(format!("{photometric}.tif"));
        std::fs::write(&path, grey_tiff(photometric, &[255, 254, 1, 0])).unwrap();
        let mask = mask_frames(&path, &[0], &Reading::default()).unwrap().remove(0).unwrap();
        assert_eq!(mask.samples(), expected, "photometric {photometric}");
    }
}

#[test]
fn a_bmp_whose_pixels_lie_elsewhere_is_refused() {
    let whole = encoded(super::coloured(), image::ImageFormat::Bmp);
    assert!(decode(&whole, 0).is_ok());
    for offset in [0u32, 20, whole.len() as u32 - 20, 1 << 30] {
        let mut moved = whole.clone();
        moved[10..14].copy_from_slice(&offset.to_le_bytes());
        let refusal = refusal(&moved, 0);
        assert!(refusal.contains("begin at byte") || refusal.contains("cut off"), "{offset}: {refusal}");
    }
}

/// Tag, type and numbers of an entry of a TIFF.
pub type Entry = (u16, u16, Vec<u32>);

/// A little-endian TIFF of one strip a page, each `width` x 1 pixels; `more` replaces or adds entries. Types are 3 (16
/// bits) and 4 (32).
pub fn tiff(width: u32, strips: &[&[u8]], more: &[Entry]) -> Vec<u8> {
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for strip in strips {
        let at = file.len() as u32;
        file.extend_from_slice(strip);
        let mut entries: BTreeMap<u16, (u16, Vec<u32>)> = [
            (256, width),
            (257, 1),
            (258, 8),
            (259, 1),
            (262, 1),
            (273, at),
            (277, 1),
            (278, 1),
            (279, strip.len() as u32),
        ]
        .into_iter()
        .map(|(tag, value)| (tag, (4, vec![value])))
        .collect();
        entries.extend(more.iter().map(|(tag, kind, values)| (*tag, (*kind, values.clone()))));
        let mut fields = Vec::new();
        for (tag, (kind, values)) in entries {
            let wide = |value: &u32| value.to_le_bytes()[..if kind == 3 { 2 } else { 4 }].to_vec();
            let mut value: Vec<u8> = values.iter().flat_map(wide).collect();
            if value.len() > 4 {
                let place = file.len() as u32;
                file.extend(value);
                value = place.to_le_bytes().to_vec();
            }
            value.resize(4, 0);
            let count = (values.len() as u32).to_le_bytes();
            fields.push([&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count, &value].concat());
        }
        let start = file.len() as u32;
        file[link..link + 4].copy_from_slice(&start.to_le_bytes());
        file.extend((fields.len() as u16).to_le_bytes());
        file.extend(fields.concat());
        link = file.len();
        file.extend([0; 4]);
    }
    file
}

fn under(bytes: &[u8], intensity: Intensity) -> Result<Decoded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    std::fs::write(&path, bytes).unwrap();
    let reading = Reading { intensity, ..Reading::default() };
    frames(&path, &[0], &reading).unwrap().remove(0).map_err(|error| format!("{error:#}"))
}

#[test]
fn signed_deep_and_float_samples_of_a_tiff_take_the_window_that_is_given() {
    let window = Intensity::Window { center: 100.0, width: 200.0 };
    let deep = |format: u32, bits: u32| [(258, 3, vec![bits]), (339, 3, vec![format])];
    let signed: Vec<u8> = [-5i16, 0, 100, 200, 300].iter().flat_map(|number| number.to_le_bytes()).collect();
    let shown = under(&tiff(5, &[&signed], &deep(2, 16)), window.clone()).unwrap();
    assert_eq!(shown.pixels.samples(), [0, 0, 128, 255, 255]);
    let whole: Vec<u8> =
        [0u32, 100, 200, 4_000_000_000].iter().flat_map(|number| number.to_le_bytes()).collect();
    let file = tiff(4, &[&whole], &deep(1, 32));
    assert_eq!(under(&file, window.clone()).unwrap().pixels.samples(), [0, 128, 255, 255]);
    assert!(under(&file, Intensity::Stated).unwrap_err().contains("no stated range"));
    let floats: Vec<u8> = [0f32, 100.0, 199.9, 1e30].iter().flat_map(|number| number.to_le_bytes()).collect();
    let file = tiff(4, &[&floats], &deep(3, 32));
    assert_eq!(under(&file, window).unwrap().pixels.samples(), [0, 128, 255, 255]);
    assert!(under(&file, Intensity::Stated).unwrap_err().contains("no stated range"));
}

#[test]
fn masks_of_a_tiff_are_palette_indices_deep_samples_and_colours_other_than_0() {
    let folder = tempfile::tempdir().unwrap();
    let mask = |bytes: &[u8]| {
        let path = folder.path().join("mask.tif");
        std::fs::write(&path, bytes).unwrap();
        let mut masks = mask_frames(&path, &[0], &Reading::default()).unwrap();
        masks.remove(0).unwrap().samples().to_vec()
    };
    // Entry 0 of the palette is white and entry 1 black: the index counts.
    let colours: Vec<u32> = (0..768).map(|place| if place % 256 == 1 { 0 } else { 65535 }).collect();
    let palette = [(262, 3, vec![3]), (320, 3, colours)];
    assert_eq!(mask(&tiff(4, &[&[0, 1, 2, 0]], &palette)), [0, 255, 255, 0]);
    let deep: Vec<u8> = [0u16, 1, 256, 65535].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(mask(&tiff(4, &[&deep], &[(258, 3, vec![16])])), [0, 255, 255, 255]);
    let rgb = [(258, 3, vec![8, 8, 8]), (262, 3, vec![2]), (277, 3, vec![3])];
    assert_eq!(mask(&tiff(3, &[&[0, 0, 0, 0, 0, 1, 200, 0, 0]], &rgb)), [0, 255, 255]);
    let alpha = [(258, 3, vec![8, 8]), (277, 3, vec![2]), (338, 3, vec![2])];
    assert_eq!(mask(&tiff(2, &[&[0, 255, 9, 0]], &alpha)), [0, 255]);
}

#[test]
fn a_tiff_of_a_thousand_pages_is_listed_and_read_page_by_page() {
    let strips: Vec<Vec<u8>> =
        (0..1000u32).map(|page| vec![(page % 256) as u8, (page / 256) as u8]).collect();
    let views: Vec<&[u8]> = strips.iter().map(Vec::as_slice).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.tif");
    std::fs::write(&path, tiff(2, &views, &[])).unwrap();
    assert_eq!(n_frames(&path, &Reading::default()).unwrap(), 1000);
    let wanted: Vec<u32> = (0..1000).rev().collect();
    let pages = map_frames(&path, &wanted, &Reading::default(), |page| page.unwrap().pixels).unwrap();
    for (page, pixels) in wanted.iter().zip(pages) {
        assert_eq!(pixels.samples(), strips[*page as usize], "page {page}");
    }
}
