//! Grey samples to 0 to 255, and the sentence that says how.

use anyhow::{Result, bail, ensure};
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;

use super::super::range::{self, Codes, Range, to_grey};
use super::header::{self, Header, Number};
use super::padding::Padding;
use super::stored::Stored;
use super::table::Table;
use crate::pixels::Pixels;
use crate::spec::{Intensity, Reading};

const FRAME: &str = "this frame";

/// Maps one frame, and says how in one sentence.
pub(super) fn grey(
    object: &DefaultDicomObject,
    header: &Header,
    stored: Stored,
    frame: u32,
    reading: &Reading,
) -> Result<(Pixels, String)> {
    ensure!(header.samples == 1, "{} with {} samples a pixel", header.photometric, header.samples);
    let modality = Modality::read(object, header, frame)?;
    let padding = Padding::read(object, header);
    let padded = padding.map_or_else(Vec::new, |padding| padding.places(&stored));
    let values = Values { header, modality: &modality, padding };
    let (mut samples, rule) = match &reading.intensity {
        Intensity::Stated => match Voi::read(object, header, &modality, frame)? {
            Stated::Is(voi) => {
                let grey = |code| to_grey(voi.share(modality.apply(code)));
                (map(header, &stored, grey), voi.sentence())
            }
            Stated::Missing => unstated(&values, stored, "no window")?,
            Stated::Unreadable => unstated(&values, stored, "the stated window is not readable")?,
        },
        asked => values.spread(&stored, asked)?,
    };
    let inverted = header.photometric == "MONOCHROME1";
    if inverted {
        samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
    }
    padded.into_iter().for_each(|place| samples[place] = 0);
    let sign = if header.signed { "signed" } else { "unsigned" };
    let padding = padding.map_or(String::new(), |padding| padding.sentence());
    let end = if inverted { "; MONOCHROME1 inverted" } else { "" };
    let policy = format!("{} bits {sign}; {}; {rule}{padding}{end}", header.bits_stored, modality.sentence());
    Ok((Pixels::new(header.rows, header.columns, 1, samples)?, policy))
}

/// Where the file states no window, or none that is usable, as `why` says.
fn unstated(values: &Values, stored: Stored, why: &str) -> Result<(Vec<u8>, String)> {
    let rises = matches!(values.modality, Modality::Rescale { slope, .. } if *slope > 0.0);
    match stored {
        Stored::Bytes(bytes) if rises => Ok((bytes, format!("stored values unchanged, {why}"))),
        stored => {
            let is_narrow = values.header.bits_stored <= 8 && !values.header.signed && rises;
            let intensity = if is_narrow { Intensity::FullRange } else { Intensity::MinMax };
            let (samples, rule) = values.spread(&stored, &intensity)?;
            Ok((samples, format!("{rule}, {why}")))
        }
    }
}

/// What stored numbers stand for.
struct Values<'a> {
    header: &'a Header,
    modality: &'a Modality,
    padding: Option<Padding>,
}

impl Values<'_> {
    fn spread(&self, stored: &Stored, intensity: &Intensity) -> Result<(Vec<u8>, String)> {
        let (codes, modality) = (self.header.codes(), self.modality);
        let full = || {
            let [a, b] = [codes.least, codes.greatest()].map(|code| modality.apply(code));
            Ok(Range { low: a.min(b), high: a.max(b) })
        };
        // What is no number takes no part in a distribution.
        let value = |code| match &self.padding {
            Some(padding) if padding.holds(code) => f64::NAN,
            _ => modality.apply(code),
        };
        let distribution = || match stored {
            Stored::Bytes(bytes) => codes.distribution(bytes, value),
            Stored::Words(words) => codes.distribution(words, value),
        };
        let (range, rule) = range::chosen(intensity, full, distribution, FRAME)?;
        Ok((map(self.header, stored, |code| range.grey(modality.apply(code))), rule))
    }
}

fn map(header: &Header, stored: &Stored, grey: impl Fn(i64) -> u8) -> Vec<u8> {
    let codes: Codes = header.codes();
    match stored {
        Stored::Bytes(bytes) => codes.map(bytes, grey),
        Stored::Words(words) => codes.map(words, grey),
    }
}

