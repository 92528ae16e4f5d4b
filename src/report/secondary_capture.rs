//! A heatmap as DICOM Secondary Capture, which refers to the picture it was made of.

use anyhow::{Context, Result};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, mem::InMemElement};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use crate::decode::dicom::Origin;
use crate::dicom_file::{bytes, even, identifier, number, sequence, text};
use crate::files;
use crate::pixels::Pixels;

/// What one file of a series says beside its picture.
pub struct Capture<'a> {
    /// The method that made the map.
    pub method: &'a str,
    /// Whether its network has random weights, so that the map shows nothing.
    pub is_random: bool,
    /// All that tells this series from another of the same study: method, weights, settings, references, colours.
    pub series: &'a str,
    /// The source.
    pub origin: &'a Origin,
    /// The source's frame, counted from 0; `None` if it has one alone.
    pub frame: Option<u32>,
    /// Place in the series, from 1.
    pub place: usize,
    /// Smoothed map values of the coldest and the hottest colour.
    pub range: [f32; 2],
}

/// The bytes of the file: `picture` as RGB of 8 bits in the source's study, in a series of its own, with a reference to the
/// source. Attributes of people that the standard asks for are there and empty. Its identifier is a hash of all else in it,
/// so two files of one identifier have the same bytes.
///
/// # Errors
/// A picture of more than 65,535 rows or columns.
pub fn encode(picture: &Pixels, capture: &Capture) -> Result<Vec<u8>> {
    let mut object = InMemDicomObject::from_element_iter(identity(capture));
    let described = unknown_people().into_iter().chain(making(capture)).chain(taken_over(capture.origin));
    for element in described.chain(pixels(&picture.to_rgb())?) {
        object.put(element);
    }
    let syntax = TransferSyntaxRegistry.get(SYNTAX).context("a transfer syntax that every reader has")?;
    let mut all = Vec::new();
    object.write_dataset_with_ts(&mut all, syntax).context("encoding a data set")?;
    object.put(text(tags::SOP_INSTANCE_UID, VR::UI, &hashed(&all)));
    bytes(object, SYNTAX)
}

const SYNTAX: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;

fn pixels(picture: &Pixels) -> Result<Vec<InMemElement>> {
    let side = |length: usize| {
        u16::try_from(length).with_context(|| format!("{length} rows or columns are too many for DICOM"))
    };
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::ROWS, side(picture.height())?),
        (tags::COLUMNS, side(picture.width())?),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    let mut elements: Vec<InMemElement> =
        numbers.into_iter().map(|(tag, value)| number(tag, value)).collect();
    elements.push(text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"));
    let samples = PrimitiveValue::from(even(picture.samples().to_vec()));
    elements.push(DataElement::new(tags::PIXEL_DATA, VR::OB, samples));
    Ok(elements)
}

fn identity(capture: &Capture) -> Vec<InMemElement> {
    let Capture { origin, series, place, .. } = capture;
    let series = hashed(format!("{} {series}", origin.study).as_bytes());
    vec![
        text(tags::SOP_CLASS_UID, VR::UI, uids::SECONDARY_CAPTURE_IMAGE_STORAGE),
        text(tags::STUDY_INSTANCE_UID, VR::UI, &origin.study),
        text(tags::SERIES_INSTANCE_UID, VR::UI, &series),
        text(tags::INSTANCE_NUMBER, VR::IS, &place.to_string()),
        text(tags::MODALITY, VR::CS, "OT"),
        text(tags::CONVERSION_TYPE, VR::CS, "WSD"),
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY"),
    ]
}

/// The first 128 bits of a hash as an identifier.
fn hashed(bytes: &[u8]) -> String {
    let digits = &files::sha256(bytes)[..32];
    identifier(u128::from_str_radix(digits, 16).expect("32 hexadecimal digits"))
}

/// What the standard wants to be there, known or not (type 2).
fn unknown_people() -> Vec<InMemElement> {
    let empty = [
        (tags::PATIENT_NAME, VR::PN),
        (tags::PATIENT_ID, VR::LO),
        (tags::PATIENT_BIRTH_DATE, VR::DA),
        (tags::PATIENT_SEX, VR::CS),
        (tags::STUDY_DATE, VR::DA),
        (tags::STUDY_TIME, VR::TM),
        (tags::STUDY_ID, VR::SH),
        (tags::ACCESSION_NUMBER, VR::SH),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
        (tags::SERIES_NUMBER, VR::IS),
        (tags::LATERALITY, VR::CS),
        (tags::PATIENT_ORIENTATION, VR::CS),
    ];
    empty.into_iter().map(|(tag, vr)| text(tag, vr, "")).collect()
}

