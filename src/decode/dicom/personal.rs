//! What a file's header says of people and institutions.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{InMemDicomObject, Tag};

use super::header;

/// The attributes of PS3.15 table E.1-1 that name or describe a person or an institution, a line each: tag, keyword,
/// and what it is. Its dates of examinations, UIDs and devices are left out: nearly every file has them.
const TABLE: &str = include_str!("personal.tsv");

static ATTRIBUTES: LazyLock<BTreeMap<Tag, (&str, &str)>> = LazyLock::new(|| {
    let attribute = |line: &'static str| {
        let [tag, keyword, kind] = line.split('\t').collect::<Vec<_>>()[..] else {
            unreachable!("a test reads every line")
        };
        (tag.parse().expect("a test reads every tag"), (keyword, kind))
    };
    TABLE.lines().map(attribute).collect()
});

/// What a header says of people.
#[derive(Clone, Debug, Default)]
pub struct Personal {
    /// Attributes that are not empty, in the file itself or in any sequence.
    pub fields: Vec<Field>,
    /// Whether the file says that text is burned into its picture; `None` if it does not say.
    pub burned_in: Option<bool>,
    /// Whether its picture is of a kind that often has text burned in: ultrasound, secondary capture and the like.
    pub is_often_burned_in: bool,
    /// Whether it says that features of the picture, such as a face, are recognisable.
    pub is_recognisable: bool,
    /// Whether it has overlay planes, which may hold text; they are no part of our pictures.
    pub has_overlays: bool,
    /// Elements that only their maker can read, in the file itself or in any sequence.
    pub private: usize,
}

/// An attribute that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its keyword.
    pub name: &'static str,
    /// `person`, `contact`, `institution`, `identifier`, `trait`, `comment` or `place`.
    pub kind: &'static str,
    /// For telling codes from names; never to be shown.
    pub value: String,
}

/// Modalities whose pictures often have text in them.
const OFTEN_BURNED_IN: [&str; 8] = ["US", "IVUS", "ES", "XC", "GM", "OT", "SC", "DOC"];

pub(super) fn of(object: &InMemDicomObject, class: Option<&str>) -> Personal {
    let says = |tag, word: &str| header::text(object, tag).map(|text| text.eq_ignore_ascii_case(word));
    let modality = header::text(object, tags::MODALITY);
    let is_captured = class == Some(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        || header::text(object, tags::CONVERSION_TYPE).is_some();
    let mut personal = Personal {
        burned_in: says(tags::BURNED_IN_ANNOTATION, "YES"),
        is_often_burned_in: is_captured
            || modality.is_some_and(|one| OFTEN_BURNED_IN.contains(&one.as_str())),
        is_recognisable: says(tags::RECOGNIZABLE_VISUAL_FEATURES, "YES") == Some(true),
        ..Personal::default()
    };
    personal.collect(object);
    personal
}

impl Personal {
    fn collect(&mut self, object: &InMemDicomObject) {
        for element in object {
            let tag = element.header().tag;
            match tag.group() {
                group if group % 2 == 1 => self.private += 1,
                0x6000..=0x60fe if tag.element() == 0x3000 => self.has_overlays = true,
                _ => self.look_at(tag, element),
            }
            element.items().into_iter().flatten().for_each(|item| self.collect(item));
        }
    }

    fn look_at(&mut self, tag: Tag, element: &InMemElement) {
        let Some(&(name, kind)) = ATTRIBUTES.get(&tag) else { return };
        self.fields.extend(header::words(element).map(|value| Field { name, kind, value }));
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
    use dicom_core::{DataElement, VR};
    use dicom_dictionary_std::StandardDataDictionary;
    use dicom_object::mem::InMemDicomObject;

    use super::*;

    #[test]
    fn every_attribute_of_the_table_is_the_standards_in_order_and_of_a_known_kind() {
        let mut before = None;
        for line in TABLE.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [tag, keyword, kind] = columns[..] else { panic!("{line}") };
            let tag: Tag = tag.parse().unwrap();
            let entry = StandardDataDictionary.by_tag(tag).unwrap();
            assert_eq!(entry.alias(), keyword, "{line}");
            assert!(entry.vr().relaxed() != VR::PN || kind == "person", "{line}");
            assert!(before < Some(tag), "{line} is out of order");
            let kinds = ["person", "contact", "institution", "identifier", "trait", "comment", "place"];
            assert!(kinds.contains(&kind), "{line}");
            before = Some(tag);
        }
        assert_eq!(ATTRIBUTES.len(), TABLE.lines().count());
    }

    #[test]
    fn fields_are_found_in_sequences_and_empty_ones_are_not() {
        let person = |name: &str| DataElement::new(tags::PATIENT_NAME, VR::PN, name);
        let inner = InMemDicomObject::from_element_iter([person("Miller^Ann")]);
        let object = InMemDicomObject::from_element_iter([
            person(" "),
            DataElement::new(tags::INSTITUTION_NAME, VR::LO, "Mercy"),
            DataElement::new(tags::MODALITY, VR::CS, "US"),
            DataElement::new(Tag(0x0009, 0x1001), VR::LO, "x"),
            DataElement::new(Tag(0x6002, 0x3000), VR::OB, dicom_core::PrimitiveValue::from(vec![0u8, 1])),
            DataElement::new(
                tags::ORIGINAL_ATTRIBUTES_SEQUENCE,
                VR::SQ,
                dicom_core::value::DataSetSequence::from(vec![inner]),
            ),
        ]);
        let found = of(&object, None);
        let fields: Vec<(&str, &str)> = found.fields.iter().map(|field| (field.name, field.kind)).collect();
        assert_eq!(fields, [("InstitutionName", "institution"), ("PatientName", "person")]);
        assert_eq!((found.private, found.has_overlays, found.is_often_burned_in), (1, true, true));
        assert_eq!((found.burned_in, found.is_recognisable), (None, false));
    }
}
