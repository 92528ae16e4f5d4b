//! Bytes become pixels, by content and never by file name, under a stated intensity policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;

use crate::files;
use crate::pixels::Pixels;
use crate::spec::Reading;

/// DICOM: every syntax that needs no C toolchain beyond gcc.
pub mod dicom;
/// Perceptual hashes of pictures.
pub mod difference_hash;
/// Segments, frame headers and end markers of JPEG streams.
pub(crate) mod jpeg;
/// Streams of JPEG-LS.
mod jpeg_ls;
/// NIfTI-1 and NIfTI-2 volumes, cut into slices.
pub mod nifti;
/// Masks in another size, which lose no lesion.
pub mod overlap;
/// Runs of bytes, in DICOM and TIFF.
mod packbits;
/// From values to 8 bits.
mod range;
/// PNG, JPEG, TIFF, BMP.
pub mod raster;
/// Pillow-compatible resampling.
pub mod resize;

/// A decoded picture and how its samples came to be.
///
/// ```
/// use std::io::Cursor;
///
/// let mut file = Cursor::new(Vec::new());
/// image::GrayImage::from_raw(2, 1, vec![0, 200]).unwrap().write_to(&mut file, image::ImageFormat::Png)?;
/// let decoded = medfsad::decode::decode(file.get_ref(), 0)?;
/// assert_eq!((decoded.pixels.height(), decoded.pixels.width()), (1, 2));
/// assert_eq!((decoded.bits, decoded.photometric.as_str()), (8, "GREY"));
/// assert!(medfsad::decode::decode(b"no picture", 0).is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The frame, 8 bits a sample.
    pub pixels: Pixels,
    /// Bits a sample had in the file.
    pub bits: u16,
    /// DICOM's photometric interpretation, `GREY`, `RGB`, `PALETTE`, `CMYK` for a raster file, or `VOLUME`.
    pub photometric: String,
    /// How samples became 0 to 255, and which of it the file stated and which was assumed.
    pub intensity_policy: String,
    /// Frames in the file.
    pub frames: u32,
    /// Defects of the file that were forgiven, one sentence each.
    pub repaired: Vec<String>,
    /// How the picture was taken, as far as its file tells.
    pub taken: Taken,
}

/// How a picture was taken: the strata by which results are also given. `None` for what is empty or missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The view of a film, such as `AP` (DICOM's `ViewPosition`).
    pub view: Option<String>,
    /// Maker and model of the device (`Manufacturer`, `ManufacturerModelName`).
    pub scanner: Option<String>,
    /// The institution (`InstitutionName`), by its name.
    pub site: Option<String>,
}

/// Decodes `frame` of a file's bytes, telling the format by content, under the default reading.
///
/// # Errors
/// Names what was found (format, transfer syntax) and why it cannot be read.
pub fn decode(bytes: &[u8], frame: u32) -> Result<Decoded> {
    let reading = Reading::default();
    Opened::of(bytes, None, &reading)?.decode(frame)
}

/// Decodes several frames of one file, which is read and parsed once. A frame that fails is an error in its place.
///
/// # Errors
/// If the file as a whole cannot be read, or the reading makes no sense.
pub fn frames(path: &Path, frames: &[u32], reading: &Reading) -> Result<Vec<Result<Decoded>>> {
    let mut decoded = Vec::with_capacity(frames.len());
    visit_frames(path, frames, reading, |frame| decoded.push(frame))?;
    Ok(decoded)
}

/// As [`frames`], handing over one frame after the other, so that memory does not grow with their number.
///
/// # Errors
/// As [`frames`]; then nothing was handed over.
pub fn visit_frames(
    path: &Path,
    frames: &[u32],
    reading: &Reading,
    mut visit: impl FnMut(Result<Decoded>),
) -> Result<()> {
    let bytes = files::read(path)?;
    let opened = Opened::of(&bytes, Some(path), reading)?;
    frames.iter().for_each(|&frame| visit(opened.decode(frame)));
    Ok(())
}

/// As [`frames`], each made into something else on all cores as soon as it is decoded, in their order.
///
/// # Errors
/// As [`frames`].
pub fn map_frames<T: Send>(
    path: &Path,
    frames: &[u32],
    reading: &Reading,
    map: impl Fn(Result<Decoded>) -> T + Sync,
) -> Result<Vec<T>> {
    let bytes = files::read(path)?;
    let opened = Opened::of(&bytes, Some(path), reading)?;
    Ok(frames.par_iter().map(|&frame| map(opened.decode(frame))).collect())
}

/// Frames of one file as masks: one channel, 255 where the mask is and 0 elsewhere, cut as [`frames`] cuts
/// pictures. A mask is where the stored value is not 0, or the palette's index is not; in JPEG, which does not keep
/// zeros, where the grey picture is 128 or brighter. Nothing is windowed or interpolated.
///
/// # Errors
/// As [`frames`]; a frame with several samples a pixel (DICOM) or values that are no numbers (NIfTI).
pub fn mask_frames(path: &Path, frames: &[u32], reading: &Reading) -> Result<Vec<Result<Pixels>>> {
    Ok(mask_frames_over(path, path, frames, reading)?.frames)
}

