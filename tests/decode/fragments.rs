//! Compressed frames cut into several pieces are put together again, or refused.

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use image::{GrayImage, ImageFormat, Luma};
use medfsad::decode::{decode, n_frames};
use medfsad::spec::Reading;

use super::tables::picture;
use super::{encoded, refusal};

/// 16 x 16 pixels, flat, of one brightness.
fn flat(value: u8) -> Vec<u8> {
    let mut stream = encoded(GrayImage::from_pixel(16, 16, Luma([value])), ImageFormat::Jpeg);
    if stream.len() % 2 == 1 {
        stream.push(0);
    }
    stream
}

/// Three flat frames of 10, 120 and 240 as `pieces`, with `offsets` in their table.
fn film(offsets: Vec<u32>, pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let mut object = picture("MONOCHROME2", &[]);
    for (tag, value) in [
        (tags::ROWS, 16u16),
        (tags::COLUMNS, 16),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
    ] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "3"));
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new(offsets, pieces)));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::JPEG_BASELINE8_BIT)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

fn frames() -> [Vec<u8>; 3] {
    [flat(10), flat(120), flat(240)]
}

/// Each frame in two pieces.
fn halves() -> Vec<Vec<u8>> {
    frames().iter().flat_map(|frame| [frame[..100].to_vec(), frame[100..].to_vec()]).collect()
}

fn assert_in_order(bytes: &[u8]) {
    for (frame, expected) in [10u8, 120, 240].into_iter().enumerate() {
        let decoded = decode(bytes, frame as u32).unwrap();
        assert!(
            decoded.pixels.samples().iter().all(|sample| sample.abs_diff(expected) <= 2),
            "frame {frame}"
        );
    }
}

#[test]
fn frames_are_found_by_piece_by_table_and_by_their_streams() {
    assert_in_order(&film(vec![], frames().to_vec()));
    assert_in_order(&film(vec![], halves()));
    let lengths = frames().map(|frame| frame.len() as u32 + 16);
    assert_in_order(&film(vec![0, lengths[0], lengths[0] + lengths[1]], halves()));
}

#[test]
fn pieces_that_belong_to_no_frame_are_refused() {
    assert!(refusal(&film(vec![0, 50, 90], halves()), 1).contains("points between"));
    assert!(refusal(&film(vec![], halves()[..5].to_vec()), 2).contains("cut off"));
    assert!(refusal(&film(vec![], frames()[..2].to_vec()), 0).contains("states 3 frames"));
    let mut nameless = halves();
    nameless[2][..2].fill(0);
    assert!(refusal(&film(vec![], nameless), 0).contains("no table says"));
}

#[test]
fn what_a_frame_s_stream_is_forgiven_is_said() {
    let mut open = encoded(GrayImage::from_pixel(16, 16, Luma([120])), ImageFormat::Jpeg);
    open.truncate(open.len() - 2);
    open.resize(open.len().next_multiple_of(2), 0);
    let decoded = decode(&film(vec![], vec![flat(10), open, flat(240)]), 1).unwrap();
    assert!(decoded.pixels.samples().iter().all(|sample| sample.abs_diff(120) <= 2));
    assert_eq!(decoded.repaired, ["the JPEG end marker is missing, the scans are whole"]);
    let whole = decode(&film(vec![], frames().to_vec()), 1).unwrap();
    assert!(whole.repaired.is_empty(), "{:?}", whole.repaired);
}

#[test]
fn frames_are_listed_from_the_header_if_the_pixel_data_can_hold_them() {
    let folder = tempfile::tempdir().unwrap();
    let listed = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        n_frames(&path, &Reading::default()).map_err(|error| format!("{error:#}"))
    };
    assert_eq!(listed("whole.dcm", &film(vec![], frames().to_vec())), Ok(3));
    assert_eq!(listed("halves.dcm", &film(vec![], halves())), Ok(3));
    let short = listed("short.dcm", &film(vec![], frames()[..2].to_vec())).unwrap_err();
    assert!(
        short.contains("states 3 frames, which take 3 compressed pieces at least, and holds 2"),
        "{short}"
    );
    // Two frames of 2 x 3 x 16 bits are stated, one is there.
    let mut native = picture("MONOCHROME2", &[0, 1, 2, 3, 4, 5]);
    native.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "2"));
    let short = listed("native.dcm", &super::tables::bytes(native)).unwrap_err();
    assert!(short.contains("states 2 frames, which take 24 bytes at least, and holds 12"), "{short}");
}
