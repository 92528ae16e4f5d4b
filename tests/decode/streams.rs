//! Streams of JPEG, JPEG-LS, JPEG 2000, HTJ2K and JPEG XL against the samples that other decoders read from them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::FileMetaTableBuilder;
use medfsad::decode::dicom::stored_values;

use super::refusal;
use super::tables::picture;

#[derive(serde::Deserialize)]
pub struct Entry {
    pub name: String,
    pub syntax: String,
    rows: u16,
    columns: u16,
    components: u16,
    bits: u16,
    /// How far a sample may be from the reference: inverse cosine transforms round differently.
    lossy: i64,
    stream: String,
    values: Vec<i64>,
}

#[derive(serde::Deserialize)]
struct Reference {
    entries: Vec<Entry>,
}

pub fn entries() -> Vec<Entry> {
    serde_json::from_str::<Reference>(include_str!("../reference/streams.json")).unwrap().entries
}

impl Entry {
    pub fn stream(&self) -> Vec<u8> {
        BASE64_STANDARD.decode(&self.stream).unwrap()
    }

    /// The entry under a header that states another size.
    pub fn of_size(self, rows: u16, columns: u16, components: u16) -> Entry {
        Entry { rows, columns, components, ..self }
    }

    /// A file of one frame with this stream.
    pub fn file(&self, mut stream: Vec<u8>) -> Vec<u8> {
        let photometric = if self.components == 3 { "RGB" } else { "MONOCHROME2" };
        let mut object = picture(photometric, &[]);
        let allocated = if self.bits > 8 { 16 } else { 8 };
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, self.components),
            (tags::PLANAR_CONFIGURATION, 0),
            (tags::ROWS, self.rows),
            (tags::COLUMNS, self.columns),
            (tags::BITS_ALLOCATED, allocated),
            (tags::BITS_STORED, self.bits),
            (tags::HIGH_BIT, self.bits - 1),
        ] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        stream.resize(stream.len().next_multiple_of(2), 0);
        let pixels = PixelFragmentSequence::new(vec![], vec![stream]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, pixels));
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(&self.syntax)
            .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.7")
            .media_storage_sop_instance_uid("2.25.1");
        let mut bytes = Vec::new();
        object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        bytes
    }
}

#[test]
fn every_stream_holds_the_samples_that_its_own_decoder_reads() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let apart = match stored_values(&entry.file(entry.stream()), 0) {
            Err(error) => Err(format!("{error:#}")),
            Ok(stored) => {
                assert_eq!(stored.values.len(), entry.values.len(), "{}", entry.name);
                let pairs = stored.values.iter().zip(&entry.values);
                Ok(pairs.map(|(ours, theirs)| (ours - theirs).abs()).max().unwrap())
            }
        };
        if !matches!(apart, Ok(apart) if apart <= entry.lossy) {
            wrong.push(format!("{}: {apart:?}", entry.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stream_that_ends_early_is_refused_wherever_it_ends() {
    let mut wrong = Vec::new();
    for entry in entries() {
        let stream = entry.stream();
        for share in 1..20 {
            let cut = &stream[..stream.len() * share / 20];
            for (what, piece) in
                [("cut", cut.to_vec()), ("cut, with an end marker", [cut, &[0xff, 0xd9]].concat())]
            {
                if stored_values(&entry.file(piece), 0).is_ok() {
                    wrong.push(format!("{}, {share} twentieths, {what}", entry.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "decoded all the same:\n{}", wrong.join("\n"));
}

#[test]
fn a_stream_of_another_size_than_the_file_says_is_refused() {
    for entry in entries() {
        let stream = entry.stream();
        let (rows, columns, components) = (entry.rows, entry.columns, entry.components);
        let turned = entry.of_size(columns, rows, components);
        let refusal = refusal(&turned.file(stream), 0);
        assert!(refusal.contains("the file says 37 x 30"), "{}: {refusal}", turned.name);
    }
}
