//! The attributes that say how samples are laid out, read strictly.

use anyhow::{Context, Result, bail, ensure};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};

use super::super::range::Codes;

/// More samples than this in one frame are refused: files are not trusted.
const MAX_SAMPLES: usize = 1 << 28;

/// How the samples of a file are laid out.
pub(super) struct Header {
    pub rows: usize,
    pub columns: usize,
    /// Samples per pixel, 1 or 3.
    pub samples: usize,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    pub high_bit: u16,
    pub signed: bool,
    /// Whether each colour is a plane of its own.
    pub planar: bool,
    pub photometric: String,
    pub frames: u32,
    /// UID of the transfer syntax.
    pub syntax: String,
}

impl Header {
    pub fn read(object: &DefaultDicomObject) -> Result<Header> {
        ensure!(object.get(tags::PIXEL_DATA).is_some(), "{}", without_pixels(object));
        let bits_allocated = required(object, tags::BITS_ALLOCATED, "BitsAllocated")?;
        let bits_stored = optional(object, tags::BITS_STORED)?.unwrap_or(bits_allocated);
        let header = Header {
            rows: required(object, tags::ROWS, "Rows")?.into(),
            columns: required(object, tags::COLUMNS, "Columns")?.into(),
            samples: optional(object, tags::SAMPLES_PER_PIXEL)?.unwrap_or(1).into(),
            bits_allocated,
            bits_stored,
            high_bit: optional(object, tags::HIGH_BIT)?.unwrap_or(bits_stored.saturating_sub(1)),
            signed: optional(object, tags::PIXEL_REPRESENTATION)?.unwrap_or(0) == 1,
            planar: optional(object, tags::PLANAR_CONFIGURATION)?.unwrap_or(0) == 1,
            photometric: text(object, tags::PHOTOMETRIC_INTERPRETATION)
                .context("PhotometricInterpretation is missing")?,
            frames: frames(object)?,
            syntax: object.meta().transfer_syntax().to_owned(),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<()> {
        let Header { rows, columns, samples, bits_allocated, bits_stored, high_bit, .. } = *self;
        ensure!(rows > 0 && columns > 0, "the picture is empty ({rows} x {columns})");
        ensure!(samples == 1 || samples == 3, "{samples} samples a pixel; 1 or 3 are supported");
        ensure!(
            rows * columns * samples <= MAX_SAMPLES,
            "{rows} x {columns} x {samples} samples in one frame are over the limit of {MAX_SAMPLES}"
        );
        ensure!(
            matches!(bits_allocated, 1 | 8 | 16 | 32),
            "{bits_allocated} bits allocated; 1, 8, 16 and 32 are supported"
        );
        ensure!(
            bits_stored >= 1 && high_bit < bits_allocated && bits_stored <= high_bit + 1,
            "{bits_stored} bits stored up to bit {high_bit} do not fit {bits_allocated} bits allocated"
        );
        Ok(())
    }

    /// The numbers that samples can be.
    pub fn codes(&self) -> Codes {
        let least = if self.signed { -(1i64 << (self.bits_stored - 1)) } else { 0 };
        Codes { least, bits: self.bits_stored }
    }

    /// Pixels in one frame.
    pub fn pixels(&self) -> usize {
        self.rows * self.columns
    }
}

fn without_pixels(object: &DefaultDicomObject) -> String {
    match text(object, tags::MODALITY) {
        Some(modality) => format!("the DICOM file has no pixel data (modality {modality})"),
        None => "the DICOM file has no pixel data".to_owned(),
    }
}

/// NumberOfFrames, 1 where it is missing.
pub(super) fn frames(object: &DefaultDicomObject) -> Result<u32> {
    let Some(stated) = text(object, tags::NUMBER_OF_FRAMES) else { return Ok(1) };
    match stated.parse() {
        Ok(0) | Err(_) => bail!("NumberOfFrames is `{stated}`, not a number above 0"),
        Ok(frames) => Ok(frames),
    }
}

/// A text attribute without padding, also where a file calls it unknown (`UN`); `None` if missing or empty.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    words(object.get(tag)?)
}

/// As [`text`], of an element.
pub(super) fn words(element: &InMemElement) -> Option<String> {
    let value = match element.vr() {
        VR::UN => String::from_utf8_lossy(&element.to_bytes().ok()?).into_owned(),
        _ => element.to_str().ok()?.into_owned(),
    };
    let trimmed = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn required(object: &DefaultDicomObject, tag: Tag, name: &str) -> Result<u16> {
    optional(object, tag)?.with_context(|| format!("{name} is missing"))
}

fn optional(object: &DefaultDicomObject, tag: Tag) -> Result<Option<u16>> {
    let Some(element) = object.get(tag) else { return Ok(None) };
    if element.value().multiplicity() == 0 {
        return Ok(None);
    }
    if element.vr() == VR::UN {
        let bytes = element.to_bytes()?;
        return Ok(bytes.get(..2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
    }
    element.to_int().map(Some).with_context(|| format!("attribute {tag} is not a small number"))
}

/// An attribute that may stand in the file, or for one frame or all of them in the group of a functional
/// groups sequence (PS3.3 C.7.6.16); `None` if it is nowhere.
pub(super) fn find(object: &InMemDicomObject, group: Tag, tag: Tag, frame: u32) -> Option<&InMemElement> {
    let in_groups = |sequence: Tag, index: usize| -> Option<&InMemElement> {
        object.get(sequence)?.items()?.get(index)?.get(group)?.items()?.first()?.get(tag)
    };
    object
        .get(tag)
        .or_else(|| in_groups(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame as usize))
        .or_else(|| in_groups(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0))
}

/// The numbers of an attribute that [`find`] finds; `None` if it holds none, or one that is not finite.
pub(super) fn numbers(object: &InMemDicomObject, group: Tag, tag: Tag, frame: u32) -> Option<Vec<f64>> {
    let element = find(object, group, tag, frame)?;
    let numbers: Vec<f64> = match element.vr() {
        VR::UN => {
            let text = String::from_utf8_lossy(&element.to_bytes().ok()?).into_owned();
            let parts = text.split('\\').map(|part| part.trim_matches([' ', '\0']).parse());
            parts.collect::<Result<_, _>>().ok()?
        }
        _ => element.to_multi_float64().ok()?,
    };
    (!numbers.is_empty() && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
}
