//! A user's own folder of pictures, decoded, resized and named; what cannot be read is named with its reason.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use rayon::prelude::*;
use tch::{Kind, Tensor};

use crate::decode::{self, Decoded, dicom, resize};
use crate::episode::batch::{Acquisition, Pictures};
use crate::files;
use crate::method::geometry::{FromFiles, Role};
use crate::pixels::Pixels;
use crate::spec::Reading;

/// A picture of a folder: a file, or one frame of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder, or the file's own; `file#frame` for a file of several frames.
    pub name: String,
    path: PathBuf,
    frame: u32,
    is_one_of_several: bool,
}

impl Entry {
    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its file is DICOM.
    pub fn is_dicom(&self) -> bool {
        files::read_head(&self.path, 132).is_ok_and(|head| dicom::is_dicom(&head))
    }

    /// What a picture derived from this one states of its file.
    ///
    /// # Errors
    /// As [`dicom::origin`].
    pub fn origin(&self) -> Result<dicom::Origin> {
        dicom::origin(&self.path)
    }

    /// Its frame, counted from 0, where its file has several.
    pub fn frame_of_several(&self) -> Option<u32> {
        self.is_one_of_several.then_some(self.frame)
    }
}

/// Name and reason of a file that cannot be read.
pub type Refused = (String, String);

/// Pictures that were read, in the order of their names, and those that were not.
#[derive(Default)]
pub struct Read {
    /// Names of their files.
    pub names: Vec<String>,
    /// As read, resized to squares of 0 to 255.
    pub squares: Vec<Pixels>,
    /// Size of each original, in pixels and bytes.
    pub acquisition: Vec<Acquisition>,
    /// What a method asks for beside squares, for each.
    pub views: Vec<Arc<[Pixels]>>,
    /// Those that were not read.
    pub refused: Vec<Refused>,
}

/// What files become.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Side of the squares, in pixels.
    pub side: usize,
    /// How a method's authors prepare files, where it asks for that; else files are stretched as for a pixel store.
    pub from_files: Option<FromFiles>,
}

impl Shape {
    /// Squares as in a pixel store.
    pub fn squares(side: usize) -> Shape {
        Shape { side, from_files: None }
    }

    fn square(&self, picture: &Pixels) -> Pixels {
        match &self.from_files {
            Some(FromFiles { filter, .. }) => filter.resize(picture, self.side, self.side),
            None => resize::lanczos(picture, self.side, self.side),
        }
    }

    fn makes_views(&self) -> bool {
        self.from_files.as_ref().is_some_and(|from_files| from_files.views.is_some())
    }

    fn made(&self, path: &Path, picture: &Pixels, role: Role) -> Result<Made> {
        let file_bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
        let (width, height) = (picture.width() as u32, picture.height() as u32);
        let make = self.from_files.as_ref().and_then(|from_files| from_files.views.as_ref());
        Ok(Made {
            square: self.square(picture).to_rgb(),
            views: make.map(|make| make(&picture.to_rgb(), role)).transpose()?,
            acquisition: Acquisition { width, height, file_bytes },
        })
    }
}

/// What became of one picture.
struct Made {
    square: Pixels,
    views: Option<Vec<Pixels>>,
    acquisition: Acquisition,
}

/// Checks that there is a folder or a file of pictures at `path`.
///
/// # Errors
/// If there is nothing, or something else, such as a named pipe.
pub fn require(path: &Path) -> Result<()> {
    ensure!(path.exists(), "there is no file or folder {}", path.display());
    ensure!(path.is_dir() || path.is_file(), "{} is neither a folder nor a file", path.display());
    Ok(())
}

/// Every picture below a folder, frame by frame, or those of one file; and files whose header cannot be read, with
/// the reason.
///
/// # Errors
/// If the folder cannot be listed or holds no file.
pub fn list(path: &Path) -> Result<(Vec<Entry>, Vec<Refused>)> {
    require(path)?;
    let (folder, files::Scan { files: names, rejected }) = match path.is_dir() {
        true => (path, files::scan(path)?),
        false => (path.parent().unwrap_or(path), alone(path)?),
    };
    ensure!(!(names.is_empty() && rejected.is_empty()), "{} holds no file", folder.display());
    let entries = |name: &String| {
        let path = folder.join(name);
        let count = decode::n_frames(&path, &Reading::default())
            .map_err(|error| (name.clone(), format!("{error:#}")))?;
        let entry = |frame: u32| Entry {
            name: if count > 1 { format!("{name}#{frame}") } else { name.clone() },
            path: path.clone(),
            frame,
            is_one_of_several: count > 1,
        };
        Ok((0..count).map(entry).collect::<Vec<_>>())
    };
    let mut found = Vec::new();
    let mut refused: Vec<Refused> = rejected.into_iter().map(|entry| (entry.path, entry.reason)).collect();
    for file in names.par_iter().map(entries).collect::<Vec<Result<_, Refused>>>() {
        match file {
            Ok(entries) => found.extend(entries),
            Err(refusal) => refused.push(refusal),
        }
    }
    Ok((found, refused))
}

/// One file as a folder of it alone would be.
fn alone(path: &Path) -> Result<files::Scan> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has a name that is not UTF-8; rename it", path.display()))?;
    Ok(files::Scan { files: vec![name.to_owned()], rejected: Vec::new() })
}

