//! Made-up DICOM files with known tables, windows and palettes.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use medfsad::decode::{Decoded, decode, frames, mask_frames};
use medfsad::spec::{Intensity, Reading};

/// 2 rows, 3 columns of 16 bits.
const STORED: [u16; 6] = [0, 100, 200, 300, 400, 500];

pub fn picture(photometric: &str, words: &[u16]) -> InMemDicomObject {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    InMemDicomObject::from_element_iter([
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, 2),
        number(tags::COLUMNS, 3),
        number(tags::BITS_ALLOCATED, 16),
        number(tags::BITS_STORED, 16),
        number(tags::HIGH_BIT, 15),
        number(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())),
    ])
}

pub fn bytes(object: InMemDicomObject) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, value));
}

fn table(object: &mut InMemDicomObject, sequence: Tag, descriptor: [u16; 3], entries: &[u16]) {
    let item = InMemDicomObject::from_element_iter([
        DataElement::new(tags::LUT_DESCRIPTOR, VR::US, PrimitiveValue::U16(descriptor[..].into())),
        DataElement::new(tags::LUT_DATA, VR::US, PrimitiveValue::U16(entries.into())),
    ]);
    object.put(DataElement::new(sequence, VR::SQ, dicom_core::value::DataSetSequence::from(vec![item])));
}

fn shown(object: InMemDicomObject) -> Decoded {
    decode(&bytes(object), 0).unwrap()
}

#[test]
fn a_modality_table_comes_before_everything_else() {
    let mut object = picture("MONOCHROME2", &[9, 10, 11, 12, 13, 99]);
    table(&mut object, tags::MODALITY_LUT_SEQUENCE, [4, 10, 16], &[1000, 3000, 2000, 5000]);
    let decoded = shown(object);
    // 9 takes the first entry, 13 and 99 the last; then 1000 to 5000 is the whole range.
    assert_eq!(decoded.pixels.samples(), [0, 0, 128, 64, 255, 255]);
    assert!(decoded.intensity_policy.contains("modality table of 4 entries, 16 bits"));
}

#[test]
fn a_voi_table_is_taken_before_a_window_and_spans_its_bits() {
    let mut object = picture("MONOCHROME1", &STORED);
    table(&mut object, tags::VOILUT_SEQUENCE, [3, 100, 12], &[4095, 0, 1365]);
    text(&mut object, tags::WINDOW_CENTER, VR::DS, "250");
    text(&mut object, tags::WINDOW_WIDTH, VR::DS, "100");
    let decoded = shown(object);
    // Below 100 and at 100 the first entry, from 102 on the last; all turned round.
    assert_eq!(decoded.pixels.samples(), [0, 0, 170, 170, 170, 170]);
    assert!(decoded.intensity_policy.contains("first stated VOI table of 3 entries, 12 bits"));
    assert!(decoded.intensity_policy.ends_with("MONOCHROME1 inverted"));
}

#[test]
fn window_functions_are_the_standards() {
    let with = |function: &str| {
        let mut object = picture("MONOCHROME2", &STORED);
        text(&mut object, tags::WINDOW_CENTER, VR::DS, "200\\7");
        text(&mut object, tags::WINDOW_WIDTH, VR::DS, "400\\9");
        text(&mut object, tags::VOILUT_FUNCTION, VR::CS, function);
        object
    };
    let expected =
        |share: fn(f64) -> f64| STORED.map(|v| (share(v.into()).clamp(0.0, 1.0) * 255.0).round() as u8);
    let linear = expected(|v| (v - 199.5) / 399.0 + 0.5);
    assert_eq!(shown(with("LINEAR")).pixels.samples(), linear);
    assert_eq!(shown(with("LINEAR_EXACT")).pixels.samples(), expected(|v| (v - 200.0) / 400.0 + 0.5));
    let sigmoid = shown(with("SIGMOID"));
    assert_eq!(sigmoid.pixels.samples(), expected(|v| 1.0 / (1.0 + (-4.0 * (v - 200.0) / 400.0).exp())));
    assert!(sigmoid.intensity_policy.contains("first stated window SIGMOID centre 200 width 400"));
    let unknown = decode(&bytes(with("CUBIC")), 0).unwrap_err();
    assert!(format!("{unknown:#}").contains("CUBIC"));
}

