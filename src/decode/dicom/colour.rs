//! RGB, YBR and palette samples to 8-bit RGB.

use anyhow::{Context, Result, bail, ensure};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, Tag};

use super::header::Header;
use super::stored::Stored;
use crate::pixels::Pixels;

/// Colour samples as RGB; windows and rescale do not apply to them.
pub(super) fn rgb(header: &Header, stored: &Stored) -> Result<(Pixels, String)> {
    ensure!(header.samples == 3, "{} with {} sample a pixel", header.photometric, header.samples);
    let (mut samples, range) = eight_bits(header, stored);
    let source = match header.photometric.as_str() {
        "RGB" => "RGB",
        "YBR_RCT" | "YBR_ICT" if is_jpeg(header) => "converted to RGB by the codec",
        "YBR_FULL" | "YBR_FULL_422" if is_jpeg(header) => "converted to RGB by the codec",
        "YBR_FULL" | "YBR_FULL_422" => {
            samples.chunks_exact_mut(3).for_each(ybr_to_rgb);
            "YBR converted to RGB"
        }
        other => bail!("photometric interpretation {other} is not supported"),
    };
    let pixels = Pixels::new(header.rows, header.columns, 3, samples)?;
    Ok((pixels, format!("{} bits colour; {source}; {range}", header.bits_stored)))
}

/// JPEG and JPEG 2000 codecs undo the colour transform of their stream; RLE does not.
fn is_jpeg(header: &Header) -> bool {
    header.syntax.starts_with("1.2.840.10008.1.2.4.")
}

fn eight_bits(header: &Header, stored: &Stored) -> (Vec<u8>, &'static str) {
    match stored {
        Stored::Bytes(bytes) => (bytes.clone(), "values unchanged"),
        Stored::Words(words) => {
            let top = ((1i64 << header.bits_stored) - 1) as f64;
            let scaled = |&word: &i64| (word as f64 / top * 255.0).round().clamp(0.0, 255.0) as u8;
            (words.iter().map(scaled).collect(), "full range of the stored bits to 8 bits")
        }
    }
}

/// PS3.3 C.7.6.3.1.2, full range.
fn ybr_to_rgb(pixel: &mut [u8]) {
    let [y, b, r] = [f64::from(pixel[0]), f64::from(pixel[1]) - 128.0, f64::from(pixel[2]) - 128.0];
    let grey = |value: f64| value.round().clamp(0.0, 255.0) as u8;
    pixel[0] = grey(y + 1.402 * r);
    pixel[1] = grey(y - 0.344136 * b - 0.714136 * r);
    pixel[2] = grey(y + 1.772 * b);
}

/// Looks indices up in the file's three tables.
pub(super) fn palette(
    object: &DefaultDicomObject,
    header: &Header,
    stored: &Stored,
) -> Result<(Pixels, String)> {
    ensure!(header.samples == 1, "PALETTE COLOR with {} samples a pixel", header.samples);
    let tables = [
        Table::read(
            object,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        Table::read(
            object,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        Table::read(
            object,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
    ];
    let colour = |index: i64| [tables[0].at(index), tables[1].at(index), tables[2].at(index)];
    let samples = match stored {
        Stored::Bytes(bytes) => bytes.iter().flat_map(|&byte| colour(byte.into())).collect(),
        Stored::Words(words) => words.iter().flat_map(|&word| colour(word)).collect(),
    };
    let pixels = Pixels::new(header.rows, header.columns, 3, samples)?;
    Ok((pixels, format!("{} bits indices; the file's palette, its high 8 bits", header.bits_stored)))
}

/// One colour's table, PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6.
struct Table {
    first: i64,
    entries: Vec<u8>,
}

impl Table {
    fn read(object: &DefaultDicomObject, descriptor: Tag, data: Tag) -> Result<Table> {
        let stated = object.get(descriptor).context("a palette's descriptor is missing")?;
        let numbers: Vec<i64> = stated.to_multi_int().context("a palette's descriptor holds no numbers")?;
        let &[count, first, bits] = numbers.as_slice() else {
            bail!("a palette's descriptor has {} numbers, not 3", numbers.len());
        };
        let element =
            object.get(data).context("a palette's table is missing (segmented ones are not supported)")?;
        let bytes = element.to_bytes().context("a palette's table holds no numbers")?;
        // 0 stands for 65536, which 16 bits cannot hold.
        let count = if count == 0 { 1 << 16 } else { (count & 0xffff) as usize };
        let entries: Vec<u8> = match bits {
            16 => bytes.chunks_exact(2).map(|word| word[1]).collect(),
            8 if bytes.len() >= 2 * count => bytes.chunks_exact(2).map(|word| word[0]).collect(),
            8 => bytes.to_vec(),
            other => bail!("a palette of {other} bits; 8 and 16 are supported"),
        };
        ensure!(entries.len() >= count, "a palette states {count} entries and holds {}", entries.len());
        Ok(Table { first, entries: entries[..count].to_vec() })
    }

    /// Indices outside the table take its nearest end.
    fn at(&self, index: i64) -> u8 {
        let last = self.entries.len() as i64 - 1;
        self.entries[(index - self.first).clamp(0, last) as usize]
    }
}
