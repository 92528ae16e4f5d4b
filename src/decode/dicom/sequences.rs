//! Sequences that a file holds as elements of unknown VR, as archives leave them behind (CP-246).

use anyhow::{Context, Result};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, Tag};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

/// Sequences that matter to a picture's values.
const SEQUENCES: [Tag; 4] = [
    tags::MODALITY_LUT_SEQUENCE,
    tags::VOILUT_SEQUENCE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
];

/// Parses those that a file calls unknown (`UN`), whose items have implicit VRs (PS3.5 6.2.2).
pub(super) fn restore(object: &mut InMemDicomObject) -> Result<()> {
    for tag in SEQUENCES {
        let Some(element) = object.get(tag).filter(|element| element.vr() == VR::UN) else { continue };
        let mut bytes = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend_from_slice(&element.to_bytes()?);
        if !bytes.ends_with(&SEQUENCE_END) {
            bytes.extend(SEQUENCE_END);
        }
        let syntax = TransferSyntaxRegistry.get(uids::IMPLICIT_VR_LITTLE_ENDIAN).context("no implicit VR")?;
        let inner = InMemDicomObject::read_dataset_with_ts(&bytes[..], syntax)
            .with_context(|| format!("the sequence {tag} of unknown VR is damaged"))?;
        inner.into_iter().for_each(|element| drop(object.put(element)));
    }
    Ok(())
}

/// The delimiter of a sequence, without length.
const SEQUENCE_END: [u8; 8] = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
