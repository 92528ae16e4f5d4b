//! RGB, YBR and palette samples to 8-bit RGB.

use anyhow::{Result, bail, ensure};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, Tag};

use super::super::range::Codes;
use super::header::Header;
use super::stored::Stored;
use super::table::Table;
use crate::pixels::Pixels;
use crate::spec::{Intensity, Reading};

/// What a range is taken of, where a reading asks for one.
const WHOLE: &str = "this frame, its channels together";

/// Colour samples as RGB; rescale and stated windows do not apply to them.
pub(super) fn rgb(header: &Header, stored: Stored, reading: &Reading) -> Result<(Pixels, String)> {
    ensure!(header.samples == 3, "{} with {} sample a pixel", header.photometric, header.samples);
    let source = match header.photometric.as_str() {
        "RGB" => "RGB",
        "YBR_RCT" | "YBR_ICT" | "YBR_FULL" | "YBR_FULL_422" if is_jpeg(header) => {
            "converted to RGB by the codec"
        }
        "YBR_FULL" | "YBR_FULL_422" => "YBR converted to RGB",
        other => bail!("photometric interpretation {other} is not supported"),
    };
    let (samples, range) = if source == "YBR converted to RGB" {
        let (mut samples, _) = eight_bits(header, stored, &Intensity::Stated)?;
        samples.as_chunks_mut().0.iter_mut().for_each(ybr_to_rgb);
        eight_bits(header, Stored::Bytes(samples), &reading.intensity)?
    } else {
        eight_bits(header, stored, &reading.intensity)?
    };
    let pixels = Pixels::new(header.rows, header.columns, 3, samples)?;
    Ok((pixels, format!("{} bits colour; {source}; {range}", header.bits_stored)))
}

/// JPEG and JPEG 2000 codecs undo the colour transform of their stream; RLE does not.
fn is_jpeg(header: &Header) -> bool {
    header.syntax.starts_with("1.2.840.10008.1.2.4.")
}

fn eight_bits(header: &Header, stored: Stored, intensity: &Intensity) -> Result<(Vec<u8>, String)> {
    match (stored, intensity) {
        (Stored::Bytes(bytes), Intensity::Stated | Intensity::FullRange) => {
            Ok((bytes, "values unchanged".to_owned()))
        }
        (Stored::Bytes(bytes), asked) => Codes::unsigned(8).spread(&bytes, asked, WHOLE),
        (Stored::Words(words), Intensity::Stated) => {
            let (samples, _) = header.codes().spread(&words, &Intensity::FullRange, WHOLE)?;
            Ok((samples, "full range of the stored bits to 8 bits".to_owned()))
        }
        (Stored::Words(words), asked) => header.codes().spread(&words, asked, WHOLE),
    }
}

/// PS3.3 C.7.6.3.1.2, full range.
fn ybr_to_rgb(pixel: &mut [u8; 3]) {
    let [y, b, r] = [f64::from(pixel[0]), f64::from(pixel[1]) - 128.0, f64::from(pixel[2]) - 128.0];
    let grey = |value: f64| value.round().clamp(0.0, 255.0) as u8;
    pixel[0] = grey(y + 1.402 * r);
    pixel[1] = grey(y - 0.344136 * b - 0.714136 * r);
    pixel[2] = grey(y + 1.772 * b);
}

/// Descriptor, plain data and segmented data of each colour.
const PALETTE: [[Tag; 3]; 3] = [
    [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
];

/// Looks indices up in the file's three tables.
pub(super) fn palette(
    object: &DefaultDicomObject,
    header: &Header,
    stored: &Stored,
    reading: &Reading,
) -> Result<(Pixels, String)> {
    ensure!(header.samples == 1, "PALETTE COLOR with {} samples a pixel", header.samples);
    let read = |[descriptor, data, segments]: [Tag; 3]| Table::of_palette(object, descriptor, data, segments);
    let tables = [read(PALETTE[0])?, read(PALETTE[1])?, read(PALETTE[2])?];
    let eight = |table: &Table, index: i64| (table.at(index) >> (table.bits - 8)) as u8;
    let colour = |index: i64| [0, 1, 2].map(|channel| eight(&tables[channel], index));
    let samples: Vec<u8> = match stored {
        Stored::Bytes(bytes) => {
            let colours: Vec<[u8; 3]> = (0..256).map(colour).collect();
            bytes.iter().flat_map(|&byte| colours[usize::from(byte)]).collect()
        }
        Stored::Words(words) => words.iter().flat_map(|&word| colour(word)).collect(),
    };
    let mut policy = format!("{} bits indices; the file's palette, its high 8 bits", header.bits_stored);
    let samples = match &reading.intensity {
        Intensity::Stated | Intensity::FullRange => samples,
        asked => {
            let (samples, range) = Codes::unsigned(8).spread(&samples, asked, WHOLE)?;
            policy.push_str(&format!("; {range}"));
            samples
        }
    };
    Ok((Pixels::new(header.rows, header.columns, 3, samples)?, policy))
}
