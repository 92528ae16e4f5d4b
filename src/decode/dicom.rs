//! DICOM files to pixels, under an intensity policy that is ours and written down.
//!
//! Grey samples: stored value, then the modality table or rescale (stated, or 1 and 0 assumed), then what the
//! reading asks for. By default that is the first VOI table or window that the file states, a table before a
//! window; without either, unsigned samples of at most 8 bits keep their full range (8 bits stay as they are)
//! and all others go from the minimum to the maximum of this frame. `MONOCHROME1` is inverted, and padding, which
//! takes no part in minimum and maximum, is made 0 last. A window that is stated and not readable counts as none, and
//! the policy says so. Overlays are not drawn.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::Decoded;
use crate::pixels::Pixels;
use crate::spec::Reading;
use crate::{files, panics};

mod codec;
mod colour;
mod element;
mod encapsulated;
mod header;
mod intensity;
mod jpeg_xl;
mod lengths;
mod meta;
mod origin;
mod padding;
mod personal;
mod rle;
mod segmented;
mod sequences;
mod stored;
mod table;

use element::Reached;
use header::Header;
use lengths::Walked;
pub use origin::Origin;
pub use personal::{Field, Personal};
use stored::{Held, Stored};

/// Start of a file that lacks the preamble but has its meta group: (0002,0000), UL, 4 bytes.
const BARE_META: &[u8] = &[2, 0, 0, 0, b'U', b'L', 4, 0];

/// Most headers end within this many bytes.
const HEADER_BYTES: u64 = 1 << 16;

/// Whether these are the bytes of a DICOM file: `DICM` at byte 128, or a meta group at the very start.
///
/// A bare data set without either is not taken for DICOM, since nothing tells it from other data.
pub fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM") || bytes.starts_with(BARE_META)
}

/// A parsed file. Codecs are not ours: a panic on malformed data is a refusal, not the end of the run.
pub(super) struct File<'a> {
    object: DefaultDicomObject,
    header: Header,
    reading: &'a Reading,
    /// What was forgiven.
    pub repaired: Vec<String>,
}

impl<'a> File<'a> {
    /// Parses a whole file.
    pub(super) fn open(bytes: &[u8], reading: &'a Reading) -> Result<File<'a>> {
        refused_when_panicking(|| {
            let walked = lengths::walk(bytes, bytes.len(), false)?;
            let object = parsed(&walked)?;
            let header = Header::read(&object)?;
            stored::check_frames(&object, &header)?;
            let repaired = walked.repaired.into_iter().chain(header::repaired(&object)).collect();
            Ok(File { object, header, reading, repaired })
        })
    }

    /// One frame as a picture.
    pub(super) fn decode(&self, frame: u32) -> Result<Decoded> {
        refused_when_panicking(|| {
            let File { object, header, reading, .. } = self;
            let mut repaired = self.repaired.clone();
            let stored = self.stored(frame, &mut repaired)?;
            let (pixels, policy) = match header.photometric.as_str() {
                "MONOCHROME1" | "MONOCHROME2" => intensity::grey(object, header, stored, frame, reading)?,
                "PALETTE COLOR" => colour::palette(object, header, &stored, reading)?,
                _ => colour::rgb(header, stored, reading)?,
            };
            Ok(Decoded {
                pixels,
                bits: header.bits_stored,
                photometric: header.photometric.clone(),
                intensity_policy: policy,
                frames: header.frames,
                repaired,
                taken: header::taken(object),
            })
        })
    }

    /// One frame as a mask: 255 where the stored value is not 0. What the frame was forgiven is added to `repaired`.
    pub(super) fn mask(&self, frame: u32, repaired: &mut Vec<String>) -> Result<Pixels> {
        refused_when_panicking(|| {
            let header = &self.header;
            ensure!(header.samples == 1, "a mask has one sample a pixel, this file {}", header.samples);
            let mask = |is_set: bool| if is_set { 255 } else { 0 };
            let samples = match self.stored(frame, repaired)? {
                Stored::Bytes(bytes) => bytes.iter().map(|&byte| mask(byte != 0)).collect(),
                Stored::Words(words) => words.iter().map(|&word| mask(word != 0)).collect(),
            };
            Pixels::new(header.rows, header.columns, 1, samples)
        })
    }

    fn stored(&self, frame: u32, repaired: &mut Vec<String>) -> Result<Stored> {
        let frames = self.header.frames;
        ensure!(frame < frames, "frame {frame} was asked for, but the file holds {frames}");
        stored::frame(&self.object, &self.header, frame, repaired)
    }
}

/// Samples of one frame as the file holds them, before any table, rescale or window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValues {
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// Samples per pixel.
    pub samples: usize,
    /// Bits that one sample takes in memory.
    pub bits_allocated: u16,
    /// `[rows, columns, samples]`; codecs have turned their own YBR into RGB, nothing else was turned.
    pub values: Vec<i64>,
}

impl StoredValues {
    /// Samples as little-endian words of the bits allocated, single bits as bytes.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        let size = usize::from(self.bits_allocated.div_ceil(8));
        self.values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect()
    }
}

