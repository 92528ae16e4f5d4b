//! Whole files, of which damaged ones are made.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{ExtendedColorType, ImageFormat};

use super::{Family, films::films};
use crate::decode::resize::{self, RESIZE_ID};
use crate::episode::{Settings, draw};
use crate::files;
use crate::ids::TaskName;
use crate::manifest::spool::Spool;
use crate::manifest::{Header, Label, MANIFEST, Manifest, Row, Split, image_id, store};
use crate::phantom;
use crate::pixels::Pixels;
use crate::spec::Spec;
use crate::table::Record as _;

/// Of the pixel store.
pub(super) const TASK: &str = "task";
pub(super) const SIDE: usize = 32;
pub(super) const KEYS: [&str; 2] = ["first", "second"];

/// Larger files below the user's folder are passed over.
const MOST_BYTES: u64 = 200_000;

/// A file that is damaged, and those that must lie beside it.
pub struct Original {
    /// Its place in the folder.
    pub place: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Places and contents of the others.
    pub beside: Vec<(String, Vec<u8>)>,
}

impl Original {
    fn alone(place: &str, bytes: Vec<u8>) -> Original {
        Original { place: place.to_owned(), bytes, beside: Vec::new() }
    }
}

/// Files of a family that this program makes itself, and those below `from`.
///
/// # Errors
/// A folder that cannot be listed, or no file at all.
pub fn originals(family: Family, from: Option<&Path>) -> Result<Vec<Original>> {
    ensure!(
        family.is_read(),
        "{family} are read by a program with libtorch alone; `cargo xtask libtorch` fetches it"
    );
    let mut all = match family {
        Family::Png => rasters(ImageFormat::Png)?,
        Family::Jpeg => rasters(ImageFormat::Jpeg)?,
        Family::Bmp => rasters(ImageFormat::Bmp)?,
        Family::Tiff => rasters(ImageFormat::Tiff)?,
        Family::Dicom => films()?,
        Family::Nifti => vec![Original::alone("a.nii", volume())],
        Family::Manifest => whole_folder(|folder| manifest(folder).map(drop))?,
        Family::Spec => {
            vec![Original::alone("a.toml", toml::to_string(&Spec::load("medfsad")?)?.into_bytes())]
        }
        Family::Store => whole_folder(pixels)?,
        Family::Episodes => whole_folder(|folder| {
            let episodes = draw(&manifest(folder)?, Settings { seed: 1, draws: 2, max_shots: 2 })?;
            ["manifest.json", MANIFEST]
                .iter()
                .try_for_each(|name| files::remove_if_there(&folder.join(name)))?;
            episodes.write(folder)
        })?,
        Family::Results => Vec::new(),
        Family::Weights => vec![Original::alone("a.safetensors", tensors()?)],
    };
    if let Some(from) = from {
        all.extend(below(family, from)?);
    }
    ensure!(
        !all.is_empty(),
        "no whole file of the family {family}: name a folder that holds some with --from"
    );
    Ok(all)
}

/// Small grey and coloured pictures.
fn rasters(format: ImageFormat) -> Result<Vec<Original>> {
    let ending = format.extensions_str().first().copied().unwrap_or_default();
    let picture = |pixels: &Pixels| -> Result<Original> {
        let mut bytes = Cursor::new(Vec::new());
        let colour = if pixels.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let (width, height) = (pixels.width() as u32, pixels.height() as u32);
        image::write_buffer_with_format(&mut bytes, pixels.samples(), width, height, colour, format)?;
        Ok(Original::alone(&format!("a.{ending}"), bytes.into_inner()))
    };
    let drawn = small("lag", "non_glaucoma")?;
    drawn.iter().flat_map(|pixels| [picture(pixels), picture(&pixels.to_grey())]).collect()
}

fn small(task: &str, finding: &str) -> Result<Vec<Pixels>> {
    let drawn = phantom::samples(task, finding, 0..2, 1)?;
    Ok(drawn.iter().map(|pixels| resize::lanczos(pixels, SIDE, SIDE + 5)).collect())
}

