//! Stored samples of one frame, out of native or compressed pixel data.

use anyhow::{Context, Result, bail, ensure};
use dicom_core::DicomValue;
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;

use super::element::BIG_ENDIAN;
use super::header::{Header, cut_off};
use super::{codec, encapsulated};

/// Samples of one frame, `[rows, columns, samples]`, colours interleaved.
pub(super) enum Stored {
    /// Unsigned, 8 bits stored.
    Bytes(Vec<u8>),
    /// Anything else, masked to the bits stored and with its sign.
    Words(Vec<i64>),
}

/// Reads one frame's samples; a frame that is cut off is an error, never filled up. What its stream was forgiven is added
/// to `repaired`.
pub(super) fn frame(
    object: &DefaultDicomObject,
    header: &Header,
    frame: u32,
    repaired: &mut Vec<String>,
) -> Result<Stored> {
    let element = object.element(tags::PIXEL_DATA)?;
    let (bytes, planar) = match element.value() {
        DicomValue::Primitive(value) => {
            let mut bytes = native(&value.to_bytes(), header, frame)?;
            if header.syntax == BIG_ENDIAN && header.bits_allocated == 32 {
                swap_words(&mut bytes);
            }
            (bytes, header.planar)
        }
        DicomValue::PixelSequence(sequence) => {
            let stream = encapsulated::frame(sequence, header.frames, frame)?;
            (codec::decode(header, &stream, repaired)?, false)
        }
        DicomValue::Sequence(_) => bail!("the pixel data is a sequence of items, which no picture is"),
    };
    let bytes = if planar && header.samples == 3 { interleave(&bytes, header) } else { bytes };
    Ok(samples(bytes, header))
}

/// How much pixel data there is.
#[derive(Clone, Copy)]
pub(super) enum Held {
    /// Bytes without compression.
    Bytes(u64),
    /// Compressed pieces, of which a frame has one at least.
    Pieces(u64),
}

/// Checks that the pixel data can hold the frames that the header states.
pub(super) fn check_frames(object: &DefaultDicomObject, header: &Header) -> Result<()> {
    if header.frames == 1 {
        return Ok(());
    }
    match object.element(tags::PIXEL_DATA)?.value() {
        DicomValue::Primitive(value) => check_held(header, Held::Bytes(value.calculate_byte_len() as u64)),
        DicomValue::PixelSequence(sequence) => {
            check_held(header, Held::Pieces(sequence.fragments().len() as u64))
        }
        DicomValue::Sequence(_) => Ok(()),
    }
}

/// As [`check_frames`], for pixel data that was counted and not read.
pub(super) fn check_held(header: &Header, held: Held) -> Result<()> {
    let frames = u64::from(header.frames);
    let (held, least, what) = match held {
        Held::Bytes(held) => {
            let pixels = frames * (header.pixels() * native_samples(header)) as u64;
            (held, (pixels * u64::from(header.bits_allocated)).div_ceil(8), "bytes")
        }
        Held::Pieces(held) => (held, frames, "compressed pieces"),
    };
    ensure!(
        held >= least,
        "the file states {frames} frames, which take {least} {what} at least, and holds {held}; fetch it again"
    );
    Ok(())
}

/// Samples that a pixel takes without compression.
fn native_samples(header: &Header) -> usize {
    if header.photometric == "YBR_FULL_422" { 2 } else { header.samples }
}

fn native(all: &[u8], header: &Header, frame: u32) -> Result<Vec<u8>> {
    let index = frame as usize;
    if header.bits_allocated == 1 {
        return bits(all, header, index);
    }
    let halved = header.photometric == "YBR_FULL_422";
    let pixel = native_samples(header) * usize::from(header.bits_allocated / 8);
    let length = header.pixels() * pixel;
    let bytes = index
        .checked_mul(length)
        .and_then(|start| all.get(start..start.checked_add(length)?))
        .with_context(|| cut_off(all.len(), length.saturating_mul(header.frames as usize)))?;
    Ok(if halved { full_chroma(bytes) } else { bytes.to_vec() })
}

/// Bits, lowest first; frames follow each other without padding (PS3.5 8.1.1).
fn bits(all: &[u8], header: &Header, frame: usize) -> Result<Vec<u8>> {
    let length = header.pixels() * header.samples;
    let start = frame.checked_mul(length).context("the frame number is out of range")?;
    ensure!(
        (start + length).div_ceil(8) <= all.len(),
        "{}",
        cut_off(all.len(), (start + length).div_ceil(8))
    );
    Ok((start..start + length).map(|bit| all[bit / 8] >> (bit % 8) & 1).collect())
}

/// `Y Y Cb Cr` for two pixels becomes `Y Cb Cr Y Cb Cr`.
fn full_chroma(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks_exact(4).flat_map(|two| [two[0], two[2], two[3], two[1], two[2], two[3]]).collect()
}

/// Big-endian files hold 32 bits as two 16-bit words, the high one first.
fn swap_words(bytes: &mut [u8]) {
    for sample in bytes.chunks_exact_mut(4) {
        sample.rotate_left(2);
    }
}

fn interleave(bytes: &[u8], header: &Header) -> Vec<u8> {
    let size = usize::from(header.bits_allocated / 8);
    let plane = header.pixels() * size;
    let sample = |pixel: usize, colour: usize| &bytes[colour * plane + pixel * size..][..size];
    (0..header.pixels())
        .flat_map(|pixel| (0..3).flat_map(move |colour| sample(pixel, colour)))
        .copied()
        .collect()
}

fn samples(bytes: Vec<u8>, header: &Header) -> Stored {
    if header.bits_allocated == 8 && header.bits_stored == 8 && !header.signed {
        return Stored::Bytes(bytes);
    }
    let sample = |word: u64| header.sample(word >> (header.high_bit + 1 - header.bits_stored));
    Stored::Words(match header.bits_allocated {
        16 => bytes.as_chunks().0.iter().map(|&word| sample(u16::from_le_bytes(word).into())).collect(),
        32 => bytes.as_chunks().0.iter().map(|&word| sample(u32::from_le_bytes(word).into())).collect(),
        _ => bytes.iter().map(|&byte| sample(byte.into())).collect(),
    })
}
