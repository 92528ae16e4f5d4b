//! What a picture that is derived from a DICOM file states of that file.

use anyhow::{Context, Result, ensure};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};

use super::header;

/// What a derived picture takes over from its source: identifiers and facts of the picture, nothing of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `SOPClassUID`.
    pub class: String,
    /// `SOPInstanceUID`.
    pub instance: String,
    /// `StudyInstanceUID`.
    pub study: String,
    /// `BurnedInAnnotation`: text in the source's picture is in the derived one too.
    pub burned_in: Option<String>,
    /// `LossyImageCompression`, which once set is never taken back.
    pub lossy: Option<String>,
    /// `PixelAspectRatio`.
    pub aspect: Option<String>,
}

impl Origin {
    pub(super) fn of(object: &InMemDicomObject) -> Result<Origin> {
        let of = |tag| header::text(object, tag);
        Ok(Origin {
            class: identifier(object, tags::SOP_CLASS_UID, "SOPClassUID")?,
            instance: identifier(object, tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            study: identifier(object, tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?,
            burned_in: of(tags::BURNED_IN_ANNOTATION),
            lossy: of(tags::LOSSY_IMAGE_COMPRESSION),
            aspect: of(tags::PIXEL_ASPECT_RATIO),
        })
    }
}

fn identifier(object: &InMemDicomObject, tag: Tag, name: &str) -> Result<String> {
    let value = header::text(object, tag)
        .with_context(|| format!("it states no {name}, by which a derived picture would refer to it"))?;
    let is_one = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    ensure!(is_one, "its {name}, {value:?}, is no identifier by which a derived picture could refer to it");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, VR};

    use super::*;

    #[test]
    fn a_file_that_cannot_be_referred_to_says_what_it_lacks() {
        let put = |object: &mut InMemDicomObject, tag, value: &str| {
            object.put(DataElement::new(tag, VR::UI, value));
        };
        let mut object = InMemDicomObject::new_empty();
        put(&mut object, tags::SOP_CLASS_UID, "1.2");
        put(&mut object, tags::SOP_INSTANCE_UID, "1.2.3");
        let said = |object: &InMemDicomObject| Origin::of(object).map_err(|error| error.to_string());
        assert!(said(&object).is_err_and(|error| error.contains("no StudyInstanceUID")));
        put(&mut object, tags::STUDY_INSTANCE_UID, "MILLER");
        assert!(said(&object).is_err_and(|error| error.contains("\"MILLER\", is no identifier")));
        put(&mut object, tags::STUDY_INSTANCE_UID, "1.2.4");
        assert_eq!(said(&object).map(|origin| origin.study), Ok("1.2.4".to_owned()));
    }
}