/// Masks of several frames.
pub struct Masks {
    /// One mask per frame that was asked for, in that order, or why it cannot be read.
    pub frames: Vec<Result<Pixels>>,
    /// What was forgiven.
    pub repaired: Vec<String>,
}

/// As [`mask_frames`], for the picture in another file. Where either volume does not state how it lies in the
/// patient, they are laid over each other voxel by voxel.
///
/// # Errors
/// As [`mask_frames`]; such volumes of different shapes.
pub fn mask_frames_over(path: &Path, picture: &Path, frames: &[u32], reading: &Reading) -> Result<Masks> {
    let bytes = files::read(path)?;
    let mut opened = Opened::of(&bytes, Some(path), reading)?;
    let mut repaired = opened.lay_over(path, picture)?;
    repaired.extend_from_slice(opened.repaired());
    let frames = frames.iter().map(|&frame| opened.mask(frame, &mut repaired)).collect();
    Ok(Masks { frames, repaired })
}

/// How many frames a file offers: slices along the axis times time points (NIfTI), pages (TIFF),
/// NumberOfFrames (DICOM), otherwise 1.
///
/// # Errors
/// If the file cannot be read or its header is damaged.
pub fn n_frames(path: &Path, reading: &Reading) -> Result<u32> {
    let head = files::read_head(path, HEAD_BYTES)?;
    match Format::of(&head) {
        Format::Dicom => dicom::n_frames(path),
        Format::Nifti => nifti::n_frames(path, reading),
        Format::Raster => raster::n_frames(path),
    }
}

/// The files whose bytes make up the picture at `path`: itself, and the `.img` beside a NIfTI `.hdr`.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let image = nifti::image_beside(path).filter(|image| image.is_file());
    std::iter::once(path.to_owned()).chain(image).collect()
}

/// Labels in each slice of a NIfTI label volume along the axis, over all time points in frame order: label to
/// number of voxels, without label 0. It lies over `picture` as [`mask_frames_over`] says.
///
/// # Errors
/// If this is no NIfTI volume, it holds values that are not whole numbers, or it does not fit its picture.
pub fn label_counts(path: &Path, picture: &Path, reading: &Reading) -> Result<Vec<BTreeMap<i64, usize>>> {
    let bytes = files::read(path)?;
    let mut opened = Opened::of(&bytes, Some(path), reading)?;
    opened.lay_over(path, picture)?;
    match opened {
        Opened::Nifti(volume) => {
            volume.label_counts().with_context(|| format!("labels of {}", path.display()))
        }
        Opened::Dicom(_) | Opened::Raster(_) => bail!("{} is no NIfTI label volume", path.display()),
    }
}

/// Enough of a file's start to tell its format: the smallest NIfTI header, and the `DICM` of DICOM.
const HEAD_BYTES: u64 = 4096;

enum Format {
    Dicom,
    Nifti,
    Raster,
}

impl Format {
    fn of(head: &[u8]) -> Format {
        if dicom::is_dicom(head) {
            Format::Dicom
        } else if nifti::is_nifti(head) {
            Format::Nifti
        } else {
            Format::Raster
        }
    }
}

/// A file that was read and parsed once, from which frames are taken.
enum Opened<'a> {
    Dicom(Box<dicom::File<'a>>),
    Nifti(Box<nifti::Volume<'a>>),
    Raster(raster::File<'a>),
}

impl<'a> Opened<'a> {
    fn of(bytes: &'a [u8], path: Option<&Path>, reading: &'a Reading) -> Result<Opened<'a>> {
        ensure!(!bytes.is_empty(), "the file is empty");
        reading.check()?;
        Ok(match Format::of(&bytes[..bytes.len().min(HEAD_BYTES as usize)]) {
            Format::Dicom => Opened::Dicom(Box::new(dicom::File::open(bytes, reading)?)),
            Format::Nifti => Opened::Nifti(Box::new(nifti::Volume::open(bytes, path, reading)?)),
            Format::Raster => Opened::Raster(raster::File::open(bytes, reading)?),
        })
    }

    fn decode(&self, frame: u32) -> Result<Decoded> {
        match self {
            Opened::Dicom(file) => file.decode(frame),
            Opened::Nifti(volume) => volume.decode(frame),
            Opened::Raster(file) => file.decode(frame),
        }
    }

    /// What the file was forgiven, whichever frame is taken.
    fn repaired(&self) -> &[String] {
        match self {
            Opened::Dicom(file) => &file.repaired,
            Opened::Nifti(volume) => volume.repaired(),
            Opened::Raster(_) => &[],
        }
    }

    /// Gives a volume the orientation of its picture, where one of them states none.
    fn lay_over(&mut self, path: &Path, picture: &Path) -> Result<Vec<String>> {
        let note = match self {
            Opened::Nifti(volume) if path != picture => volume.lay_over(picture)?,
            _ => None,
        };
        Ok(note.into_iter().collect())
    }

    fn mask(&self, frame: u32, repaired: &mut Vec<String>) -> Result<Pixels> {
        match self {
            Opened::Dicom(file) => file.mask(frame, repaired),
            Opened::Nifti(volume) => volume.mask(frame),
            Opened::Raster(file) => file.mask(frame, repaired),
        }
    }
}
