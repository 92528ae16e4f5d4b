//! The attributes that say how samples are laid out, read strictly.

use anyhow::{Context, Result, bail, ensure};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};

use super::super::Taken;
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
    pub(super) fn read(object: &DefaultDicomObject) -> Result<Header> {
        ensure!(object.get(tags::PIXEL_DATA).is_some(), "{}", without_pixels(object));
        Header::before_pixels(object)
    }

    /// As [`Header::read`], of what stands before the pixel data.
    pub(super) fn before_pixels(object: &DefaultDicomObject) -> Result<Header> {
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
    pub(super) fn codes(&self) -> Codes {
        let least = if self.signed { -(1i64 << (self.bits_stored - 1)) } else { 0 };
        Codes { least, bits: self.bits_stored }
    }

    /// The number in the bits stored of a word, whose lowest comes first; higher ones may hold anything.
    pub(super) fn sample(&self, word: u64) -> i64 {
        let unused = 64 - u32::from(self.bits_stored);
        let top = word << unused;
        if self.signed { top as i64 >> unused } else { (top >> unused) as i64 }
    }

    /// Pixels in one frame.
    pub(super) fn pixels(&self) -> usize {
        self.rows * self.columns
    }
}

/// What is said of a file without a picture.
pub(super) fn without_pixels(object: &DefaultDicomObject) -> String {
    let floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
    if floats.iter().any(|&tag| object.get(tag).is_some()) {
        return "floating-point pixels are not read; export the file with whole numbers".to_owned();
    }
    match text(object, tags::MODALITY) {
        Some(modality) => format!("the DICOM file has no pixel data (modality {modality})"),
        None => "the DICOM file has no pixel data".to_owned(),
    }
}

/// NumberOfFrames, 1 where it is missing or 0.
pub(super) fn frames(object: &DefaultDicomObject) -> Result<u32> {
    let Some(stated) = text(object, tags::NUMBER_OF_FRAMES) else { return Ok(1) };
    match stated.parse::<u32>() {
        Err(_) => bail!("NumberOfFrames is `{stated}`, not a number above 0"),
        Ok(frames) => Ok(frames.max(1)),
    }
}

/// Attributes whose decimal commas are read.
const DECIMALS: [(&str, Tag); 4] = [
    ("WindowCenter", tags::WINDOW_CENTER),
    ("WindowWidth", tags::WINDOW_WIDTH),
    ("RescaleSlope", tags::RESCALE_SLOPE),
    ("RescaleIntercept", tags::RESCALE_INTERCEPT),
];

/// Defects of attributes that are forgiven.
pub(super) fn repaired(object: &DefaultDicomObject) -> Vec<String> {
    let mut repaired = Vec::new();
    if text(object, tags::NUMBER_OF_FRAMES).is_some_and(|stated| stated.parse() == Ok(0)) {
        repaired.push("NumberOfFrames is 0, read as 1".to_owned());
    }
    for (name, sequence) in [("VOI", tags::VOILUT_SEQUENCE), ("modality", tags::MODALITY_LUT_SEQUENCE)] {
        if items(object, sequence).iter().any(|item| !has_table(item)) {
            repaired.push(format!("an empty {name} LUT item passed over"));
        }
    }
    let has_comma =
        |tag| text(object, tag).is_some_and(|text| text.split('\\').next().is_some_and(has_comma));
    let written = DECIMALS.iter().filter(|(_, tag)| has_comma(*tag));
    repaired.extend(written.map(|(name, _)| format!("{name} is written with a decimal comma")));
    repaired
}

/// The items of a sequence; none where it is missing.
fn items(object: &InMemDicomObject, sequence: Tag) -> &[InMemDicomObject] {
    object.get(sequence).and_then(|element| element.items()).unwrap_or_default()
}

fn has_table(item: &InMemDicomObject) -> bool {
    item.get(tags::LUT_DESCRIPTOR).is_some_and(|descriptor| descriptor.value().multiplicity() > 0)
}

/// The first item of a LUT sequence that holds a table.
pub(super) fn table_item(object: &InMemDicomObject, sequence: Tag) -> Option<&InMemDicomObject> {
    items(object, sequence).iter().find(|item| has_table(item))
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

/// How the picture was taken.
pub(super) fn taken(object: &InMemDicomObject) -> Taken {
    let of = |tag| text(object, tag);
    // A maker's name that the model begins with is not said twice.
    let scanner = match (of(tags::MANUFACTURER), of(tags::MANUFACTURER_MODEL_NAME)) {
        (Some(maker), Some(model)) if !model.starts_with(&maker) => Some(format!("{maker} {model}")),
        (maker, model) => model.or(maker),
    };
    Taken { view: of(tags::VIEW_POSITION), scanner, site: of(tags::INSTITUTION_NAME) }
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

/// A whole number that stands in the file itself, of whatever VR.
pub(super) fn integer(object: &InMemDicomObject, tag: Tag) -> Option<i64> {
    let element = object.get(tag)?;
    if element.vr() == VR::UN {
        let bytes = element.to_bytes().ok()?;
        return Some(u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]).into());
    }
    element.to_int().ok()
}

/// The first number of an attribute that [`find`] finds.
pub(super) fn number(object: &InMemDicomObject, group: Tag, tag: Tag, frame: u32) -> Number {
    let Some(element) = find(object, group, tag, frame) else { return Number::Missing };
    if element.vr() != VR::UN
        && let Ok(number) = element.to_float64()
    {
        return Number::of(Some(number));
    }
    match words(element).as_deref() {
        None => Number::Missing,
        Some(text) => Number::of(parse(text.split('\\').next().unwrap_or_default())),
    }
}

/// A number that an attribute states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Missing,
    /// Something is stated that is no finite number.
    Unreadable,
    Is(f64),
}

impl Number {
    fn of(number: Option<f64>) -> Number {
        number.filter(|number| number.is_finite()).map_or(Number::Unreadable, Number::Is)
    }
}

/// A decimal string, also with a decimal comma, which some devices write.
fn parse(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\0']);
    text.parse().ok().or_else(|| has_comma(text).then(|| text.replace(',', ".").parse().ok())?)
}

fn has_comma(text: &str) -> bool {
    text.matches(',').count() == 1 && !text.contains('.')
}

/// Says that pixel data is shorter than it must be, in bytes.
pub(super) fn cut_off(held: usize, needed: usize) -> String {
    format!("the pixel data is cut off: {held} bytes of {needed}; fetch the file again")
}