#[test]
fn a_reading_overrules_the_file_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let mut object = picture("MONOCHROME2", &STORED);
    text(&mut object, tags::RESCALE_SLOPE, VR::DS, "2");
    text(&mut object, tags::RESCALE_INTERCEPT, VR::DS, "-100");
    text(&mut object, tags::WINDOW_CENTER, VR::DS, "0");
    text(&mut object, tags::WINDOW_WIDTH, VR::DS, "10");
    std::fs::write(&path, bytes(object)).unwrap();
    let show = |intensity: Intensity| {
        let reading = Reading { intensity, ..Reading::default() };
        frames(&path, &[0], &reading).unwrap().remove(0).unwrap()
    };
    // Values are -100, 100, 300, 500, 700, 900.
    let window = show(Intensity::Window { center: 300.0, width: 400.0 });
    assert_eq!(window.pixels.samples(), [0, 0, 128, 255, 255, 255]);
    assert!(
        window.intensity_policy.contains("slope 2 intercept -100 stated; given window centre 300 width 400")
    );
    assert_eq!(show(Intensity::MinMax).pixels.samples(), [0, 51, 102, 153, 204, 255]);
    // 20 and 80 percent of six values lie on the second and the fifth.
    let percentiles = show(Intensity::Percentiles { low: 20.0, high: 80.0 });
    assert_eq!(percentiles.pixels.samples(), [0, 0, 85, 170, 255, 255]);
    assert!(percentiles.intensity_policy.contains("percentiles 20 to 80 of this frame, 100 to 700"));
    assert_eq!(show(Intensity::FullRange).pixels.samples(), [0, 0, 1, 1, 2, 2]);
    for intensity in [
        Intensity::Window { center: 0.0, width: 0.0 },
        Intensity::Percentiles { low: 5.0, high: 5.0 },
        Intensity::Percentiles { low: f64::NAN, high: 5.0 },
    ] {
        assert!(frames(&path, &[0], &Reading { intensity, ..Reading::default() }).is_err());
    }
}

#[test]
fn a_mask_is_where_stored_values_are_not_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.dcm");
    let mut object = picture("MONOCHROME1", &[0, 1, 0, 65535, 2, 0]);
    text(&mut object, tags::RESCALE_SLOPE, VR::DS, "1");
    text(&mut object, tags::RESCALE_INTERCEPT, VR::DS, "-1");
    std::fs::write(&path, bytes(object)).unwrap();
    let masks = mask_frames(&path, &[0, 1], &Reading::default()).unwrap();
    assert_eq!(masks[0].as_ref().unwrap().samples(), [0, 255, 0, 255, 255, 0]);
    assert!(format!("{:#}", masks[1].as_ref().unwrap_err()).contains("the file holds 1"));
}

/// Indices 0 to 5 into segmented palettes of 5 entries of 16 bits.
pub fn segmented(red: &[u16], green: &[u16], blue: &[u16]) -> Vec<u8> {
    let mut object = picture("PALETTE COLOR", &[0, 1, 2, 3, 4, 5]);
    for (descriptor, tag, segments) in [
        (
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            red,
        ),
        (
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            green,
        ),
        (
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            blue,
        ),
    ] {
        object.put(DataElement::new(descriptor, VR::US, dicom_value!(U16, [5, 0, 16])));
        object.put(DataElement::new(tag, VR::OW, PrimitiveValue::U16(segments.into())));
    }
    bytes(object)
}

#[test]
fn palettes_may_be_runs_ramps_and_repeats() {
    let ramp = [0, 1, 0x1000, 1, 4, 0x5000];
    let run = [0, 5, 0x100, 0x200, 0x300, 0x400, 0x500];
    // The run of two once more by its place in bytes, then one entry.
    let repeat = [0, 2, 0x3000, 0x4000, 2, 1, 0, 0, 0, 1, 0x7000];
    let decoded = decode(&segmented(&ramp, &run, &repeat), 0).unwrap();
    let column = |channel: usize| -> Vec<u8> {
        decoded.pixels.samples().iter().skip(channel).step_by(3).copied().collect()
    };
    assert_eq!(column(0), [0x10, 0x20, 0x30, 0x40, 0x50, 0x50]);
    assert_eq!(column(1), [1, 2, 3, 4, 5, 5]);
    assert_eq!(column(2), [0x30, 0x40, 0x30, 0x40, 0x70, 0x70]);
    for damaged in [&[0u16, 5, 1][..], &[1, 2, 9], &[7, 0], &[2, 1, 0, 0], &[0], &[0, 1, 9]] {
        assert!(decode(&segmented(damaged, &run, &run), 0).is_err(), "{damaged:?}");
    }
}

