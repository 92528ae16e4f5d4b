//! One small picture as DICOM stores it: in every transfer syntax without a codec, and in every kind of sample.

use std::io::Write;

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::tables::{bytes, picture};

/// Syntaxes that store samples as they are.
pub const NATIVE: [&str; 4] = [
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.2",
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
];

/// The picture: 2 rows, 3 columns, 16 bits.
pub const WORDS: [u16; 6] = [0, 100, 200, 300, 400, 65_535];

/// `object` as a file in `syntax`, its data set written in `written`.
fn file(object: &InMemDicomObject, syntax: &str, written: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    let mut bytes = [&[0; 128][..], b"DICM"].concat();
    meta.build().unwrap().write(&mut bytes).unwrap();
    let mut set = Vec::new();
    object.write_dataset_with_ts(&mut set, TransferSyntaxRegistry.get(written).unwrap()).unwrap();
    if syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        deflated.write_all(&set).unwrap();
        set = deflated.finish().unwrap();
    }
    bytes.extend(set);
    bytes
}

/// The picture in one of the syntaxes of [`NATIVE`].
pub fn native(syntax: &str) -> Vec<u8> {
    let is_deflated = syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
    let written = if is_deflated { uids::EXPLICIT_VR_LITTLE_ENDIAN } else { syntax };
    file(&picture("MONOCHROME2", &WORDS), syntax, written)
}

/// The picture, whose data set is not in the encoding that its meta group states.
pub fn misnamed() -> Vec<u8> {
    let (stated, written) = (uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN);
    file(&picture("MONOCHROME2", &WORDS), stated, written)
}

/// The header of the picture over a compressed stream.
pub fn compressed(syntax: &str, mut stream: Vec<u8>) -> Vec<u8> {
    let mut object = picture("MONOCHROME2", &[]);
    stream.resize(stream.len().next_multiple_of(2), 0);
    let pixels = PixelFragmentSequence::new(vec![], vec![stream]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixels));
    file(&object, syntax, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

/// The picture's samples, little-endian.
pub fn little_endian() -> Vec<u8> {
    WORDS.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The picture in RLE: high bytes, then low ones, each as one literal run.
pub fn rle() -> Vec<u8> {
    let run = |byte: fn(u16) -> u8| [&[5][..], &WORDS.map(byte)].concat();
    let (high, low) = (run(|word| (word >> 8) as u8), run(|word| word as u8));
    let head = [2, 64, 64 + high.len() as u32].into_iter().chain([0; 13]);
    head.flat_map(u32::to_le_bytes).chain(high).chain(low).collect()
}

/// A file of 2 rows and 3 columns with these samples; `changes` replace what [`picture`] says of them.
pub fn with(photometric: &str, changes: &[(Tag, u16)], samples: &[u8]) -> Vec<u8> {
    let mut object = picture(photometric, &[]);
    for &(tag, value) in changes {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::from(samples)));
    bytes(object)
}

/// As [`with`], of `bits` bits stored in `allocated`.
pub fn grey(allocated: u16, bits: u16, signed: u16) -> Vec<u8> {
    let changes = [
        (tags::BITS_ALLOCATED, allocated),
        (tags::BITS_STORED, bits),
        (tags::HIGH_BIT, bits - 1),
        (tags::PIXEL_REPRESENTATION, signed),
    ];
    with("MONOCHROME2", &changes, &vec![1; (6 * usize::from(allocated)).div_ceil(16) * 2])
}

/// As [`with`], of three samples of 8 bits a pixel, by pixel or by plane.
pub fn colour(photometric: &str, planar: u16, n: usize) -> Vec<u8> {
    let changes = [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, planar),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
    ];
    with(photometric, &changes, &(0..n).map(|place| (place * 9) as u8).collect::<Vec<_>>())
}

/// Two frames of 8 bits.
pub fn two_frames() -> Vec<u8> {
    let mut object = picture("MONOCHROME2", &WORDS);
    for (tag, value) in [(tags::BITS_ALLOCATED, 8u16), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "2"));
    bytes(object)
}

/// Indices into palettes of 3 entries of 16 bits.
pub fn palette() -> Vec<u8> {
    let mut object = picture("PALETTE COLOR", &[0, 1, 2, 2, 1, 0]);
    for (descriptor, data) in [
        (tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA),
        (tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA),
        (tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA),
    ] {
        object.put(DataElement::new(descriptor, VR::US, dicom_value!(U16, [3, 0, 16])));
        object.put(DataElement::new(data, VR::OW, dicom_value!(U16, [0, 30_000, 60_000])));
    }
    bytes(object)
}

/// A picture of floating-point samples, which lie in an element of their own.
pub fn floats() -> Vec<u8> {
    let mut object = picture("MONOCHROME2", &[]);
    object.take(tags::PIXEL_DATA);
    let samples = PrimitiveValue::F32(WORDS.map(f32::from)[..].into());
    object.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, samples));
    object.put(DataElement::new(tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(32u16)));
    bytes(object)
}
