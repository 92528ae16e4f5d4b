//! Headers of elements, in the order in which they stand in a data set.
//!
//! Sequences and items are entered rather than passed over; their depth is bounded.

use anyhow::{Context, Result, ensure};
use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::Tag;

/// Explicit VR Big Endian, retired but still met.
pub(super) const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

const UNDEFINED: u32 = u32::MAX;

/// Sequences and items may stand in each other to this depth; the parser calls itself for each.
const MAX_DEPTH: usize = 64;

/// Where a walk came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// At the header of the outermost pixel data.
    PixelData(Ahead),
    /// At the end of the bytes, or at what the parser will refuse.
    End,
}

/// The pixel data that begins where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Bytes of the value; `None` where a delimiter ends it.
    pub length: Option<u32>,
    /// The value's place in the file; in the inflated data set where that is deflated.
    pub at: usize,
}

/// How element headers are written.
#[derive(Clone, Copy)]
pub(super) struct Order {
    explicit: bool,
    pub big_endian: bool,
}

impl Order {
    pub(super) const EXPLICIT_LITTLE: Order = Order { explicit: true, big_endian: false };
    const IMPLICIT: Order = Order { explicit: false, big_endian: false };

    pub(super) fn of(syntax: &str) -> Order {
        Order { explicit: syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN, big_endian: syntax == BIG_ENDIAN }
    }
}

pub(super) struct Element {
    pub tag: Tag,
    pub length: u32,
    pub header_bytes: usize,
    is_sequence: bool,
    is_unknown: bool,
}

/// A sequence or item that was entered and not left.
struct Open {
    /// `None` where a delimiter ends it.
    end: Option<usize>,
    is_item: bool,
    /// For an element of unknown VR: the place of its length, that of its value, and the order around it.
    unknown: Option<(usize, usize, Order)>,
}

pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    total: usize,
    /// After `next`, the start of the element's value.
    pub at: usize,
    order: Order,
    pub until_pixels: bool,
    open: Vec<Open>,
    /// Place and value of lengths that elements of unknown VR lack.
    pub unknown: Vec<(usize, u32)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(bytes: &'a [u8], total: usize, order: Order) -> Walk<'a> {
        Walk { bytes, total, at: 0, order, until_pixels: false, open: Vec::new(), unknown: Vec::new() }
    }

    /// Whether an element of unknown VR and undefined length was entered and not left.
    pub(super) fn is_in_unknown(&self) -> bool {
        self.open.iter().any(|open| open.unknown.is_some())
    }

    /// Goes to the end, to the pixel data, or to zeros that nothing follows.
    pub(super) fn walk(&mut self) -> Result<Reached> {
        let mut in_pixels = false;
        loop {
            while self.open.last().and_then(|open| open.end).is_some_and(|end| end <= self.at) {
                self.open.pop();
            }
            if self.open.is_empty() && self.only_zeros_follow() {
                return Ok(Reached::End);
            }
            let start = self.at;
            let Some(element) = self.next() else { return Ok(Reached::End) };
            match element.tag {
                Tag(0xfffe, 0xe000) if in_pixels => self.pass(&element)?,
                Tag(0xfffe, 0xe000) => self.enter(&element, true)?,
                Tag(0xfffe, 0xe00d) => {
                    self.open.pop_if(|open| open.is_item);
                }
                Tag(0xfffe, 0xe0dd) => {
                    in_pixels = false;
                    self.leave();
                }
                Tag(0xfffe, _) => {}
                tags::PIXEL_DATA if self.open.is_empty() && self.until_pixels => {
                    let length = (element.length != UNDEFINED).then_some(element.length);
                    if length.is_some() {
                        self.fits(&element)?;
                    }
                    let at = std::mem::replace(&mut self.at, start);
                    return Ok(Reached::PixelData(Ahead { length, at }));
                }
                tag if element.length == UNDEFINED => {
                    in_pixels = tag == tags::PIXEL_DATA;
                    self.enter(&element, false)?;
                }
                _ if element.is_sequence => self.enter(&element, false)?,
                _ => self.pass(&element)?,
            }
        }
    }

    fn only_zeros_follow(&self) -> bool {
        self.bytes.len() == self.total
            && self.bytes.get(self.at..).is_some_and(|rest| rest.iter().all(|&b| b == 0))
    }

    /// Goes into a sequence or item; what is of unknown VR and undefined length holds implicit VRs (PS3.5
    /// 6.2.2).
    fn enter(&mut self, element: &Element, is_item: bool) -> Result<()> {
        ensure!(
            self.open.len() < MAX_DEPTH,
            "damaged DICOM file: sequences stand in each other over {MAX_DEPTH} deep; export it again"
        );
        let is_delimited = element.length == UNDEFINED;
        if !is_delimited {
            self.fits(element)?;
        }
        let unknown = (element.is_unknown && is_delimited && self.order.explicit).then(|| {
            let order = std::mem::replace(&mut self.order, Order::IMPLICIT);
            (self.at - 4, self.at, order)
        });
        let end = (!is_delimited).then(|| self.at.saturating_add(element.length as usize));
        self.open.push(Open { end, is_item, unknown });
        Ok(())
    }

    /// Leaves the innermost sequence.
    fn leave(&mut self) {
        while let Some(open) = self.open.pop() {
            if let Some((length_at, value, order)) = open.unknown {
                self.order = order;
                self.unknown.push((length_at, (self.at - value) as u32));
            }
            if !open.is_item {
                return;
            }
        }
    }

    /// The next element's header, if there is one.
    fn next(&mut self) -> Option<Element> {
        let element = self.element()?;
        self.at += element.header_bytes;
        Some(element)
    }

    pub(super) fn element(&self) -> Option<Element> {
        let head = self.bytes.get(self.at..self.at + 8)?;
        let tag = Tag(self.short(&head[..2]), self.short(&head[2..4]));
        if tag.group() == 0xfffe {
            return Some(Element {
                tag,
                length: self.long(&head[4..]),
                header_bytes: 8,
                is_sequence: false,
                is_unknown: false,
            });
        }
        if !self.order.explicit {
            let entry = StandardDataDictionary.by_tag(tag);
            let is_sequence = entry.is_some_and(|entry| entry.vr().relaxed() == VR::SQ);
            return Some(Element {
                tag,
                length: self.long(&head[4..]),
                header_bytes: 8,
                is_sequence,
                is_unknown: false,
            });
        }
        let vr = VR::from_binary([head[4], head[5]]).unwrap_or(VR::UN);
        if is_short(vr) {
            let length = self.short(&head[6..]).into();
            return Some(Element { tag, length, header_bytes: 8, is_sequence: false, is_unknown: false });
        }
        let length = self.long(self.bytes.get(self.at + 8..self.at + 12)?);
        let is_unknown = vr == VR::UN;
        Some(Element { tag, length, header_bytes: 12, is_sequence: vr == VR::SQ, is_unknown })
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

    pub(super) fn pass(&mut self, element: &Element) -> Result<()> {
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
    use VR::{AE, AS, AT, CS, DA, DS, DT, FD, FL, IS, LO, LT, PN, SH, SL, SS, ST, TM, UI, UL, US};
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
