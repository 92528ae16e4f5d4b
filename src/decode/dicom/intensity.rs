//! Grey samples to 0 to 255, and the sentence that says how.

use anyhow::{Result, ensure};
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;

use super::header::{self, Header};
use super::stored::Stored;
use crate::pixels::Pixels;

/// Maps one frame, and says how in one sentence.
pub(super) fn grey(
    object: &DefaultDicomObject,
    header: &Header,
    stored: &Stored,
    frame: u32,
) -> Result<(Pixels, String)> {
    ensure!(header.samples == 1, "{} with {} samples a pixel", header.photometric, header.samples);
    let rescale = Rescale::read(object, frame);
    let (mut samples, rule) = match (window(object, frame), stored) {
        (Some(window), stored) => (windowed(stored, &rescale, &window), window.sentence()),
        (None, Stored::Bytes(bytes)) if rescale.slope > 0.0 => {
            (bytes.clone(), "stored values unchanged, no window".to_owned())
        }
        (None, Stored::Words(words)) if header.bits_stored <= 8 && !header.signed && rescale.slope > 0.0 => {
            (full_range(words, header.bits_stored), "full range of the stored bits, no window".to_owned())
        }
        (None, stored) => {
            (min_max(stored, &rescale), "minimum to maximum of this frame, no window".to_owned())
        }
    };
    if header.photometric == "MONOCHROME1" {
        samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
    }
    let sign = if header.signed { "signed" } else { "unsigned" };
    let mut policy = format!("{} bits {sign}; {}; {rule}", header.bits_stored, rescale.sentence());
    if header.photometric == "MONOCHROME1" {
        policy.push_str("; MONOCHROME1 inverted");
    }
    policy.push_str(tables_left_out(object));
    Ok((Pixels::new(header.rows, header.columns, 1, samples)?, policy))
}

fn tables_left_out(object: &DefaultDicomObject) -> &'static str {
    let has = |tag| object.get(tag).is_some();
    match (has(tags::MODALITY_LUT_SEQUENCE), has(tags::VOILUT_SEQUENCE)) {
        (true, true) => "; modality and VOI tables left out",
        (true, false) => "; modality table left out",
        (false, true) => "; VOI table left out",
        (false, false) => "",
    }
}

/// Modality rescale, PS3.3 C.11.1.1.2.
struct Rescale {
    slope: f64,
    intercept: f64,
    stated: bool,
}

impl Rescale {
    fn read(object: &DefaultDicomObject, frame: u32) -> Rescale {
        let number = |tag| {
            let group = tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE;
            header::numbers(object, group, tag, frame).map(|numbers| numbers[0])
        };
        match (number(tags::RESCALE_SLOPE), number(tags::RESCALE_INTERCEPT)) {
            (Some(slope), Some(intercept)) if slope != 0.0 => Rescale { slope, intercept, stated: true },
            _ => Rescale { slope: 1.0, intercept: 0.0, stated: false },
        }
    }

    fn apply(&self, stored: i64) -> f64 {
        stored as f64 * self.slope + self.intercept
    }

    fn sentence(&self) -> String {
        let origin = if self.stated { "stated" } else { "assumed" };
        format!("rescale slope {} intercept {} {origin}", self.slope, self.intercept)
    }
}

/// A linear window, PS3.3 C.11.2.1.2 and C.11.2.1.3.2.
struct Window {
    center: f64,
    width: f64,
    exact: bool,
}

impl Window {
    /// The half-pixel shift of the plain function is the standard's.
    fn apply(&self, value: f64) -> f64 {
        let (center, width) = match self.exact {
            true => (self.center, self.width),
            false => (self.center - 0.5, self.width - 1.0),
        };
        if width <= 0.0 {
            return f64::from(u8::from(value > center));
        }
        (value - center) / width + 0.5
    }

    fn sentence(&self) -> String {
        let function = if self.exact { "LINEAR_EXACT" } else { "LINEAR" };
        format!("first stated window {function} centre {} width {}", self.center, self.width)
    }
}

/// The first window of the file, if it is linear.
fn window(object: &DefaultDicomObject, frame: u32) -> Option<Window> {
    let number =
        |tag| header::numbers(object, tags::FRAME_VOILUT_SEQUENCE, tag, frame).map(|numbers| numbers[0]);
    let function = header::text(object, tags::VOILUT_FUNCTION).unwrap_or_else(|| "LINEAR".to_owned());
    let exact = function == "LINEAR_EXACT";
    let window = Window { center: number(tags::WINDOW_CENTER)?, width: number(tags::WINDOW_WIDTH)?, exact };
    let usable = if exact { window.width > 0.0 } else { window.width >= 1.0 };
    (usable && (exact || function == "LINEAR")).then_some(window)
}

fn windowed(stored: &Stored, rescale: &Rescale, window: &Window) -> Vec<u8> {
    map(stored, |value| to_grey(window.apply(rescale.apply(value))))
}

fn full_range(words: &[i64], bits: u16) -> Vec<u8> {
    let top = ((1i64 << bits) - 1) as f64;
    words.iter().map(|&word| to_grey(word as f64 / top)).collect()
}

fn min_max(stored: &Stored, rescale: &Rescale) -> Vec<u8> {
    let (least, most) = match stored {
        Stored::Bytes(bytes) => extremes(bytes.iter().map(|&byte| i64::from(byte))),
        Stored::Words(words) => extremes(words.iter().copied()),
    };
    let (low, high) = (rescale.apply(least), rescale.apply(most));
    let (low, span) = (low.min(high), (high - low).abs());
    map(stored, |value| if span > 0.0 { to_grey((rescale.apply(value) - low) / span) } else { 0 })
}

fn extremes(values: impl Iterator<Item = i64>) -> (i64, i64) {
    values.fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(value), most.max(value)))
}

fn map(stored: &Stored, grey: impl Fn(i64) -> u8) -> Vec<u8> {
    match stored {
        Stored::Bytes(bytes) => {
            let table: Vec<u8> = (0..256).map(grey).collect();
            bytes.iter().map(|&byte| table[usize::from(byte)]).collect()
        }
        Stored::Words(words) => words.iter().map(|&word| grey(word)).collect(),
    }
}

fn to_grey(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}