/// Reads the stored samples of one frame, of any depth.
///
/// # Errors
/// As [`super::decode`].
pub fn stored_values(bytes: &[u8], frame: u32) -> Result<StoredValues> {
    let reading = Reading::default();
    let file = File::open(bytes, &reading)?;
    let stored = refused_when_panicking(|| file.stored(frame, &mut Vec::new()))?;
    let Header { rows, columns, samples, bits_allocated, .. } = file.header;
    let values = match stored {
        Stored::Bytes(bytes) => bytes.into_iter().map(i64::from).collect(),
        Stored::Words(words) => words,
    };
    Ok(StoredValues { rows, columns, samples, bits_allocated, values })
}

/// How many frames a file states, from its header alone. Where that is more than one, its pixel data are counted,
/// not read.
pub(super) fn n_frames(path: &Path) -> Result<u32> {
    let read = || -> Result<u32> {
        let (object, reached) = read_head(path)?;
        let frames = header::frames(&object)?;
        if frames > 1 {
            let Reached::PixelData(ahead) = reached else { bail!("{}", header::without_pixels(&object)) };
            let held = match ahead.length {
                Some(length) => Held::Bytes(length.into()),
                None => Held::Pieces(encapsulated::count(&mut fs::File::open(path)?, ahead.at as u64)?),
            };
            stored::check_held(&Header::before_pixels(&object)?, held)?;
        }
        Ok(frames)
    };
    refused_when_panicking(read).with_context(|| format!("header of {}", path.display()))
}

/// What a file's header says of people and institutions, after PS3.15 table E.1-1.
///
/// # Errors
/// If this is no DICOM file or its header is damaged.
pub fn personal(path: &Path) -> Result<Personal> {
    let read = || -> Result<Personal> {
        let object = open_head(path)?;
        let class = header::text(&object, tags::SOP_CLASS_UID);
        Ok(personal::of(&object, class.as_deref()))
    };
    refused_when_panicking(read).with_context(|| format!("header of {}", path.display()))
}

/// The view in which a film was taken, such as `AP` or `PA`; `None` if the file does not state it.
///
/// # Errors
/// If this is no DICOM file or its header is damaged.
pub fn view_position(path: &Path) -> Result<Option<String>> {
    refused_when_panicking(|| open_head(path).map(|object| header::text(&object, tags::VIEW_POSITION)))
        .with_context(|| format!("header of {}", path.display()))
}

/// What a file's header says it belongs to; `None` for what is empty or missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Belongs {
    /// `PatientID`.
    pub patient: Option<String>,
    /// `StudyInstanceUID`.
    pub study: Option<String>,
    /// `SeriesInstanceUID`.
    pub series: Option<String>,
}

/// Patient, study and series of a DICOM file, from its header up to the pixel data.
///
/// # Errors
/// If this is no DICOM file or its header is damaged.
pub fn belongs(path: &Path) -> Result<Belongs> {
    let read = || -> Result<Belongs> {
        let object = open_head(path)?;
        let of = |tag| header::text(&object, tag);
        Ok(Belongs {
            patient: of(tags::PATIENT_ID),
            study: of(tags::STUDY_INSTANCE_UID),
            series: of(tags::SERIES_INSTANCE_UID),
        })
    };
    refused_when_panicking(read).with_context(|| format!("header of {}", path.display()))
}

/// What a picture derived from this file states of it.
///
/// # Errors
/// If this is no DICOM file, its header is damaged, or it lacks an identifier that the derived picture needs.
pub fn origin(path: &Path) -> Result<Origin> {
    refused_when_panicking(|| open_head(path).and_then(|object| Origin::of(&object)))
        .with_context(|| format!("header of {}", path.display()))
}

fn refused_when_panicking<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    panics::caught(read).unwrap_or_else(|panic| {
        bail!("malformed DICOM: its decoder gave up ({panic}); export the file again")
    })
}

/// A header from a file's first bytes, or from all of it where they are not enough.
fn open_head(path: &Path) -> Result<DefaultDicomObject> {
    Ok(read_head(path)?.0)
}

/// As [`open_head`], and where it ended.
fn read_head(path: &Path) -> Result<(DefaultDicomObject, Reached)> {
    let mut bytes = files::read_head(path, HEADER_BYTES)?;
    let total = fs::metadata(path).map_or(bytes.len(), |meta| meta.len() as usize);
    if total > bytes.len() {
        let head = lengths::walk(&bytes, total, true)?;
        if head.reached != Reached::End {
            return Ok((parsed(&head)?, head.reached));
        }
        bytes = files::read(path)?;
    }
    let head = lengths::walk(&bytes, bytes.len(), true)?;
    Ok((parsed(&head)?, head.reached))
}

/// The elements of a data set. Of its meta group only the transfer syntax counts, so nothing else there can lose
/// a file.
fn parsed(walked: &Walked) -> Result<DefaultDicomObject> {
    let syntax = TransferSyntaxRegistry.get(&walked.syntax).with_context(|| {
        format!("the transfer syntax {} is unknown; export the file again", walked.syntax)
    })?;
    let mut object = InMemDicomObject::read_dataset_with_ts(&walked.data[..], syntax)
        .context("damaged or cut DICOM file")?;
    sequences::restore(&mut object)?;
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(&walked.syntax)
        .media_storage_sop_class_uid(uids::SECONDARY_CAPTURE_IMAGE_STORAGE)
        .media_storage_sop_instance_uid("2.25.1");
    Ok(object.with_exact_meta(meta.build().context("a meta group cannot be made")?))
}
