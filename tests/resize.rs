//! Resizing gives Pillow's pixels.

use medfsad::decode::decode;
use medfsad::decode::resize::{bicubic, bilinear, lanczos};
use medfsad::pixels::Pixels;
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::shared::shared;

#[derive(Deserialize)]
struct Case {
    index: usize,
    file: String,
    exact_decode: bool,
}

/// `v(r, c) = 4 (8 r + c)` with 255 at (3, 3).
fn ramp() -> Pixels {
    let mut samples: Vec<u8> = (0..64).map(|at| 4 * at).collect();
    samples[3 * 8 + 3] = 255;
    Pixels::new(8, 8, 1, samples).unwrap()
}

fn assert_near(found: &Pixels, expected: &[u8]) {
    for (found, expected) in found.samples().iter().zip(expected) {
        assert!(found.abs_diff(*expected) <= 2, "{found} is not {expected} within 2");
    }
}

#[test]
fn a_ramp_with_a_bright_spot_gives_known_values() {
    let expected = [19, 22, 33, 43, 76, 117, 105, 102, 146, 164, 166, 171, 210, 215, 225, 234];
    assert_near(&lanczos(&ramp(), 4, 4), &expected);
    let expected = [26, 33, 41, 48, 83, 111, 105, 105, 147, 161, 164, 169, 204, 211, 219, 226];
    assert_near(&bilinear(&ramp(), 4, 4), &expected);
}

#[test]
fn sides_are_not_swapped_and_channels_not_mixed() {
    // Left half red, right half blue, 6 rows of 10.
    let samples = (0..60).flat_map(|at| if at % 10 < 5 { [200, 0, 0] } else { [0, 0, 90] }).collect();
    let resized = lanczos(&Pixels::new(6, 10, 3, samples).unwrap(), 3, 30);
    assert_eq!((resized.height(), resized.width(), resized.channels()), (3, 30, 3));
    assert_eq!(resized.at(1, 2), [200, 0, 0]);
    assert_eq!(resized.at(1, 27), [0, 0, 90]);
}

#[test]
fn a_flat_picture_stays_flat_at_any_size() {
    for channels in [1, 3] {
        let flat = Pixels::new(37, 5, channels, vec![131; 37 * 5 * channels]).unwrap();
        for (height, width) in [(1, 1), (7, 64), (200, 3), (37, 5)] {
            assert!(lanczos(&flat, height, width).samples().iter().all(|&sample| sample == 131));
        }
    }
}

#[test]
fn pillow_results_are_met_pixel_by_pixel() {
    let Some(folder) = shared("golden") else { return };
    let cases = std::fs::read(folder.join("resize.json")).expect("resize.json can be read");
    let cases: Vec<Case> = serde_json::from_slice(&cases).expect("resize.json is a list of cases");
    let bytes = std::fs::read(folder.join("resize.safetensors")).expect("resize.safetensors can be read");
    let golden = SafeTensors::deserialize(&bytes).expect("resize.safetensors is whole");
    for case in &cases {
        let Some(file) = shared(&format!("realmini/{}", case.file)) else { return };
        let pixels = decode(&std::fs::read(file).unwrap(), 0).unwrap().pixels.to_rgb();
        for (name, side, resize) in FILTERS {
            let tensor =
                golden.tensor(&format!("{:02}.{name}", case.index)).expect("every case has every filter");
            assert_eq!(tensor.shape(), [*side, *side, 3]);
            compare(case, name, &resize(&pixels, *side, *side), tensor.data());
        }
    }
}

type Resize = fn(&Pixels, usize, usize) -> Pixels;
const FILTERS: &[(&str, usize, Resize)] =
    &[("lanczos128", 128, lanczos), ("lanczos224", 224, lanczos), ("bicubic224", 224, bicubic)];

fn compare(case: &Case, filter: &str, found: &Pixels, expected: &[u8]) {
    let count = expected.len() as f64;
    let pairs = || found.samples().iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected));
    let equal = pairs().filter(|&apart| apart == 0).count() as f64 / count;
    let worst = pairs().max().unwrap();
    let mean = pairs().map(f64::from).sum::<f64>() / count;
    println!("{} {filter}: {:.3} % equal, {worst} at most, {mean:.4} in the mean", case.file, 100.0 * equal);
    if case.exact_decode {
        assert!(worst <= 1 && equal >= 0.99, "{} {filter} is not Pillow's", case.file);
    } else {
        // JPEG decoders differ by a grey level here and there.
        assert!(mean <= 0.5 && worst <= 8, "{} {filter} is too far from Pillow's", case.file);
    }
}
