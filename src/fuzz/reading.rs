//! Reading as the program reads.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::Family;
use crate::decode::resize::RESIZE_ID;
use crate::decode::{frames, mask_frames, n_frames};
use crate::episode::Episodes;
use crate::files;
use crate::manifest::store::PixelStore;
use crate::manifest::{Header, MANIFEST, Manifest};
use crate::results::{Epoch, Measured, Score, gallery, read_run};
use crate::spec::{Axis, Intensity, Reading, Spec};
use crate::table::{Record, Table};

/// Frames that are decoded of one file, at most.
const N_FRAMES: u32 = 16;

/// Reads the input `path` in `folder`.
///
/// # Errors
/// Why it is refused.
pub fn read(family: Family, folder: &Path, path: &Path, index: u64) -> Result<()> {
    match family {
        Family::Png | Family::Jpeg | Family::Bmp | Family::Tiff | Family::Dicom | Family::Nifti => {
            picture(path, index)
        }
        Family::Manifest => {
            let manifest = Manifest::read(folder);
            Table::read(&Header::read(folder)?.table(folder, MANIFEST)?)?.to_csv()?;
            manifest.map(drop)
        }
        Family::Spec => Spec::parse(&files::read_text(path)?).map(drop),
        Family::Store => {
            let store =
                PixelStore::open(folder, super::originals::TASK, super::originals::SIDE, RESIZE_ID, &[])?;
            for key in super::originals::KEYS {
                store.pixels(key)?;
                store.mask(key)?;
            }
            Ok(())
        }
        Family::Episodes => Episodes::read(folder).map(drop),
        Family::Results => {
            let cells = read_run(folder)?;
            let pictures = path.parent().map(|cell| cell.join("gallery.safetensors"));
            pictures.filter(|path| path.exists()).map(|path| gallery::read(&path)).transpose()?;
            ensure!(!cells.is_empty(), "no cell is whole");
            match cells.iter().find_map(|result| Some((result, result.cell.altered()?))) {
                None => Ok(()),
                Some((result, altered)) => {
                    // Its tables are parsed all the same: whoever fits the hash gets them parsed too.
                    let tables = ["scores.parquet", "metrics.parquet", "epochs.parquet"]
                        .map(|name| result.folder.join(name));
                    Score::read(&tables[0])
                        .and(Measured::read(&tables[1]).map(drop))
                        .and(Epoch::read(&tables[2]).map(drop))?;
                    bail!("{altered}")
                }
            }
        }
        Family::Weights => weights(path),
    }
}

/// As a source lists it and curation decodes it, also as a mask.
fn picture(path: &Path, index: u64) -> Result<()> {
    let intensity = match index % 3 {
        0 => Intensity::Percentiles { low: 1.0, high: 99.0 },
        1 => Intensity::MinMax,
        _ => Intensity::Stated,
    };
    let reading =
        Reading { intensity, axis: if index.is_multiple_of(2) { Axis::Axial } else { Axis::Coronal } };
    let count = n_frames(path, &reading)?;
    let wanted: Vec<u32> = (0..count.min(N_FRAMES)).chain([count.saturating_sub(1)]).collect();
    let masks = mask_frames(path, &wanted, &reading);
    for frame in frames(path, &wanted, &reading)? {
        frame?;
    }
    // A picture in colour is no mask of DICOM, and that is no fault of the file.
    drop(masks);
    Ok(())
}

#[cfg(feature = "torch")]
fn weights(path: &Path) -> Result<()> {
    crate::network::weights::read(path).map(drop)
}

#[cfg(not(feature = "torch"))]
fn weights(_: &Path) -> Result<()> {
    anyhow::bail!("a program without libtorch has no networks")
}
