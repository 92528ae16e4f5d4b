//! NIfTI volumes, cut into slices along an axis of the patient.
//!
//! Voxels are put in canonical order first: axis 0 rises to the patient's right, 1 to anterior, 2 to superior
//! (RAS+). The affine is the `sform`, else the `qform`; a header that states neither is taken as stored to the
//! left, anterior and superior, as nibabel takes it. An oblique volume takes the nearest axes and is not resampled. Slices are shown the usual way: axial with anterior up and coronal with
//! superior up, both with the patient's right on the left; sagittal with superior up and anterior on the left.
//! A frame's number is `time * slices + slice`; slices count from the low end of the canonical axis, and all
//! dimensions after the third count as time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};

use super::range::{self, Range};
use super::{Decoded, Taken};
use crate::files;
use crate::pixels::Pixels;
use crate::spec::{Intensity, Reading};

mod container;
mod header;
mod orientation;
mod texts;
mod voxels;

use header::{Header, NO_TRANSFORM};
use orientation::{Along, Orientation};
pub use texts::texts;

/// The reading of a volume that states no window. Zero is background in most volumes and takes no part.
const ROBUST: Intensity = Intensity::Percentiles { low: 0.5, high: 99.5 };

/// What percentiles are taken of.
const FOREGROUND: &str = "the volume's finite voxels other than 0";

/// Whether a file's start is a NIfTI header, by its stated size, also below gzip.
pub fn is_nifti(head: &[u8]) -> bool {
    container::head(head).is_ok_and(|head| header::stated_size(&head).is_some())
}

/// The `.img` that belongs to a `.hdr`, whether it is there or not; `None` for any other name.
pub fn image_beside(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?;
    [(".hdr", ".img"), (".hdr.gz", ".img.gz"), (".HDR", ".IMG")]
        .iter()
        .find_map(|(header, image)| Some(PathBuf::from(format!("{}{image}", name.strip_suffix(header)?))))
}

/// How many frames a volume offers, from its header alone.
///
/// # Errors
/// A file that cannot be read, a damaged header, a type that is not supported.
pub fn n_frames(path: &Path, reading: &Reading) -> Result<u32> {
    let read = || -> Result<u32> {
        let head = files::read_head(path, super::HEAD_BYTES)?;
        let header = Header::read(&container::head(&head)?)?;
        header.check_held(path, &head)?;
        let orientation = Orientation::of(&header.matrix)?;
        let slices = header.shape[orientation.axes[reading.axis.index()].stored];
        n_slices_times(slices, header.times)
    };
    read().with_context(|| format!("reading {}", path.display()))
}

/// Values of one slice, scaled but not windowed, `[rows, columns]`, and its rows and columns.
///
/// # Errors
/// As [`super::frames`].
pub fn slice_values(path: &Path, frame: u32, reading: &Reading) -> Result<(usize, usize, Vec<f64>)> {
    let bytes = files::read(path)?;
    let volume = Volume::open(&bytes, Some(path), reading)?;
    let [rows, columns] = volume.sides();
    Ok((rows, columns, volume.values(&volume.slice(frame)?)))
}

impl Header {
    /// Whether the file that begins with `head`, or its `.img`, can hold the voxels.
    fn check_held(&self, path: &Path, head: &[u8]) -> Result<()> {
        let other = image_beside(path).filter(|_| !self.single_file);
        let held = files::size(other.as_deref().unwrap_or(path))?;
        let other = other.map(|image| files::read_head(&image, 2)).transpose()?;
        container::check(other.as_deref().unwrap_or(head), held, self.offset, self.n_bytes())
    }
}

fn n_slices_times(slices: usize, times: usize) -> Result<u32> {
    let frames = slices.checked_mul(times).and_then(|frames| u32::try_from(frames).ok());
    frames.context("more slices than can be counted")
}

/// A volume in memory.
pub(super) struct Volume<'a> {
    header: Header,
    orientation: Orientation,
    voxels: Cow<'a, [u8]>,
    reading: &'a Reading,
    /// Ends and name of the range of each time point, once it was needed.
    ranges: Mutex<BTreeMap<usize, (Range, String)>>,
}