/// Decodes `entries`, which are to be scored, and brings them to `shape`. A file is opened once for those of its frames that
/// stand beside each other.
pub fn read(entries: &[Entry], shape: &Shape) -> Read {
    read_for(Role::Query, entries, shape)
}

fn read_for(role: Role, entries: &[Entry], shape: &Shape) -> Read {
    let made: Vec<Result<Made>> = match role {
        // Views of references may be made by libtorch, which is called from this thread alone: file by file.
        Role::Reference { .. } if shape.makes_views() => {
            let of_file = |file: &[Entry]| {
                let pictures = decoded(file, &|_, decoded| decoded.pixels).into_iter();
                let made = |picture: Result<Pixels>| shape.made(&file[0].path, &picture?, role);
                pictures.map(made).collect::<Vec<_>>()
            };
            entries.chunk_by(|a, b| a.path == b.path).flat_map(of_file).collect()
        }
        _ => {
            let made = decoded(entries, &|path, decoded| shape.made(path, &decoded.pixels, role));
            made.into_iter().map(Result::flatten).collect()
        }
    };
    let mut read = Read::default();
    for (entry, made) in entries.iter().zip(made) {
        match made {
            Ok(Made { square, views, acquisition }) => {
                read.names.push(entry.name.clone());
                read.squares.push(square);
                read.views.extend(views.map(Arc::from));
                read.acquisition.push(acquisition);
            }
            Err(error) => read.refused.push((entry.name.clone(), format!("{error:#}"))),
        }
    }
    read
}

/// Decodes `entries`, which [`read`] has read, at their own size.
pub fn originals(entries: &[Entry]) -> Vec<Result<Pixels>> {
    decoded(entries, &|_, decoded| decoded.pixels.to_rgb())
}

/// What `make` makes of each picture, given the file's path, as soon as it is decoded.
fn decoded<T: Send>(entries: &[Entry], make: &(dyn Fn(&Path, Decoded) -> T + Sync)) -> Vec<Result<T>> {
    let files: Vec<&[Entry]> = entries.chunk_by(|a, b| a.path == b.path).collect();
    let of_file = |file: &&[Entry]| {
        let path = &file[0].path;
        let frames: Vec<u32> = file.iter().map(|entry| entry.frame).collect();
        decode::map_frames(path, &frames, &Reading::default(), |decoded| Ok(make(path, decoded?)))
            .unwrap_or_else(|error| file.iter().map(|_| Err(anyhow!("{error:#}"))).collect())
    };
    files.par_iter().flat_map_iter(of_file).collect()
}

impl Read {
    /// The pictures as a method takes them.
    pub fn pictures(&self) -> Pictures {
        Pictures {
            acquisition: self.acquisition.clone(),
            views: self.views.clone(),
            ..pictures(&self.squares)
        }
    }
}

/// RGB squares of one size as a method takes them, with nothing known of their files.
pub fn pictures(squares: &[Pixels]) -> Pictures {
    let size = squares.first().map_or(1, Pixels::width) as i64;
    let planes: Vec<u8> = squares.iter().flat_map(Pixels::to_planes).collect();
    let unknown = Acquisition { width: size as u32, height: size as u32, file_bytes: 0 };
    Pictures::new(
        Tensor::from_data_size(&planes, &[squares.len() as i64, 3, size, size], Kind::Uint8),
        vec![unknown; squares.len()],
    )
}

/// All of a folder of references, none of which may be unreadable, for a method with that seed.
///
/// # Errors
/// Names the first picture that cannot be read; a reference that is silently missing would change every score.
pub fn references(folder: &Path, shape: &Shape, seed: u64) -> Result<Read> {
    let (entries, mut refused) = list(folder)?;
    let read = read_for(Role::Reference { seed }, &entries, shape);
    refused.extend(read.refused.iter().cloned());
    if let Some((name, reason)) = refused.first() {
        anyhow::bail!(
            "{} of the pictures in {} cannot be read, such as {name}: {reason}; mend or remove them",
            refused.len(),
            folder.display()
        );
    }
    ensure!(!read.names.is_empty(), "{} holds no picture", folder.display());
    Ok(read)
}

/// Writes name and reason of files to `path`, and says what `happened` to them, such as "could not be read"; where there
/// are none, removes what an earlier run left there, which would say what is no longer true.
///
/// # Errors
/// If the file cannot be written.
pub fn write_refused(path: &Path, refused: &[Refused], happened: &str) -> Result<()> {
    if refused.is_empty() {
        return files::remove_if_there(path);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["file", "reason"])?;
    for (name, reason) in refused {
        writer.write_record([name, reason])?;
    }
    files::write_whole(path, &writer.into_inner().context("finishing the rejected")?)?;
    println!("{} files {happened}; {} says why", refused.len(), path.display());
    Ok(())
}

/// The stem of `path` with another ending, beside it.
///
/// # Errors
/// A path without a file name, or with one that is not UTF-8.
pub fn beside(path: &Path, ending: &str) -> Result<PathBuf> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let stem = stem.with_context(|| format!("{} has no name", path.display()))?;
    Ok(path.with_file_name(format!("{stem}.{ending}")))
}
