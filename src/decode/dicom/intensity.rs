//! Grey samples to 0 to 255, and the sentence that says how.

use anyhow::{Result, bail, ensure};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag};

use super::super::range::{self, Codes, Range, to_grey};
use super::header::{self, Header};
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
    let (mut samples, rule) = match &reading.intensity {
        Intensity::Stated => match Voi::read(object, header, &modality, frame)? {
            Some(voi) => {
                let grey = |code| to_grey(voi.share(modality.apply(code)));
                (map(header, &stored, grey), voi.sentence())
            }
            None => unstated(header, stored, &modality)?,
        },
        asked => {
            let (samples, rule) = spread(header, &stored, &modality, asked)?;
            (samples, rule)
        }
    };
    let inverted = header.photometric == "MONOCHROME1";
    if inverted {
        samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
    }
    let sign = if header.signed { "signed" } else { "unsigned" };
    let end = if inverted { "; MONOCHROME1 inverted" } else { "" };
    let policy = format!("{} bits {sign}; {}; {rule}{end}", header.bits_stored, modality.sentence());
    Ok((Pixels::new(header.rows, header.columns, 1, samples)?, policy))
}

/// Where the file states no window.
fn unstated(header: &Header, stored: Stored, modality: &Modality) -> Result<(Vec<u8>, String)> {
    let rises = matches!(modality, Modality::Rescale { slope, .. } if *slope > 0.0);
    match stored {
        Stored::Bytes(bytes) if rises => Ok((bytes, "stored values unchanged, no window".to_owned())),
        stored => {
            let is_narrow = header.bits_stored <= 8 && !header.signed && rises;
            let intensity = if is_narrow { Intensity::FullRange } else { Intensity::MinMax };
            let (samples, rule) = spread(header, &stored, modality, &intensity)?;
            Ok((samples, format!("{rule}, no window")))
        }
    }
}

fn spread(
    header: &Header,
    stored: &Stored,
    modality: &Modality,
    intensity: &Intensity,
) -> Result<(Vec<u8>, String)> {
    let codes = header.codes();
    let full = || {
        let [a, b] = [codes.least, codes.greatest()].map(|code| modality.apply(code));
        Ok(Range { low: a.min(b), high: a.max(b) })
    };
    let distribution = || match stored {
        Stored::Bytes(bytes) => codes.distribution(bytes, |code| modality.apply(code)),
        Stored::Words(words) => codes.distribution(words, |code| modality.apply(code)),
    };
    let (range, rule) = range::chosen(intensity, full, distribution, FRAME)?;
    Ok((map(header, stored, |code| range.grey(modality.apply(code))), rule))
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
    Rescale { slope: f64, intercept: f64, stated: bool },
}

impl Modality {
    fn read(object: &DefaultDicomObject, header: &Header, frame: u32) -> Result<Modality> {
        if let Some(item) = first_item(object, tags::MODALITY_LUT_SEQUENCE) {
            return Ok(Modality::Table(Table::of_item(item, header.signed)?));
        }
        let number = |tag| {
            let group = tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE;
            header::numbers(object, group, tag, frame).map(|numbers| numbers[0])
        };
        Ok(match (number(tags::RESCALE_SLOPE), number(tags::RESCALE_INTERCEPT)) {
            (Some(slope), Some(intercept)) if slope != 0.0 => {
                Modality::Rescale { slope, intercept, stated: true }
            }
            _ => Modality::Rescale { slope: 1.0, intercept: 0.0, stated: false },
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
            Modality::Rescale { slope, intercept, stated } => {
                let origin = if *stated { "stated" } else { "assumed" };
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

impl Voi {
    /// The file's first table, else its first window; `None` if it states neither.
    fn read(
        object: &DefaultDicomObject,
        header: &Header,
        modality: &Modality,
        frame: u32,
    ) -> Result<Option<Voi>> {
        if let Some(item) = first_item(object, tags::VOILUT_SEQUENCE) {
            return Ok(Some(Voi::Table(Table::of_item(item, modality.is_signed(header))?)));
        }
        let group = tags::FRAME_VOILUT_SEQUENCE;
        let number = |tag| header::numbers(object, group, tag, frame).map(|numbers| numbers[0]);
        let (Some(center), Some(width)) = (number(tags::WINDOW_CENTER), number(tags::WINDOW_WIDTH)) else {
            return Ok(None);
        };
        let stated = header::find(object, group, tags::VOILUT_FUNCTION, frame).and_then(header::words);
        let function = match stated.as_deref() {
            None | Some("LINEAR") => Function::Linear,
            Some("LINEAR_EXACT") => Function::LinearExact,
            Some("SIGMOID") => Function::Sigmoid,
            Some(other) => bail!("VOI LUT function {other} is unknown; give [task.reading] an intensity"),
        };
        let is_usable = if function == Function::Linear { width >= 1.0 } else { width > 0.0 };
        Ok(is_usable.then_some(Voi::Window { center, width, function }))
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

fn first_item(object: &InMemDicomObject, sequence: Tag) -> Option<&InMemDicomObject> {
    object.get(sequence)?.items()?.first()
}
