//! Pixels that only fill a frame up.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{self, Header};
use super::stored::Stored;

/// Stored numbers that fill a frame up and are no part of the picture, PS3.3 C.7.5.1.1.2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padding {
    least: i64,
    greatest: i64,
}

impl Padding {
    pub(super) fn read(object: &InMemDicomObject, header: &Header) -> Option<Padding> {
        // Beyond the bits stored it is no stored number, and fills nothing up.
        let number = |tag| {
            let word = header::integer(object, tag)? as u64 & 0xffff;
            let code = header.sample(word);
            let fits = word >> header.bits_stored.min(16) == 0 || code as u64 & 0xffff == word;
            fits.then_some(code)
        };
        let value = number(tags::PIXEL_PADDING_VALUE)?;
        let limit = number(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
        Some(Padding { least: value.min(limit), greatest: value.max(limit) })
    }

    pub(super) fn holds(&self, code: i64) -> bool {
        self.least <= code && code <= self.greatest
    }

    pub(super) fn places(&self, stored: &Stored) -> Vec<usize> {
        match stored {
            Stored::Bytes(bytes) => {
                (0..bytes.len()).filter(|&place| self.holds(bytes[place].into())).collect()
            }
            Stored::Words(words) => (0..words.len()).filter(|&place| self.holds(words[place])).collect(),
        }
    }

    pub(super) fn sentence(&self) -> String {
        let Padding { least, greatest } = self;
        let to = if least == greatest { String::new() } else { format!(" to {greatest}") };
        format!("; padding {least}{to} left out and dark")
    }
}