/// From stored numbers to values of the modality, PS3.3 C.11.1.
enum Modality {
    Table(Table),
    Rescale { slope: f64, intercept: f64, origin: &'static str },
}

impl Modality {
    fn read(object: &DefaultDicomObject, header: &Header, frame: u32) -> Result<Modality> {
        if let Some(item) = header::table_item(object, tags::MODALITY_LUT_SEQUENCE) {
            return Ok(Modality::Table(Table::of_item(item, header.signed)?));
        }
        let number = |tag| header::number(object, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tag, frame);
        Ok(match (number(tags::RESCALE_SLOPE), number(tags::RESCALE_INTERCEPT)) {
            (Number::Is(slope), Number::Is(intercept)) if slope != 0.0 => {
                Modality::Rescale { slope, intercept, origin: "stated" }
            }
            (Number::Missing, _) | (_, Number::Missing) => {
                Modality::Rescale { slope: 1.0, intercept: 0.0, origin: "assumed" }
            }
            _ => {
                let origin = "assumed, for those stated are not readable";
                Modality::Rescale { slope: 1.0, intercept: 0.0, origin }
            }
        })
    }

    fn apply(&self, stored: i64) -> f64 {
        match self {
            Modality::Table(table) => table.at(stored).into(),
            Modality::Rescale { slope, intercept, .. } => stored as f64 * slope + intercept,
        }
    }

    /// Whether values can be below 0.
    fn is_signed(&self, header: &Header) -> bool {
        match self {
            Modality::Table(_) => false,
            Modality::Rescale { intercept, .. } => header.signed || *intercept < 0.0,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Modality::Table(table) => {
                format!("modality table of {} entries, {} bits", table.entries.len(), table.bits)
            }
            Modality::Rescale { slope, intercept, origin } => {
                format!("rescale slope {slope} intercept {intercept} {origin}")
            }
        }
    }
}

/// Values of interest, PS3.3 C.11.2: a table, or a window and its function.
enum Voi {
    Table(Table),
    Window { center: f64, width: f64, function: Function },
}

/// PS3.3 C.11.2.1.2 and C.11.2.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

/// What a file says of a table or window.
enum Stated {
    Missing,
    /// Something that is no number, or a width that spans nothing.
    Unreadable,
    Is(Voi),
}

impl Voi {
    /// The file's first table, else its first window.
    fn read(object: &DefaultDicomObject, header: &Header, modality: &Modality, frame: u32) -> Result<Stated> {
        if let Some(item) = header::table_item(object, tags::VOILUT_SEQUENCE) {
            return Ok(Stated::Is(Voi::Table(Table::of_item(item, modality.is_signed(header))?)));
        }
        let group = tags::FRAME_VOILUT_SEQUENCE;
        let number = |tag| header::number(object, group, tag, frame);
        let (center, width) = match (number(tags::WINDOW_CENTER), number(tags::WINDOW_WIDTH)) {
            (Number::Is(center), Number::Is(width)) => (center, width),
            (Number::Missing, Number::Missing) => return Ok(Stated::Missing),
            _ => return Ok(Stated::Unreadable),
        };
        let stated = header::find(object, group, tags::VOILUT_FUNCTION, frame).and_then(header::words);
        let function = match stated.as_deref() {
            None | Some("LINEAR") => Function::Linear,
            Some("LINEAR_EXACT") => Function::LinearExact,
            Some("SIGMOID") => Function::Sigmoid,
            Some(other) => bail!("VOI LUT function {other} is unknown; give [task.reading] an intensity"),
        };
        let is_usable = if function == Function::Linear { width >= 1.0 } else { width > 0.0 };
        Ok(if is_usable { Stated::Is(Voi::Window { center, width, function }) } else { Stated::Unreadable })
    }

    /// From 0 to 1; the half-pixel shift of the plain linear function is the standard's.
    fn share(&self, value: f64) -> f64 {
        let linear = |center: f64, width: f64| match width > 0.0 {
            true => (value - center) / width + 0.5,
            false => f64::from(u8::from(value > center)),
        };
        match self {
            Voi::Table(table) => f64::from(table.at(value.round() as i64)) / table.top(),
            Voi::Window { center, width, function } => match function {
                Function::Linear => linear(center - 0.5, width - 1.0),
                Function::LinearExact => linear(*center, *width),
                Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
            },
        }
    }

    fn sentence(&self) -> String {
        match self {
            Voi::Table(table) => {
                format!("first stated VOI table of {} entries, {} bits", table.entries.len(), table.bits)
            }
            Voi::Window { center, width, function } => {
                let name = match function {
                    Function::Linear => "LINEAR",
                    Function::LinearExact => "LINEAR_EXACT",
                    Function::Sigmoid => "SIGMOID",
                };
                format!("first stated window {name} centre {center} width {width}")
            }
        }
    }
}
