//! DICOM files to pixels, under an intensity policy that is ours and written down.
//!
//! Grey samples: stored value, then the modality rescale (stated, or 1 and 0 assumed), then the first
//! linear window where the file states one. Without a window, unsigned samples of at most 8 bits keep
//! their full range (8 bits stay as they are) and all others go from the minimum to the maximum of this
//! frame. `MONOCHROME1` is inverted last. Lookup tables for modality or window are left out, and that is said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use dicom_object::file::{OpenFileOptions, ReadPreamble};

use super::Decoded;

mod colour;
mod header;
mod intensity;
mod stored;

use header::Header;

/// Start of a file that lacks the preamble but has its meta group: (0002,0000), UL, 4 bytes.
const BARE_META: &[u8] = &[2, 0, 0, 0, b'U', b'L', 4, 0];

/// Whether these are the bytes of a DICOM file: `DICM` at byte 128, or a meta group at the very start.
///
/// A bare data set without either is not taken for DICOM, since nothing tells it from other data.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM") || bytes.starts_with(BARE_META)
}

/// Decodes one frame.
///
/// # Errors
/// A damaged or cut file, no pixel data, a frame that is not there, a transfer syntax or photometric
/// interpretation that cannot be decoded.
pub fn decode(bytes: &[u8], frame: u32) -> Result<Decoded> {
    // Codecs are not ours: a panic on malformed data is a refusal, not the end of the run.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_frame(bytes, frame)));
    decoded.unwrap_or_else(|_| bail!("malformed DICOM: its decoder gave up; export the file again"))
}

fn decode_frame(bytes: &[u8], frame: u32) -> Result<Decoded> {
    let object = open(bytes)?;
    let header = Header::read(&object)?;
    ensure!(frame < header.frames, "frame {frame} was asked for, but the file holds {}", header.frames);
    let stored = stored::frame(&object, &header, frame)?;
    let (pixels, policy) = match header.photometric.as_str() {
        "MONOCHROME1" | "MONOCHROME2" => intensity::grey(&object, &header, &stored, frame)?,
        "PALETTE COLOR" => colour::palette(&object, &header, &stored)?,
        _ => colour::rgb(&header, &stored)?,
    };
    Ok(Decoded {
        pixels,
        bits: header.bits_stored,
        photometric: header.photometric,
        intensity_policy: policy,
        frames: header.frames,
    })
}

/// The patient ID in a DICOM file's header, read up to the pixel data; `None` if it is empty or missing.
///
/// # Errors
/// If this is no DICOM file or its header is damaged.
pub fn patient_id(path: &Path) -> Result<Option<String>> {
    let read = || -> Result<Option<String>> {
        let options = OpenFileOptions::new().read_preamble(ReadPreamble::Always).read_until(tags::PIXEL_DATA);
        let object = options.open_file(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(header::text(&object, tags::PATIENT_ID))
    };
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| bail!("malformed DICOM header in {}", path.display()))
}

fn open(bytes: &[u8]) -> Result<DefaultDicomObject> {
    let options = OpenFileOptions::new().read_preamble(ReadPreamble::Always);
    let opened = if bytes.starts_with(BARE_META) {
        let whole: Vec<u8> = [&[0; 128], b"DICM".as_slice(), bytes].concat();
        options.from_reader(whole.as_slice())
    } else {
        options.from_reader(bytes)
    };
    opened.context("damaged or cut DICOM file")
}
