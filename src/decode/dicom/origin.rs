//! What a picture that is derived from a DICOM file states of that file.

use anyhow::{Context, Result, ensure};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};

use super::header;

/// What a derived picture takes over from its source: identifiers and facts of the picture, nothing of people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `SOPClassUID`.
    pub class: String,
    /// `SOPInstanceUID`.
    pub instance: String,
    /// `StudyInstanceUID`.
    pub study: String,
    /// Whether text is burned into the source's picture, and so into the derived one; `None` if it does not say.
    pub burned_in: Option<bool>,
    /// Whether its picture was ever compressed with loss: it says so, its transfer syntax always loses something, or that
    /// may lose something and the file does not say that it did not.
    pub is_lossy: bool,
    /// Height of a pixel over its width, as `PixelAspectRatio` writes it, stated or by the spacing; `None` for squares.
    pub aspect: Option<String>,
}

/// Transfer syntaxes that always lose something.
const LOSSY: [&str; 3] =
    [uids::JPEG_BASELINE8_BIT, uids::JPEG_EXTENDED12_BIT, uids::JPEGXLJPEG_RECOMPRESSION];
/// Those that may.
const MAYBE_LOSSY: [&str; 5] =
    [uids::JPEGLS_NEAR_LOSSLESS, uids::JPEG2000, uids::JPEG2000MC, uids::HTJ2K, uids::JPEGXL];

impl Origin {
    pub(super) fn of(object: &DefaultDicomObject) -> Result<Origin> {
        let stated = |tag, yes: &str, no: &str| match header::text(object, tag) {
            Some(text) if text == yes => Some(true),
            Some(text) if text == no => Some(false),
            _ => None,
        };
        let (syntax, stated_lossy) =
            (object.meta().transfer_syntax(), stated(tags::LOSSY_IMAGE_COMPRESSION, "01", "00"));
        Ok(Origin {
            class: identifier(object, tags::SOP_CLASS_UID, "SOPClassUID")?,
            instance: identifier(object, tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            study: identifier(object, tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?,
            burned_in: stated(tags::BURNED_IN_ANNOTATION, "YES", "NO"),
            is_lossy: LOSSY.contains(&syntax) || stated_lossy.unwrap_or(MAYBE_LOSSY.contains(&syntax)),
            aspect: aspect(object),
        })
    }
}

fn identifier(object: &InMemDicomObject, tag: Tag, name: &str) -> Result<String> {
    let value = header::text(object, tag).with_context(|| {
        format!("it states no {name}, by which a derived picture would refer to it; export it with its study")
    })?;
    let is_one = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    ensure!(
        is_one,
        "its {name}, {value:?}, is no identifier by which a derived picture could refer to it; export it again"
    );
    Ok(value)
}

fn aspect(object: &InMemDicomObject) -> Option<String> {
    let pair = |tag| {
        let text = header::words(header::find(object, tags::PIXEL_MEASURES_SEQUENCE, tag, 0)?)?;
        let (height, width) = text.split_once('\\')?;
        let number =
            |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
        Some((number(height)?, number(width)?))
    };
    let spacings = [tags::PIXEL_SPACING, tags::IMAGER_PIXEL_SPACING, tags::NOMINAL_SCANNED_PIXEL_SPACING];
    let (height, width) = pair(tags::PIXEL_ASPECT_RATIO).or_else(|| spacings.into_iter().find_map(pair))?;
    // Whole numbers, as the attribute has them.
    let ratio = (10_000.0 * height / width).round();
    ((1.0..1e9).contains(&ratio) && ratio != 10_000.0).then(|| format!("{ratio}\\10000"))
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, VR};
    use dicom_object::FileMetaTableBuilder;

    use super::*;

    fn file(elements: &[(Tag, VR, &str)], syntax: &str) -> DefaultDicomObject {
        let elements = elements.iter().map(|&(tag, vr, value)| DataElement::new(tag, vr, value));
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(syntax)
            .media_storage_sop_class_uid("1.2")
            .media_storage_sop_instance_uid("1.2.3");
        InMemDicomObject::from_element_iter(elements).with_exact_meta(meta.build().expect("a meta group"))
    }

    const IDENTIFIERS: [(Tag, VR, &str); 3] = [
        (tags::SOP_CLASS_UID, VR::UI, "1.2"),
        (tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
        (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.4"),
    ];

    fn of(more: &[(Tag, VR, &str)], syntax: &str) -> Origin {
        Origin::of(&file(&[&IDENTIFIERS[..], more].concat(), syntax)).expect("identifiers")
    }

    #[test]
    fn a_file_that_cannot_be_referred_to_says_what_it_lacks() {
        let said = |elements: &[(Tag, VR, &str)]| {
            Origin::of(&file(elements, uids::EXPLICIT_VR_LITTLE_ENDIAN)).map_err(|error| error.to_string())
        };
        assert!(said(&IDENTIFIERS[..2]).is_err_and(|error| error.contains("no StudyInstanceUID")));
        let named = [&IDENTIFIERS[..2], &[(tags::STUDY_INSTANCE_UID, VR::UI, "MILLER")]].concat();
        assert!(said(&named).is_err_and(|error| error.contains("\"MILLER\", is no identifier")));
        assert_eq!(said(&IDENTIFIERS).map(|origin| origin.study), Ok("1.2.4".to_owned()));
    }

    #[test]
    fn what_was_lost_once_and_pixels_that_are_no_squares_are_known_and_free_text_is_not() {
        let raw = uids::EXPLICIT_VR_LITTLE_ENDIAN;
        let plain = of(&[], raw);
        assert!(!plain.is_lossy && plain.burned_in.is_none() && plain.aspect.is_none());
        assert!(of(&[], uids::JPEG_BASELINE8_BIT).is_lossy);
        let stated = |text, syntax| of(&[(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, text)], syntax).is_lossy;
        assert!(stated("01", raw) && of(&[], uids::JPEG2000).is_lossy && !stated("00", uids::JPEG2000));
        assert!(stated("00", uids::JPEG_BASELINE8_BIT));
        let burned = |text| of(&[(tags::BURNED_IN_ANNOTATION, VR::CS, text)], raw).burned_in;
        assert_eq!(["YES", "NO", "MILLER"].map(burned), [Some(true), Some(false), None]);
        let aspect = |tag, vr, text| of(&[(tag, vr, text)], raw).aspect;
        assert_eq!(aspect(tags::PIXEL_SPACING, VR::DS, "0.004\\0.012").as_deref(), Some("3333\\10000"));
        assert_eq!(aspect(tags::PIXEL_SPACING, VR::DS, "0.5\\0.5"), None);
        assert_eq!(aspect(tags::PIXEL_ASPECT_RATIO, VR::IS, "2\\1").as_deref(), Some("20000\\10000"));
        assert_eq!(aspect(tags::PIXEL_ASPECT_RATIO, VR::IS, "MILLER\\1"), None);
    }
}
