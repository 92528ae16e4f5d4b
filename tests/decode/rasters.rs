//! Made-up raster files of many kinds beside what Pillow reads from them.

use base64::Engine;
use medfsad::decode::{frames, mask_frames, n_frames};
use medfsad::spec::{Intensity, Reading};

/// One page of a file.
#[derive(serde::Deserialize)]
pub struct Page {
    pub file: String,
    pub page: u32,
    pages: u32,
    /// `None` for float samples.
    values: Option<Vec<u8>>,
    base64: Option<String>,
}

#[derive(serde::Deserialize)]
struct Reference {
    entries: Vec<Page>,
}

/// Kinds that are not read, and a word of the reason.
const REFUSED: [(&str, &str); 2] = [("float.tif", "float"), ("ycbcr.tif", "YCbCr without JPEG")];

pub fn pages() -> Vec<Page> {
    let text = include_str!("../reference/rasters.json");
    serde_json::from_str::<Reference>(text).unwrap().entries
}

impl Page {
    /// The file's bytes, with its first page only.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        Some(base64::engine::general_purpose::STANDARD.decode(self.base64.as_ref()?).unwrap())
    }
}

#[test]
fn every_kind_is_what_pillow_reads_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let reading = Reading::default();
    let mut wrong = Vec::new();
    for page in pages() {
        let path = folder.path().join(&page.file);
        if let Some(bytes) = page.bytes() {
            std::fs::write(&path, bytes).unwrap();
        }
        let refusal = REFUSED.iter().find(|(file, _)| *file == page.file);
        let decoded = frames(&path, &[page.page], &reading).unwrap().remove(0);
        let (text, is_right) = match (decoded, &page.values) {
            (Ok(decoded), Some(values)) => {
                assert_eq!((decoded.frames, n_frames(&path, &reading).unwrap()), (page.pages, page.pages));
                // A palette of greys is a coloured picture to us and a grey one to Pillow.
                let has_channels = values.len() == decoded.pixels.samples().len();
                let shown = if has_channels { decoded.pixels.clone() } else { decoded.pixels.to_grey() };
                let apart = shown.samples().iter().zip(values).map(|(a, b)| a.abs_diff(*b));
                let sum: u32 = apart.map(u32::from).sum();
                let mean = f64::from(sum) / values.len() as f64;
                let is_lossy = page.file.ends_with("jpg") || page.file.starts_with("jpeg");
                let fits = shown.samples().len() == values.len();
                let is_right = fits && if is_lossy { mean < 2.0 } else { mean == 0.0 };
                (format!("{mean:.3} apart in the mean, {}", decoded.photometric), is_right)
            }
            (Ok(_), None) => ("decodes".to_owned(), false),
            (Err(reason), _) => {
                let reason = format!("{reason:#}");
                let is_right = refusal.is_some_and(|(_, word)| reason.contains(word));
                (format!("refused: {reason}"), is_right)
            }
        };
        println!("{} page {} | {text}", page.file, page.page);
        if !is_right {
            wrong.push(format!("{} page {}: {text}", page.file, page.page));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_reading_sets_the_range_of_deep_and_of_coloured_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let show = |file: &str, intensity: Intensity| {
        let page = pages().into_iter().find(|page| page.file == file).unwrap();
        let path = folder.path().join(file);
        std::fs::write(&path, page.bytes().unwrap()).unwrap();
        let reading = Reading { intensity, ..Reading::default() };
        frames(&path, &[0], &reading).unwrap().remove(0).unwrap()
    };
    // Pixels are 5000 x + 700 y + 11 for x to 10 and y to 6.
    let deep = show("grey16.png", Intensity::MinMax);
    assert_eq!((deep.pixels.at(0, 0), deep.pixels.at(6, 10)), (&[0][..], &[255][..]));
    assert_eq!(deep.pixels.at(0, 5), [(25_000.0_f64 / 54_200.0 * 255.0).round() as u8]);
    let deep = show("grey16.png", Intensity::Window { center: 10_000.0, width: 10_000.0 });
    assert_eq!(deep.pixels.at(0, 1), [0]);
    assert_eq!(deep.pixels.at(0, 2), [((10_011.0_f64 - 5_000.0) / 10_000.0 * 255.0).round() as u8]);
    assert_eq!(deep.pixels.at(0, 3), [255]);
    assert!(deep.intensity_policy.contains("given window centre 10000 width 10000"));
    // Red from 20 to 220, green from 20 to 200, blue from 90 to 250: one range for all of them, 20 to 250.
    let colour = show("rgb.png", Intensity::MinMax);
    assert_eq!(colour.pixels.at(0, 0), [0, 0, 255]);
    let percentiles = show("grey.png", Intensity::Percentiles { low: 10.0, high: 90.0 });
    assert!(percentiles.intensity_policy.starts_with("percentiles 10 to 90 of the picture"));
}

#[test]
fn a_mask_is_what_is_not_0_whatever_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let grey = image::GrayImage::from_raw(4, 1, vec![0, 127, 128, 255]).unwrap();
    grey.save(&path).unwrap();
    let reading = Reading { intensity: Intensity::MinMax, ..Reading::default() };
    let mask = mask_frames(&path, &[0, 1], &reading).unwrap();
    assert_eq!(mask[0].as_ref().unwrap().samples(), [0, 255, 255, 255]);
    assert!(mask[1].is_err(), "the file holds one page");
}