#[test]
fn a_length_beyond_the_file_is_refused_before_room_is_made_for_it() {
    let mut damaged = bytes(picture("MONOCHROME2", &STORED));
    let at = damaged.len() - 12 - 4;
    assert_eq!(damaged[at..at + 4], 12u32.to_le_bytes());
    damaged[at..at + 4].copy_from_slice(&0xf000_0000u32.to_le_bytes());
    let refusal = format!("{:#}", decode(&damaged, 0).unwrap_err());
    assert!(refusal.contains("(7FE0,0010) states 4026531840 bytes and 12 are left"), "{refusal}");
}

#[test]
fn padding_that_no_stored_number_can_be_is_no_padding() {
    let twelve = |padding: u16| {
        let mut object = picture("MONOCHROME2", &[0, 500, 1000, 2096, 3000, 4095]);
        for (tag, value) in
            [(tags::BITS_STORED, 12), (tags::HIGH_BIT, 11), (tags::PIXEL_PADDING_VALUE, padding)]
        {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        shown(object)
    };
    // Its lowest 12 bits are those of 2096.
    let beyond = twelve(63_536);
    assert_eq!(beyond.pixels.samples()[3], 131, "{:?}", beyond.pixels.samples());
    assert!(!beyond.intensity_policy.contains("padding"), "{}", beyond.intensity_policy);
    let within = twelve(4095);
    assert_eq!((within.pixels.samples()[4], within.pixels.samples()[5]), (255, 0));
}

#[test]
fn padding_of_inverted_films_and_of_a_range_is_dark() {
    let with = |photometric: &str, limit: Option<u16>| {
        let mut object = picture(photometric, &[0, 1, 2, 100, 200, 300]);
        let numbers = [(tags::PIXEL_PADDING_VALUE, Some(0u16)), (tags::PIXEL_PADDING_RANGE_LIMIT, limit)];
        for (tag, value) in numbers.into_iter().filter_map(|(tag, value)| Some((tag, value?))) {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        shown(object)
    };
    // 1 to 300 is the range of the rest, then of 100 to 300; turned round, its lowest is white and padding is not.
    let one = with("MONOCHROME1", None);
    assert_eq!(one.pixels.samples(), [0, 255, 254, 171, 85, 0]);
    let range = with("MONOCHROME1", Some(2));
    assert_eq!(range.pixels.samples(), [0, 0, 0, 255, 127, 0]);
    assert!(
        range.intensity_policy.contains("padding 0 to 2 left out and dark"),
        "{}",
        range.intensity_policy
    );
    assert_eq!(with("MONOCHROME2", Some(2)).pixels.samples(), [0, 0, 0, 0, 128, 255]);
    // The limit may lie below the value (PS3.3 C.7.5.1.1.2).
    let mut turned = picture("MONOCHROME2", &[0, 1, 2, 100, 200, 300]);
    for (tag, value) in [(tags::PIXEL_PADDING_VALUE, 2u16), (tags::PIXEL_PADDING_RANGE_LIMIT, 0)] {
        turned.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    assert_eq!(shown(turned).pixels, with("MONOCHROME2", Some(2)).pixels);
}

#[test]
fn bad_identifiers_in_the_meta_group_lose_no_picture() {
    let whole = bytes(picture("MONOCHROME2", &STORED));
    let at = whole.windows(6).position(|text| text == b"2.25.1").expect("the instance's identifier");
    let expected = decode(&whole, 0).unwrap();
    for wrong in [b"2.25.x", b"..25.1", b"\0\0\0\0\0\0", b"\xff\xfe    "] {
        let mut file = whole.clone();
        file[at..at + 6].copy_from_slice(wrong);
        assert_eq!(decode(&file, 0).unwrap().pixels, expected.pixels, "{wrong:?}");
    }
    // 70 characters, where 64 are allowed; the group's length is then wrong too.
    let mut long = whole.clone();
    long[at - 2..at].copy_from_slice(&76u16.to_le_bytes());
    long.splice(at..at, std::iter::repeat_n(b'1', 70));
    let decoded = decode(&long, 0).unwrap();
    assert_eq!(decoded.pixels, expected.pixels);
    assert!(
        decoded.repaired.iter().any(|word| word.contains("76 bytes, 64 are allowed")),
        "{:?}",
        decoded.repaired
    );
}

#[test]
fn an_element_of_unknown_kind_that_does_not_end_is_refused_before_it_is_parsed() {
    let mut file = bytes(picture("MONOCHROME2", &STORED));
    // A private element of VR UN and undefined length, an item, and in it an element of 0xE000FFFE bytes for who takes
    // its VR for stated.
    file.extend(b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff");
    file.extend(b"\x08\x00\x15\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x50\x11");
    let refusal = format!("{:#}", decode(&file, 0).unwrap_err());
    assert!(refusal.contains("unknown VR and undefined length does not end"), "{refusal}");
}