impl<'a> Volume<'a> {
    /// What the file was forgiven.
    pub(super) fn repaired(&self) -> &[String] {
        &self.header.repaired
    }

    /// Reads a whole volume; `path` is where its `.img` is looked for.
    pub(super) fn open(bytes: &'a [u8], path: Option<&Path>, reading: &'a Reading) -> Result<Volume<'a>> {
        let mut header = Header::read(&container::head(bytes)?)?;
        let orientation = Orientation::of(&header.matrix)?;
        let (voxels, zeros) = if header.single_file {
            container::body(Cow::Borrowed(bytes), header.offset, header.n_bytes())?
        } else {
            let image = path
                .and_then(image_beside)
                .context("the header of a two-file NIfTI pair; name the .hdr, with its .img beside it")?;
            container::body(Cow::Owned(files::read(&image)?), header.offset, header.n_bytes())?
        };
        if zeros > 0 {
            header.repaired.push(format!("{zeros} zero bytes after the gzip stream passed over"));
        }
        Ok(Volume { header, orientation, voxels, reading, ranges: Mutex::default() })
    }

    /// Takes the orientation of the volume at `picture` where one of them states none and both have the same
    /// shape; says so.
    ///
    /// # Errors
    /// Volumes of different shapes, of which one does not say how it lies.
    pub(super) fn lay_over(&mut self, picture: &Path) -> Result<Option<String>> {
        let head = files::read_head(picture, super::HEAD_BYTES)?;
        if !is_nifti(&head) {
            return Ok(None);
        }
        let other = Header::read(&container::head(&head)?)?;
        if self.header.origin != NO_TRANSFORM && other.origin != NO_TRANSFORM {
            return Ok(None);
        }
        ensure!(
            self.header.shape == other.shape,
            "a mask of {:?} voxels for a picture of {:?}, and one of them does not state how it lies in the patient; \
             write both with an sform",
            self.header.shape,
            other.shape
        );
        self.orientation = Orientation::of(&other.matrix)?;
        let without = if self.header.origin == NO_TRANSFORM { "mask" } else { "picture" };
        Ok(Some(format!("the {without} does not state how it lies, the mask is laid over voxel by voxel")))
    }

    /// One slice as a grey picture.
    pub(super) fn decode(&self, frame: u32) -> Result<Decoded> {
        let slice = self.slice(frame)?;
        let (range, name) = self.range(slice.time)?;
        let pixels = self.pixels(&slice, |value| Ok(range.grey(value)))?;
        Ok(Decoded {
            pixels,
            bits: self.header.kind.size_of() as u16 * 8,
            photometric: "VOLUME".to_owned(),
            intensity_policy: format!("{}; {name}", self.sentence()),
            frames: self.frames()?,
            repaired: self.header.repaired.clone(),
            taken: Taken::default(),
        })
    }

    /// One slice as a mask: 255 where the value is not 0.
    pub(super) fn mask(&self, frame: u32) -> Result<Pixels> {
        self.pixels(&self.slice(frame)?, |value| {
            ensure!(!value.is_nan(), "the mask holds voxels that are no numbers");
            Ok(if value == 0.0 { 0 } else { 255 })
        })
    }

    /// Labels and their numbers of voxels, slice by slice in frame order, without 0.
    pub(super) fn label_counts(&self) -> Result<Vec<BTreeMap<i64, usize>>> {
        (0..self.frames()?)
            .map(|frame| {
                let mut counts = BTreeMap::new();
                for value in self.values(&self.slice(frame)?) {
                    let label = value.round();
                    ensure!(
                        (value - label).abs() < 1e-3,
                        "slice {frame} holds {value}, which is no whole number: this is no label volume"
                    );
                    if label != 0.0 {
                        *counts.entry(label as i64).or_default() += 1;
                    }
                }
                Ok(counts)
            })
            .collect()
    }

    fn cut_along(&self) -> Along {
        self.orientation.axes[self.reading.axis.index()]
    }

    fn frames(&self) -> Result<u32> {
        n_slices_times(self.header.shape[self.cut_along().stored], self.header.times)
    }

    fn slice(&self, frame: u32) -> Result<Slice> {
        let frames = self.frames()?;
        ensure!(frame < frames, "frame {frame} was asked for, but the volume holds {frames}");
        let slices = frames / self.header.times as u32;
        Ok(Slice { time: (frame / slices) as usize, index: (frame % slices) as usize })
    }

    fn range(&self, time: usize) -> Result<(Range, String)> {
        let mut ranges = self.ranges.lock().expect("no thread panics while it holds the ranges");
        if let Some(known) = ranges.get(&time) {
            return Ok(known.clone());
        }
        let intensity = match &self.reading.intensity {
            Intensity::Stated => &ROBUST,
            asked => asked,
        };
        let whole = match intensity {
            Intensity::Percentiles { .. } => FOREGROUND,
            _ => "the volume",
        };
        let distribution = || {
            let all = voxels::distribution(&self.header, &self.voxels, time);
            if matches!(intensity, Intensity::Percentiles { .. }) { all.without_zero() } else { all }
        };
        let chosen = range::chosen(intensity, || voxels::full_range(&self.header), distribution, whole)?;
        ranges.insert(time, chosen.clone());
        Ok(chosen)
    }

    fn sentence(&self) -> String {
        let Header { kind, scale, origin, shape, matrix, .. } = &self.header;
        let scale = match scale {
            Some((slope, intercept)) => format!("slope {slope} intercept {intercept} stated"),
            None => "no slope stated".to_owned(),
        };
        let size = |along: &Along| {
            let length = matrix.iter().map(|row| row[along.stored].powi(2)).sum::<f64>().sqrt();
            format!("{}", (length * 1000.0).round() / 1000.0)
        };
        let sizes: Vec<String> = self.orientation.axes.iter().map(size).collect();
        let mut sentence = format!(
            "{kind:?} volume {} x {} x {}; {scale}; {} slices; stored as {} by its {origin}",
            shape[0],
            shape[1],
            shape[2],
            self.reading.axis.name(),
            self.orientation.letters(),
        );
        if self.orientation.oblique > 0.1 {
            sentence.push_str(&format!(", oblique by {:.1} degrees", self.orientation.oblique));
        }
        sentence + &format!("; voxels {} mm", sizes.join(" x "))
    }

    /// Rows and columns of a slice: the higher remaining axis runs up, the lower one to the left.
    fn rows_and_columns(&self) -> [Along; 2] {
        let mut rest = (0..3).rev().filter(|&axis| axis != self.reading.axis.index());
        let mut next = || self.orientation.axes[rest.next().expect("two axes remain of three")];
        [next(), next()]
    }

    fn sides(&self) -> [usize; 2] {
        self.rows_and_columns().map(|along| self.header.shape[along.stored])
    }

    fn values(&self, slice: &Slice) -> Vec<f64> {
        let shape = self.header.shape;
        let step = [1, shape[0], shape[0] * shape[1]];
        let place = |along: Along, index: usize| match along.reversed {
            true => (shape[along.stored] - 1 - index) * step[along.stored],
            false => index * step[along.stored],
        };
        let [rows, columns] = self.rows_and_columns();
        let start = slice.time * self.header.voxels() + place(self.cut_along(), slice.index);
        let downwards = (0..shape[rows.stored]).rev().map(|row| start + place(rows, row));
        let places = downwards
            .flat_map(|row| (0..shape[columns.stored]).rev().map(move |column| row + place(columns, column)));
        voxels::values(&self.header, &self.voxels, places)
    }

    fn pixels(&self, slice: &Slice, grey: impl Fn(f64) -> Result<u8>) -> Result<Pixels> {
        let [rows, columns] = self.sides();
        let samples = self.values(slice).into_iter().map(grey).collect::<Result<Vec<u8>>>()?;
        Pixels::new(rows, columns, 1, samples)
    }
}

/// Place of a slice: time point, and index along the canonical axis.
struct Slice {
    time: usize,
    index: usize,
}
