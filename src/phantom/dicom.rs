//! A chest film as a DICOM file: most in baseline JPEG, as the owner's are, the rest uncompressed;
//! a few stored inverted (MONOCHROME1).

use anyhow::{Context, Result};
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, mem::InMemElement};

use crate::dicom_file::{self, even, number, text};
use crate::phantom::{Drawing, encode};
use crate::pixels::Pixels;
use crate::random::Stream;

/// Film number `order`, of `patient`. The number decides how it is stored; view, sex and age are
/// drawn without regard to the finding, and identifiers come from `stream` too, so that the same
/// stream gives the same bytes.
pub(super) fn film(drawing: &Drawing, patient: &str, order: usize, stream: &mut Stream) -> Result<Vec<u8>> {
    let (inverted, compressed) = (order % 10 == 3, order % 4 != 1);
    let mut object = InMemDicomObject::from_element_iter(patient_elements(patient, stream));
    let pixels = if inverted { negative(&drawing.pixels)? } else { drawing.pixels.clone() };
    for element in picture_elements(&pixels, inverted) {
        object.put(element);
    }
    let syntax = if compressed { uids::JPEG_BASELINE8_BIT } else { uids::EXPLICIT_VR_LITTLE_ENDIAN };
    if compressed {
        object.put(text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"));
        let fragment = even(encode::jpeg(&pixels, drawing.quality)?);
        let fragments = PixelFragmentSequence::new_fragments(vec![fragment]);
        object.put(InMemElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    } else {
        let samples = PrimitiveValue::from(even(pixels.samples().to_vec()));
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, samples));
    }
    dicom_file::bytes(object, syntax).with_context(|| format!("the film of {patient}"))
}

fn patient_elements(patient: &str, stream: &mut Stream) -> Vec<InMemElement> {
    let [instance, study, series] = [(); 3].map(|()| identifier(stream));
    let view = if stream.below(2) == 0 { "PA" } else { "AP" };
    let sex = if stream.below(2) == 0 { "F" } else { "M" };
    let age = (20 + stream.below(60)).to_string();
    vec![
        text(tags::SOP_CLASS_UID, VR::UI, uids::SECONDARY_CAPTURE_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, &instance),
        text(tags::MODALITY, VR::CS, "CR"),
        text(tags::CONVERSION_TYPE, VR::CS, "WSD"),
        text(tags::PATIENT_NAME, VR::PN, patient),
        text(tags::PATIENT_ID, VR::LO, patient),
        text(tags::PATIENT_SEX, VR::CS, sex),
        text(tags::PATIENT_AGE, VR::AS, &format!("{age:0>3}Y")),
        text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        text(tags::VIEW_POSITION, VR::CS, view),
        text(tags::STUDY_INSTANCE_UID, VR::UI, &study),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &series),
        text(tags::INSTANCE_NUMBER, VR::IS, "1"),
    ]
}

fn picture_elements(pixels: &Pixels, inverted: bool) -> Vec<InMemElement> {
    let photometric = if inverted { "MONOCHROME1" } else { "MONOCHROME2" };
    vec![
        number(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric),
        number(tags::ROWS, pixels.height() as u16),
        number(tags::COLUMNS, pixels.width() as u16),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
    ]
}

fn identifier(stream: &mut Stream) -> String {
    dicom_file::identifier((u128::from(stream.bits()) << 64) | u128::from(stream.bits()))
}

fn negative(pixels: &Pixels) -> Result<Pixels> {
    let samples = pixels.samples().iter().map(|sample| 255 - sample).collect();
    Pixels::new(pixels.height(), pixels.width(), pixels.channels(), samples)
}