/// Who made it, of what, and what the colours mean.
fn making(capture: &Capture) -> Vec<InMemElement> {
    let Capture { method, is_random, origin, frame, range: [low, high], .. } = capture;
    let method: String =
        method.chars().map(|c| if c.is_ascii_graphic() && c != '\\' { c } else { '_' }).collect();
    let short: String = format!("{method} anomaly map").chars().take(64).collect();
    let mut source = InMemDicomObject::from_element_iter([
        text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &origin.class),
        text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &origin.instance),
        sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose()]),
    ]);
    if let Some(frame) = frame {
        source.put(text(tags::REFERENCED_FRAME_NUMBER, VR::IS, &(frame + 1).to_string()));
    }
    let weights = if *is_random { " by a network of random weights, which shows nothing," } else { "" };
    let description = format!(
        "Anomaly map of {method}{weights} over the source picture, smoothed; coldest colour {low}, hottest {high}. \
         Research use; not for diagnosis."
    );
    vec![
        text(tags::SERIES_DESCRIPTION, VR::LO, &short),
        text(tags::DERIVATION_DESCRIPTION, VR::ST, &description),
        text(tags::SECONDARY_CAPTURE_DEVICE_MANUFACTURER, VR::LO, "medfsad"),
        text(tags::SECONDARY_CAPTURE_DEVICE_SOFTWARE_VERSIONS, VR::LO, crate::VERSION),
        sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]),
    ]
}

/// PS3.16, context group 7202.
fn purpose() -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        text(tags::CODE_VALUE, VR::SH, "121322"),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
        text(tags::CODE_MEANING, VR::LO, "Source image for image processing operation"),
    ])
}

fn taken_over(origin: &Origin) -> Vec<InMemElement> {
    let burned_in = origin.burned_in.map(|is| if is { "YES" } else { "NO" });
    let stated = [
        (tags::BURNED_IN_ANNOTATION, VR::CS, burned_in),
        (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, origin.is_lossy.then_some("01")),
        (tags::PIXEL_ASPECT_RATIO, VR::IS, origin.aspect.as_deref()),
    ];
    stated.into_iter().filter_map(|(tag, vr, value)| Some(text(tag, vr, value?))).collect()
}

#[cfg(test)]
mod tests {
    use dicom_object::from_reader;

    use super::*;
    use crate::decode::{self, dicom};

    fn origin() -> Origin {
        Origin {
            class: uids::CT_IMAGE_STORAGE.to_owned(),
            instance: "1.2.3".to_owned(),
            study: "1.2".to_owned(),
            burned_in: Some(true),
            is_lossy: true,
            aspect: Some("3333\\10000".to_owned()),
        }
    }

    /// 3 x 5 pixels: an odd number of bytes.
    fn picture() -> Pixels {
        Pixels::new(3, 5, 3, (0..45).map(|value| value * 5).collect()).expect("a picture")
    }

    fn capture<'a>(origin: &'a Origin, series: &'a str) -> Capture<'a> {
        Capture {
            method: "patchcore",
            is_random: false,
            series,
            origin,
            frame: Some(4),
            place: 2,
            range: [0.5, 2.0],
        }
    }

    #[test]
    fn what_is_written_reads_back_refers_to_its_source_and_names_nobody() {
        let origin = origin();
        let bytes = encode(&picture(), &capture(&origin, "a")).expect("a file");
        assert_eq!(decode::decode(&bytes, 0).expect("a picture").pixels, picture());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("capture.dcm");
        std::fs::write(&path, &bytes).expect("a file");
        let personal = dicom::personal(&path).expect("a header");
        assert!(personal.fields.is_empty() && personal.private == 0, "{:?}", personal.fields);
        assert_eq!(personal.burned_in, Some(true));
        let object = from_reader(&bytes[..]).expect("a DICOM file");
        let text = |object: &InMemDicomObject, tag| {
            object.element(tag).expect("an element").to_str().expect("text").into_owned()
        };
        let first = |object: &InMemDicomObject, tag| {
            object.element(tag).expect("a sequence").items().expect("items")[0].clone()
        };
        let source = first(&object, tags::SOURCE_IMAGE_SEQUENCE);
        assert_eq!(text(&source, tags::REFERENCED_SOP_CLASS_UID), uids::CT_IMAGE_STORAGE);
        assert_eq!(text(&source, tags::REFERENCED_SOP_INSTANCE_UID), "1.2.3");
        assert_eq!(text(&source, tags::REFERENCED_FRAME_NUMBER), "5");
        assert_eq!(
            text(&first(&source, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE), tags::CODE_VALUE),
            "121322"
        );
        assert_eq!(text(&object, tags::STUDY_INSTANCE_UID), "1.2");
        assert_eq!(text(&object, tags::LOSSY_IMAGE_COMPRESSION), "01");
        assert_eq!(text(&object, tags::PATIENT_NAME), "");
        assert_eq!(text(&object, tags::PIXEL_ASPECT_RATIO), "3333\\10000");
    }

    #[test]
    fn one_identifier_stands_for_the_same_bytes() {
        let origin = origin();
        let at = |series, place| {
            encode(&picture(), &Capture { place, ..capture(&origin, series) }).expect("a file")
        };
        let made = |series| at(series, 2);
        assert_eq!(made("a"), made("a"));
        let identifiers = |bytes: &[u8]| {
            let object = from_reader(bytes).expect("a DICOM file");
            [tags::SOP_INSTANCE_UID, tags::SERIES_INSTANCE_UID]
                .map(|tag| object.element(tag).expect("an element").to_str().expect("text").into_owned())
        };
        let (a, b) = (identifiers(&made("a")), identifiers(&made("b")));
        assert!(a[0] != b[0] && a[1] != b[1] && a[0] != a[1], "{a:?} {b:?}");
        assert!(a.iter().all(|one| one.len() <= 64), "{a:?}");
        // Another place is another file, of the same series.
        let moved = identifiers(&at("a", 3));
        assert!(moved[0] != a[0] && moved[1] == a[1], "{moved:?}");
    }
}
