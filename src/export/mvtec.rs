//! Folders in the layout of MVTec AD: `TASK/train/good`, `TASK/test/FINDING`, `TASK/ground_truth/FINDING`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use rayon::prelude::*;

use super::card;
use super::classes::Classes;
use crate::decode::resize::RESIZE_ID;
use crate::ids::TaskName;
use crate::manifest::store::PixelStore;
use crate::manifest::{Header, Label, Manifest, MaskKind, Row};
use crate::spec::Spec;
use crate::{files, progress};

/// How pictures come into the folders.
pub enum Pictures<'a> {
    /// The standardised ones of this side, as PNG.
    Standardised(usize),
    /// Links to the owners' files below this folder.
    Links(&'a Path),
}

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files of pictures.
    pub pictures: usize,
    /// Files of masks.
    pub masks: usize,
    /// Anomalous pictures of the test side that have no mask here.
    pub without_mask: usize,
    /// Tasks whose pictures they are.
    pub tasks: BTreeSet<TaskName>,
}

/// Pictures that are written at once, by several threads.
const BATCH: usize = 1 << 12;

/// Endings of files that hold one plain picture.
const PLAIN: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

/// Writes every picture of the curated folder `from` under its `image_id`. Masks that were drawn by pixel come along, and
/// with `boxes` also those made from boxes. The folder appears whole or not at all. Rows are not held in memory together.
///
/// # Errors
/// A folder that is not curated, `out` if it is there and not empty, or a picture that cannot be linked.
pub fn write(from: &Path, spec: &Spec, pictures: &Pictures, boxes: bool, out: &Path) -> Result<Written> {
    let is_free = std::fs::read_dir(out).map_or(!out.exists(), |mut entries| entries.next().is_none());
    ensure!(
        is_free,
        "{} is there and not empty; name another folder with --out, or remove it",
        out.display()
    );
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let draft = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)
        .with_context(|| format!("writing below {}", parent.display()))?;
    let mut findings: BTreeMap<TaskName, BTreeSet<String>> = BTreeMap::new();
    let header = Manifest::visit(from, |row| {
        let of_task = findings.entry(row.task).or_default();
        of_task.extend((row.label != Label::Normal).then_some(row.finding));
    })?;
    let bar = progress::bar(header.n_rows as usize, "exporting pictures");
    let export =
        Export { from, header: &header, findings: &findings, pictures, boxes, out: draft.path(), bar };
    let written = export.write()?;
    let mut terms =
        format!("# Whose pictures these are\n\nExported from manifest `{}`.\n", header.canonical_hash);
    for task in spec.tasks.iter().filter(|task| draft.path().join(&task.name).is_dir()) {
        terms += &card::source(task);
    }
    files::write_whole(&draft.path().join("TERMS.md"), terms.as_bytes())?;
    if out.exists() {
        std::fs::remove_dir(out).with_context(|| format!("replacing {}", out.display()))?;
    }
    let draft = draft.keep();
    std::fs::rename(&draft, out)
        .with_context(|| format!("moving {} to {}", draft.display(), out.display()))?;
    Ok(written)
}

/// What is exported, how and whereto.
struct Export<'a> {
    from: &'a Path,
    header: &'a Header,
    /// Of each task's anomalous pictures.
    findings: &'a BTreeMap<TaskName, BTreeSet<String>>,
    pictures: &'a Pictures<'a>,
    boxes: bool,
    out: &'a Path,
    bar: progress::Bar,
}

