//! Bytes become the pixels they stand for, or are refused with a reason.

mod cases;
mod dicom;
mod formats;
mod fragments;
mod made_dicom;
mod mutations;
mod rasters;
mod reading;
mod streams;
mod tables;
mod zoo;

use std::io::Cursor;

use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, RgbImage, RgbaImage};
use medfsad::decode::decode;

pub fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub fn refusal(bytes: &[u8], frame: u32) -> String {
    format!("{:#}", decode(bytes, frame).expect_err("this should be refused"))
}

/// 5 wide, 3 high, no two pixels alike.
pub fn coloured() -> RgbImage {
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
    assert!(refusal(&bmp, 0).contains("its pixels are cut off"));
}
