//! Small DICOM files.

use anyhow::{Context, Result};
use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::Original;

/// Rows and columns.
const SIDE: u16 = 16;

/// Without compression, with a window and a table; and two frames in JPEG.
pub(super) fn films() -> Result<Vec<Original>> {
    let original = |bytes: Vec<u8>| Original { place: "a.dcm".to_owned(), bytes, beside: Vec::new() };
    Ok(vec![original(plain()?), original(compressed()?)])
}

fn object(bits: u16) -> InMemDicomObject {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    InMemDicomObject::from_element_iter([
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, SIDE),
        number(tags::COLUMNS, SIDE),
        number(tags::BITS_ALLOCATED, bits),
        number(tags::BITS_STORED, bits),
        number(tags::HIGH_BIT, bits - 1),
        number(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        DataElement::new(tags::PATIENT_ID, VR::LO, "1"),
    ])
}

fn plain() -> Result<Vec<u8>> {
    let mut object = object(16);
    let item = InMemDicomObject::from_element_iter([
        DataElement::new(tags::LUT_DESCRIPTOR, VR::US, PrimitiveValue::U16([4u16, 0, 16][..].into())),
        DataElement::new(tags::LUT_DATA, VR::US, PrimitiveValue::U16([0u16, 300, 600, 900][..].into())),
    ]);
    object.put(DataElement::new(tags::MODALITY_LUT_SEQUENCE, VR::SQ, DataSetSequence::from(vec![item])));
    object.put(DataElement::new(tags::WINDOW_CENTER, VR::DS, "400"));
    object.put(DataElement::new(tags::WINDOW_WIDTH, VR::DS, "800"));
    let words: Vec<u16> = (0..SIDE * SIDE).map(|place| place % 5).collect();
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words.into())));
    written(object, uids::EXPLICIT_VR_LITTLE_ENDIAN)
}

fn compressed() -> Result<Vec<u8>> {
    let frame = |step: u16| -> Result<Vec<u8>> {
        let samples: Vec<u8> = (0..SIDE * SIDE).map(|place| (place * step) as u8).collect();
        let mut stream = Vec::new();
        let (side, colour) = (u32::from(SIDE), ExtendedColorType::L8);
        JpegEncoder::new(&mut stream).write_image(&samples, side, side, colour)?;
        stream.resize(stream.len().next_multiple_of(2), 0);
        Ok(stream)
    };
    let mut object = object(8);
    object.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "2"));
    let frames = PixelFragmentSequence::new_fragments(vec![frame(1)?, frame(3)?]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, frames));
    written(object, uids::JPEG_BASELINE8_BIT)
}

fn written(object: InMemDicomObject, syntax: &str) -> Result<Vec<u8>> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(syntax)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    let mut bytes = Vec::new();
    object.with_meta(meta).context("a film's meta group")?.write_all(&mut bytes).context("a film")?;
    Ok(bytes)
}
