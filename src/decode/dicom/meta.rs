//! The meta group of a DICOM file: only its transfer syntax is needed, so nothing else there can lose a file.

use anyhow::Result;
use dicom_dictionary_std::tags;
use dicom_object::Tag;

use super::element::{Order, Walk};

/// Longest values of the meta group, PS3.5 6.2: application entities and version names, and UIDs.
const MAX_NAME: u32 = 16;
const MAX_UID: u32 = 64;

/// What the meta group says.
pub(super) struct Meta {
    /// UID of the transfer syntax.
    pub syntax: Option<String>,
    /// The place after it.
    pub end: usize,
    /// What was forgiven.
    pub repaired: Vec<String>,
}

impl Meta {
    /// Reads the meta group, which ends where its length says or where another group begins.
    pub(super) fn read(bytes: &[u8], total: usize, start: usize) -> Result<Meta> {
        let mut walk = Walk::new(bytes, total, Order::EXPLICIT_LITTLE);
        walk.at = start;
        let mut meta = Meta { syntax: None, end: start, repaired: Vec::new() };
        let mut stated_end = None;
        while stated_end != Some(walk.at) {
            let Some(element) = walk.element().filter(|element| element.tag.group() == 2) else { break };
            walk.at += element.header_bytes;
            let value = bytes.get(walk.at..).map(|rest| &rest[..rest.len().min(element.length as usize)]);
            match (element.tag, value) {
                (tags::FILE_META_INFORMATION_GROUP_LENGTH, Some(&[a, b, c, d])) => {
                    stated_end =
                        Some((walk.at + 4).saturating_add(u32::from_le_bytes([a, b, c, d]) as usize));
                }
                (tags::TRANSFER_SYNTAX_UID, Some(value)) => {
                    meta.syntax = Some(String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned());
                }
                (tag, _) => meta.repaired.extend(Meta::overlong(tag, element.length)),
            }
            walk.pass(&element)?;
        }
        if stated_end.is_some_and(|end| end != walk.at) {
            meta.repaired.push("the length of the meta group is wrong".to_owned());
        }
        meta.end = walk.at;
        Ok(meta)
    }

    /// A word on a value of the meta group that is longer than its kind allows; none of these is needed.
    fn overlong(tag: Tag, length: u32) -> Option<String> {
        let most = match tag {
            tags::IMPLEMENTATION_VERSION_NAME
            | tags::SOURCE_APPLICATION_ENTITY_TITLE
            | tags::SENDING_APPLICATION_ENTITY_TITLE
            | tags::RECEIVING_APPLICATION_ENTITY_TITLE => MAX_NAME,
            tags::MEDIA_STORAGE_SOP_CLASS_UID
            | tags::MEDIA_STORAGE_SOP_INSTANCE_UID
            | tags::IMPLEMENTATION_CLASS_UID => MAX_UID,
            _ => return None,
        };
        (length > most)
            .then(|| format!("meta element {tag} of {length} bytes, {most} are allowed, passed over"))
    }
}
