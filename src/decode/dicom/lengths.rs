//! Lengths that elements state, compared with the bytes that are there before anything is parsed.
//!
//! The parser makes room for a value before it reads it, so that a damaged length of 4 GB would take 4 GB.
//! Sequences and items are entered rather than passed over, which makes one flat walk of a whole data set.

use std::borrow::Cow;
use std::io::Read;

use anyhow::{Context, Result, ensure};
use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::Tag;
use flate2::read::DeflateDecoder;

use super::stored::BIG_ENDIAN;

/// A deflated data set may grow to this many bytes.
const MAX_INFLATED: u64 = 1 << 30;

const UNDEFINED: u32 = u32::MAX;

/// Where a walk came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// At the header of the outermost pixel data.
    PixelData,
    /// At the end of the bytes, or at what the parser will refuse.
    End,
}

/// Walks a file that opens with its preamble, from the meta group on; `total` is its length where `bytes` is
/// only its start. With `until_pixels` nothing from the pixel data on is looked at.
pub(super) fn check(bytes: &[u8], total: usize, until_pixels: bool) -> Result<Reached> {
    let mut meta = Walk { bytes, total, at: 132, order: Order::EXPLICIT_LITTLE, until_pixels };
    let mut syntax = String::new();
    // The meta group ends where its own length says, as the parser takes it.
    let mut end = meta.at + 12;
    while meta.at < end {
        let Some(element) = meta.next() else { return Ok(Reached::End) };
        let value = bytes.get(meta.at..).map(|rest| &rest[..rest.len().min(element.length as usize)]);
        match (element.tag, value) {
            (tags::FILE_META_INFORMATION_GROUP_LENGTH, Some(&[a, b, c, d])) => {
                end = (meta.at + 4).saturating_add(u32::from_le_bytes([a, b, c, d]) as usize);
            }
            (tags::TRANSFER_SYNTAX_UID, Some(value)) => {
                syntax = String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned();
            }
            _ => {}
        }
        meta.pass(&element)?;
    }
    let (at, order) = (meta.at, Order::of(&syntax));
    if syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        let mut inflated = Vec::new();
        // What follows a fault is for the parser to refuse.
        drop(DeflateDecoder::new(&bytes[at..]).take(MAX_INFLATED + 1).read_to_end(&mut inflated));
        ensure!(
            inflated.len() as u64 <= MAX_INFLATED,
            "the deflated data set takes over {MAX_INFLATED} bytes"
        );
        let total = inflated.len();
        return Walk { bytes: &inflated, total, at: 0, order, until_pixels }.walk();
    }
    Walk { bytes, total, at, order, until_pixels }.walk()
}

/// A file with its preamble, whether it has one or not.
pub(super) fn with_preamble(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes.starts_with(super::BARE_META) {
        true => Cow::Owned([&[0; 128], b"DICM".as_slice(), bytes].concat()),
        false => Cow::Borrowed(bytes),
    }
}

/// How element headers are written.
#[derive(Clone, Copy)]
struct Order {
    explicit: bool,
    big_endian: bool,
}

impl Order {
    const EXPLICIT_LITTLE: Order = Order { explicit: true, big_endian: false };

    fn of(syntax: &str) -> Order {
        Order { explicit: syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN, big_endian: syntax == BIG_ENDIAN }
    }
}

struct Element {
    tag: Tag,
    length: u32,
    header_bytes: usize,
    is_sequence: bool,
}

struct Walk<'a> {
    bytes: &'a [u8],
    total: usize,
    /// After `next`, the start of the element's value.
    at: usize,
    order: Order,
    until_pixels: bool,
}

impl Walk<'_> {
    fn walk(mut self) -> Result<Reached> {
        let mut in_pixels = false;
        // Sequences of undefined length that are still open.
        let mut depth = 0usize;
        while let Some(element) = self.next() {
            match element.tag {
                Tag(0xfffe, 0xe000) if in_pixels => self.pass(&element)?,
                Tag(0xfffe, 0xe0dd) => {
                    in_pixels = false;
                    depth = depth.saturating_sub(1);
                }
                Tag(0xfffe, _) => {}
                tags::PIXEL_DATA if depth == 0 && self.until_pixels => {
                    if element.length != UNDEFINED {
                        self.fits(&element)?;
                    }
                    return Ok(Reached::PixelData);
                }
                tag if element.length == UNDEFINED => {
                    in_pixels = tag == tags::PIXEL_DATA;
                    depth += 1;
                }
                _ if element.is_sequence => self.fits(&element)?,
                _ => self.pass(&element)?,
            }
        }
        Ok(Reached::End)
    }

    /// The next element's header, if there is one.
    fn next(&mut self) -> Option<Element> {
        let element = self.element()?;
        self.at += element.header_bytes;
        Some(element)
    }

    fn element(&self) -> Option<Element> {
        let head = self.bytes.get(self.at..self.at + 8)?;
        let tag = Tag(self.short(&head[..2]), self.short(&head[2..4]));
        if tag.group() == 0xfffe {
            return Some(Element { tag, length: self.long(&head[4..]), header_bytes: 8, is_sequence: false });
        }
        if !self.order.explicit {
            let entry = StandardDataDictionary.by_tag(tag);
            let is_sequence = entry.is_some_and(|entry| entry.vr().relaxed() == VR::SQ);
            return Some(Element { tag, length: self.long(&head[4..]), header_bytes: 8, is_sequence });
        }
        let vr = VR::from_binary([head[4], head[5]]).unwrap_or(VR::UN);
        if is_short(vr) {
            let length = self.short(&head[6..]).into();
            return Some(Element { tag, length, header_bytes: 8, is_sequence: false });
        }
        let length = self.long(self.bytes.get(self.at + 8..self.at + 12)?);
        Some(Element { tag, length, header_bytes: 12, is_sequence: vr == VR::SQ })
    }

    fn fits(&self, element: &Element) -> Result<()> {
        let left = self.total.saturating_sub(self.at);
        ensure!(
            element.length as usize <= left,
            "damaged or cut DICOM file: element {} states {} bytes and {left} are left; fetch the file again",
            element.tag,
            element.length
        );
        Ok(())
    }

    fn pass(&mut self, element: &Element) -> Result<()> {
        self.fits(element)?;
        self.at = self.at.checked_add(element.length as usize).context("the file is too long")?;
        Ok(())
    }

    fn short(&self, bytes: &[u8]) -> u16 {
        let bytes = [bytes[0], bytes[1]];
        if self.order.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn long(&self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.order.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// VRs whose length has 16 bits, PS3.5 7.1.2; unknown ones count as UN, which has 32.
fn is_short(vr: VR) -> bool {
    use VR::*;
    matches!(
        vr,
        AE | AS
            | AT
            | CS
            | DA
            | DS
            | DT
            | FL
            | FD
            | IS
            | LO
            | LT
            | PN
            | SH
            | SL
            | SS
            | ST
            | TM
            | UI
            | UL
            | US
    )
}