/// A volume of 5 x 6 x 7 voxels of 16 bits in NIfTI-1.
fn volume() -> Vec<u8> {
    let mut header = vec![0u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    for (place, side) in [3i16, 5, 6, 7, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * place, &side.to_le_bytes());
    }
    // 16 bits, signed; voxels of 1 mm; values from byte 352 on, not scaled; a sform along the axes.
    put(70, &4i16.to_le_bytes());
    put(72, &16i16.to_le_bytes());
    for place in 0..4 {
        put(76 + 4 * place, &1f32.to_le_bytes());
    }
    put(108, &352f32.to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(254, &1i16.to_le_bytes());
    for axis in 0..3 {
        put(280 + 20 * axis, &1f32.to_le_bytes());
    }
    put(344, b"n+1\0");
    header.extend((0..210i16).flat_map(i16::to_le_bytes));
    header
}

/// Every file that `write` leaves in a folder, each beside the others.
fn whole_folder(write: impl FnOnce(&Path) -> Result<()>) -> Result<Vec<Original>> {
    let folder = tempfile::tempdir().context("making a scratch folder")?;
    write(folder.path())?;
    beside_each_other(folder.path(), &files::walk(folder.path())?, "")
}

/// Files of a folder as originals, each beside the others, at their places below `prefix`.
fn beside_each_other(folder: &Path, names: &[String], prefix: &str) -> Result<Vec<Original>> {
    let read = |name: &String| Ok((format!("{prefix}{name}"), files::read(&folder.join(name))?));
    let all: Vec<(String, Vec<u8>)> = names.iter().map(read).collect::<Result<_>>()?;
    let original = |(place, bytes): &(String, Vec<u8>)| Original {
        place: place.clone(),
        bytes: bytes.clone(),
        beside: all.iter().filter(|(other, _)| other != place).cloned().collect(),
    };
    Ok(all.iter().map(original).collect())
}

/// A manifest of eight pictures, written to `folder`.
fn manifest(folder: &Path) -> Result<Manifest> {
    let mut rows: Vec<Row> = (0..8).map(row).collect();
    let header = Header::of(&mut rows, ("fuzz", 1), "made up", &[SIDE]);
    Row::write(&folder.join(MANIFEST), &rows)?;
    let header = header.write(folder, &[MANIFEST])?;
    Ok(Manifest { header, rows, folder: folder.to_owned() })
}

fn row(index: usize) -> Row {
    let source_path = format!("{TASK}/{index}.png");
    Row {
        image_id: image_id(TASK, &source_path, 0),
        task: TaskName::new(TASK),
        organ: "eye".to_owned(),
        modality: "photograph".to_owned(),
        split: if index < 4 { Split::Train } else { Split::Test },
        label: if index < 6 { Label::Normal } else { Label::Anomalous },
        finding: "good".to_owned(),
        patient_id: Some(format!("patient {index}")),
        group_id: None,
        study_id: None,
        series_id: None,
        slice_index: index.is_multiple_of(2).then_some(index as u32),
        source: "folders".to_owned(),
        source_path,
        frame: 0,
        width: 40,
        height: 30,
        bits: 8,
        photometric: "RGB".to_owned(),
        intensity_policy: "as stored".to_owned(),
        repaired: None,
        file_bytes: 1000,
        file_sha256: format!("{index:064x}"),
        pixel_hash: KEYS[index % 2].to_owned(),
        phash: format!("{index:016x}"),
        mask_kind: None,
        mask_path: None,
        mask_hash: None,
        view: None,
        scanner: None,
        site: None,
        spec: "fuzz".to_owned(),
        spec_version: 1,
    }
}

/// A pixel store of two pictures and two masks, written to its place in `folder`.
fn pixels(folder: &Path) -> Result<()> {
    let spool = Spool::new(folder, SIDE)?;
    for (key, picture) in KEYS.iter().zip(phantom::samples("lag", "non_glaucoma", 0..2, 1)?) {
        let square = resize::lanczos(&picture, SIDE, SIDE);
        spool.add_picture(key, &square.to_rgb())?;
        spool.add_mask(key, &square.to_grey().to_mask())?;
    }
    let keys = KEYS.into_iter().collect();
    spool.write(&store::path(folder, TASK, SIDE), RESIZE_ID, &keys, &keys)
}

/// Two tensors in safetensors.
fn tensors() -> Result<Vec<u8>> {
    let values: Vec<u8> = (0..24u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    let view = |shape: &[usize]| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &values)
    };
    Ok(safetensors::serialize([("layer.weight", view(&[4, 6])?), ("layer.bias", view(&[24])?)], None)?)
}

/// Files of a family below a folder, and for results the cells of a run.
fn below(family: Family, from: &Path) -> Result<Vec<Original>> {
    let names = files::walk(from)?;
    if family == Family::Results {
        return cells(from, &names);
    }
    let endings: &[&str] = match family {
        Family::Png => &[".png"],
        Family::Jpeg => &[".jpg", ".jpeg"],
        Family::Bmp => &[".bmp"],
        Family::Tiff => &[".tif", ".tiff"],
        Family::Dicom => &[".dcm"],
        Family::Nifti => &[".nii", ".nii.gz"],
        Family::Spec => &[".toml"],
        Family::Weights => &[".pth", ".pt", ".safetensors"],
        Family::Manifest | Family::Store | Family::Episodes | Family::Results => &[],
    };
    let mut found = Vec::new();
    for name in names {
        let small = name.to_lowercase();
        let Some(ending) = endings.iter().find(|ending| small.ends_with(**ending)) else { continue };
        let path = from.join(&name);
        if files::size(&path)? <= MOST_BYTES {
            found.push(Original::alone(&format!("a{ending}"), files::read(&path)?));
        }
    }
    Ok(found)
}

/// Files of the first few cells of a run, each beside the others of its cell.
fn cells(run: &Path, names: &[String]) -> Result<Vec<Original>> {
    let mut found = Vec::new();
    let is_last = |name: &&String| name.starts_with("cells/") && name.ends_with("/cell.json");
    for name in names.iter().filter(is_last).take(4) {
        let cell = name.trim_end_matches("cell.json");
        let own: Vec<String> =
            names.iter().filter_map(|name| Some(name.strip_prefix(cell)?.to_owned())).collect();
        found.extend(beside_each_other(&run.join(cell), &own, cell)?);
    }
    Ok(found)
}
