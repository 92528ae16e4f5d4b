//! Elements of DICOM files that are written here, and the bytes of such files.

use anyhow::{Context, Result};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_object::meta::FileMetaTableBuilder;
use dicom_object::{InMemDicomObject, mem::InMemElement};

/// A text; empty for an attribute that has to be there and of which nothing is known.
pub fn text(tag: Tag, vr: VR, value: &str) -> InMemElement {
    let value = if value.is_empty() { PrimitiveValue::Empty } else { PrimitiveValue::from(value) };
    DataElement::new(tag, vr, value)
}

/// An unsigned number of 16 bits.
pub fn number(tag: Tag, value: u16) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// A sequence.
pub fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, dicom_core::value::DataSetSequence::from(items))
}

/// An identifier under 2.25, the root for those made from 128 bits that nobody else has.
pub fn identifier(bits: u128) -> String {
    format!("2.25.{bits}")
}

/// Values have an even length.
pub fn even(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

/// A whole file. The same object gives the same bytes.
///
/// # Errors
/// An object without class or instance, or one that the transfer syntax cannot hold.
pub fn bytes(object: InMemDicomObject, transfer_syntax: &str) -> Result<Vec<u8>> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
    let mut bytes = Vec::new();
    let file = object.with_meta(meta).context("describing a DICOM file")?;
    file.write_all(&mut bytes).context("encoding a DICOM file")?;
    Ok(bytes)
}