impl Export<'_> {
    fn write(&self) -> Result<Written> {
        let mut written = Written::default();
        let mut batch: Vec<Row> = Vec::new();
        let mut outcome = Ok(());
        Manifest::visit(self.from, |row| {
            if outcome.is_err() {
                return;
            }
            if batch.len() == BATCH || batch.last().is_some_and(|last| last.task != row.task) {
                outcome = self.write_batch(&std::mem::take(&mut batch), &mut written);
            }
            batch.push(row);
        })?;
        outcome?;
        self.write_batch(&batch, &mut written)?;
        self.bar.finish_and_clear();
        Ok(written)
    }

    /// Rows of one task.
    fn write_batch(&self, rows: &[Row], written: &mut Written) -> Result<()> {
        let Some(Row { task, .. }) = rows.first() else { return Ok(()) };
        let classes = Classes::named(self.findings[task].iter().map(String::as_str).collect());
        let root = self.out.join(task);
        let folder = Folder { root, pictures: self.pictures, boxes: self.boxes, classes };
        let store = match *self.pictures {
            Pictures::Standardised(size) => {
                self.header.pixels(self.from, task, size)?;
                Some(PixelStore::open(self.from, task, size, RESIZE_ID, &rows.iter().collect::<Vec<_>>())?)
            }
            Pictures::Links(_) => None,
        };
        let write = |row: &Row| -> Result<(bool, bool)> {
            self.bar.inc(1);
            let write = || folder.write(row, store.as_ref());
            write().with_context(|| format!("{} of task {task}", row.source_path))
        };
        let done: Vec<(bool, bool)> = rows.par_iter().map(write).collect::<Result<_>>()?;
        for (row, (has_mask, is_test)) in rows.iter().zip(done) {
            written.pictures += 1;
            written.masks += usize::from(has_mask);
            written.without_mask += usize::from(is_test && !has_mask && row.label == Label::Anomalous);
        }
        written.tasks.insert(task.clone());
        Ok(())
    }
}

/// The folder of one task.
struct Folder<'a> {
    root: PathBuf,
    pictures: &'a Pictures<'a>,
    boxes: bool,
    classes: Classes<'a>,
}

impl Folder<'_> {
    /// Writes picture and mask; tells whether there was a mask, and whether it is one of the test side.
    fn write(&self, row: &Row, store: Option<&PixelStore>) -> Result<(bool, bool)> {
        let class = self.classes.name(row);
        let (split, id) = (row.split.name(), &row.image_id);
        let picture = |ending: &str| self.root.join(split).join(class).join(format!("{id}.{ending}"));
        let mask = self.root.join("ground_truth").join(class).join(format!("{id}_mask.png"));
        let is_wanted = match row.mask_kind {
            Some(MaskKind::Pixels) => true,
            Some(MaskKind::Boxes) => self.boxes,
            None => false,
        };
        let is_test = split == "test";
        let hash = row.mask_hash.as_ref().filter(|_| is_wanted && is_test && row.label == Label::Anomalous);
        match (self.pictures, store) {
            (Pictures::Standardised(size), Some(store)) => {
                let pixels = store.pixels(&row.pixel_hash)?;
                png(&picture("png"), pixels.samples(), *size, ExtendedColorType::Rgb8)?;
                if let Some(hash) = hash {
                    png(&mask, store.mask(hash)?, *size, ExtendedColorType::L8)?;
                }
                Ok((hash.is_some(), is_test))
            }
            (Pictures::Links(raw), _) => {
                let ending = plain_ending(&row.source_path).with_context(|| {
                    format!("it cannot be linked, only {} can; leave --link out", PLAIN.join(", "))
                })?;
                link(&raw.join(&row.source_path), &picture(&ending))?;
                let path = row.mask_path.as_ref().filter(|path| hash.is_some() && path.ends_with(".png"));
                if let Some(path) = path {
                    link(&raw.join(path), &mask)?;
                }
                Ok((path.is_some(), is_test))
            }
            (Pictures::Standardised(_), None) => unreachable!("standardised pictures come from a store"),
        }
    }
}

fn plain_ending(path: &str) -> Option<String> {
    let ending = Path::new(path).extension()?.to_str()?.to_lowercase();
    PLAIN.contains(&ending.as_str()).then_some(ending)
}

fn png(path: &Path, samples: &[u8], size: usize, color: ExtendedColorType) -> Result<()> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(samples, size as u32, size as u32, color)?;
    files::write_unsynced(path, &bytes)
}

fn link(target: &Path, path: &Path) -> Result<()> {
    let target = std::path::absolute(target)?;
    ensure!(target.is_file(), "{} is not there; correct --raw", target.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    std::os::unix::fs::symlink(&target, path).with_context(|| format!("linking {}", path.display()))
}

/// Restrictions of tasks, for the terminal.
pub fn restrictions(tasks: &BTreeSet<TaskName>, spec: &Spec) -> BTreeMap<TaskName, String> {
    let used = spec.tasks.iter().filter(|task| tasks.contains(&task.name));
    used.map(|task| (task.name.clone(), task.card.restrictions.clone())).collect()
}
