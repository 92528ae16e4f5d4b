//! Draws a benchmark: five synthetic tasks in the layouts and formats of the five sources.
//!
//! The pictures are no medical pictures. They let every stage run without data: adapters, label
//! tables, DICOM and JPEG decoding, curation, masks, methods, reports. An ill picture differs from
//! a healthy one by its lesion only; size, exposure and grain are spread alike.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use indicatif::ParallelProgressIterator;
use rayon::prelude::*;

use crate::pixels::Pixels;
use crate::random::Stream;
use crate::{files, progress};

mod aptos;
mod brain;
mod camera;
mod canvas;
mod dicom;
mod encode;
mod file;
mod full;
mod fundus;
mod his;
mod labels;
mod lag;
mod layout;
mod mask;
mod noise;
mod rsna;
mod shape;
mod stacks;

use layout::Subject;
use mask::{Mask, Region};

/// How many pictures of one task are drawn; owners who do not divide get train and test in one folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Healthy pictures for training.
    pub train_normal: usize,
    /// Healthy pictures for testing.
    pub test_normal: usize,
    /// Ill pictures, spread evenly over the task's findings.
    pub anomalous: usize,
    /// Pictures of findings that no task counts: pituitary tumours, films not normal without opacity.
    pub other: usize,
}

impl Default for Counts {
    /// Enough for the spec `phantom`, with a few to spare: 36, 36, 36 and 6.
    fn default() -> Counts {
        Counts { train_normal: 36, test_normal: 36, anomalous: 36, other: 6 }
    }
}

/// How much is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// As many pictures as the settings say, 140 to 220 pixels high.
    #[default]
    Quick,
    /// Every picture and row of the owners' releases, a third as high, without lesion masks: to try selection,
    /// speed and memory at size.
    Full,
    /// Other data: volumes of a few slices with masks, of three tasks, for numbers of studies. The settings' counts do not
    /// hold for it.
    Studies,
}

impl Scale {
    /// What heights are divided by.
    fn shrink(self) -> usize {
        match self {
            Scale::Quick | Scale::Studies => 1,
            Scale::Full => 3,
        }
    }
}

/// What is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Same seed, same bytes.
    pub seed: u64,
    /// The counts below hold for [`Scale::Quick`] only.
    pub scale: Scale,
    /// Lymph-node tiles.
    pub his: Counts,
    /// Fundus pictures, glaucoma.
    pub lag: Counts,
    /// Fundus pictures, retinopathy.
    pub aptos: Counts,
    /// Chest films.
    pub rsna: Counts,
    /// Slices of the brain.
    pub brain_tumor: Counts,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of pictures.
    pub pictures: usize,
    /// Files of lesion masks.
    pub masks: usize,
    /// Label tables.
    pub tables: usize,
    /// Size of the pictures' files.
    pub bytes: u64,
}

/// A finished picture.
struct Drawing {
    pixels: Pixels,
    /// JPEG quality, where the format is JPEG.
    quality: u8,
    mask: Option<Mask>,
}

/// A task of the phantom.
struct Task {
    /// Its name in specs, and of its folder of masks.
    name: &'static str,
    /// The source's folder below the root.
    folder: &'static str,
    counts: fn(&Settings) -> &Counts,
    subjects: fn(&Counts, u64) -> Vec<Subject>,
    /// As the owner released them.
    full: fn(u64) -> Vec<Subject>,
    /// Draws the picture of a finding, given its number within the task.
    draw: fn(&str, usize, Scale, &mut Stream) -> Result<Drawing>,
    tables: fn(&[Written]) -> Result<Vec<labels::Table>>,
}

const TASKS: [Task; 5] = [
    Task {
        name: "his",
        folder: "Camelyon16",
        counts: |settings| &settings.his,
        subjects: layout::camelyon16,
        full: full::camelyon16,
        draw: his::draw,
        tables: labels::none,
    },
    Task {
        name: "lag",
        folder: "LAG",
        counts: |settings| &settings.lag,
        subjects: layout::lag,
        full: full::lag,
        draw: lag::draw,
        tables: labels::none,
    },
    Task {
        name: "aptos",
        folder: "aptos2019",
        counts: |settings| &settings.aptos,
        subjects: layout::aptos,
        full: full::aptos,
        draw: aptos::draw,
        tables: labels::aptos,
    },
    Task {
        name: "rsna",
        folder: "rsna-pneumonia-detection-challenge",
        counts: |settings| &settings.rsna,
        subjects: layout::rsna,
        full: full::rsna,
        draw: rsna::draw,
        tables: labels::rsna,
    },
    Task {
        name: "brain_tumor",
        folder: "brain-tumor-mri-dataset",
        counts: |settings| &settings.brain_tumor,
        subjects: layout::brain_tumor_mri,
        full: full::brain_tumor_mri,
        draw: brain::draw,
        tables: labels::none,
    },
];

/// A picture that is on disk.
struct Written {
    subject: Subject,
    /// The box round each lesion.
    regions: Vec<Region>,
    bytes: u64,
    masked: bool,
}

/// Draws the default counts below `root`; see [`write_with`].
///
/// # Errors
/// If a file cannot be written.
pub fn write(root: &Path, seed: u64) -> Result<Summary> {
    write_with(root, &Settings { seed, ..Settings::default() })
}

/// Draws all five tasks below `root`, with lesion masks under `lesion_masks/<task>/`; at [`Scale::Studies`], volumes instead.
///
/// Same settings, same bytes, for any number of threads. Files of the same name are replaced,
/// others stay, so `root` should hold nothing else.
///
/// # Errors
/// If a file cannot be written.
pub fn write_with(root: &Path, settings: &Settings) -> Result<Summary> {
    if settings.scale == Scale::Studies {
        return stacks::write(root, settings.seed);
    }
    let mut summary = Summary::default();
    for task in &TASKS {
        let written =
            task.write(root, settings).with_context(|| format!("drawing the task {}", task.name))?;
        let tables = (task.tables)(&written)?;
        for table in &tables {
            files::write_unsynced(&root.join(task.folder).join(table.name), &table.bytes)?;
        }
        summary.pictures += written.len();
        summary.masks += written.iter().filter(|picture| picture.masked).count();
        summary.tables += tables.len();
        summary.bytes += written.iter().map(|picture| picture.bytes).sum::<u64>();
    }
    Ok(summary)
}

/// Pictures of one task and finding in memory, by their numbers within the task; same seed, same pictures.
///
/// # Errors
/// A task that the phantom has not.
pub fn samples(task: &str, finding: &str, numbers: Range<usize>, seed: u64) -> Result<Vec<Pixels>> {
    let task = TASKS.iter().find(|known| known.name == task).context("no task of the phantom")?;
    let draw = |index: usize| {
        let mut stream = Stream::new(seed, &format!("phantom {}", task.name), index as u64);
        Ok((task.draw)(finding, index, Scale::Quick, &mut stream)?.pixels)
    };
    numbers.map(draw).collect()
}

/// Draws below `root` unless this very program has done so before; a tree that another version drew, or that
/// was cut short, is drawn anew.
///
/// # Errors
/// If `root` is there and holds something else than a phantom.
pub fn draw_once(root: &Path, settings: &Settings) -> Result<()> {
    let marker = root.join(".drawn-by");
    let made_by = format!("{} {:?} seed {}", crate::CODE_HASH, settings.scale, settings.seed);
    let found = std::fs::read_to_string(&marker).ok();
    if found.as_ref() == Some(&made_by) {
        return Ok(());
    }
    if found.is_some() {
        // Moved first: a clearing cut short must not leave pictures without the marker.
        let old = root.with_file_name(format!(".raw-old-{}", std::process::id()));
        std::fs::rename(root, &old)
            .and_then(|()| std::fs::remove_dir_all(&old))
            .with_context(|| format!("clearing {}", root.display()))?;
    }
    let is_empty = std::fs::read_dir(root).map_or(true, |mut entries| entries.next().is_none());
    ensure!(
        is_empty,
        "{} is there and no phantom of ours; name another folder with --out, or read it with build-dataset --raw",
        root.display()
    );
    files::write_whole(&marker, b"unfinished")?;
    let summary = write_with(root, settings)?;
    files::write_whole(&marker, made_by.as_bytes())?;
    log::info!(
        "drew {} phantom pictures ({} MiB) in {}",
        summary.pictures,
        summary.bytes >> 20,
        root.display()
    );
    Ok(())
}

impl Task {
    fn write(&self, root: &Path, settings: &Settings) -> Result<Vec<Written>> {
        let subjects = match settings.scale {
            Scale::Quick | Scale::Studies => (self.subjects)((self.counts)(settings), settings.seed),
            Scale::Full => (self.full)(settings.seed),
        };
        let bar = progress::bar(subjects.len(), &format!("drawing {}", self.name));
        let subjects: Vec<(usize, Subject)> = subjects.into_iter().enumerate().collect();
        let write = |(index, subject)| self.write_one(root, settings, index, subject);
        subjects.into_par_iter().progress_with(bar.clone()).map(write).collect()
    }

    /// Draws picture `index` from a stream of its own.
    fn write_one(
        &self,
        root: &Path,
        settings: &Settings,
        index: usize,
        mut subject: Subject,
    ) -> Result<Written> {
        let mut stream = Stream::new(settings.seed, &format!("phantom {}", self.name), index as u64);
        let drawing = (self.draw)(subject.finding, index, settings.scale, &mut stream)?;
        let bytes = file::picture(&drawing, &subject, index, &mut stream)?;
        files::write_unsynced(&root.join(self.folder).join(&subject.path), &bytes)?;
        let mask = drawing.mask.as_ref().filter(|_| settings.scale == Scale::Quick);
        if let Some(mask) = mask {
            let path = root.join("lesion_masks").join(self.name).join(&subject.path).with_extension("png");
            files::write_unsynced(&path, &encode::png(&mask.to_pixels()?)?)?;
        }
        let regions = drawing.mask.as_ref().map(|mask| mask.regions().to_vec()).unwrap_or_default();
        let regions = match subject.n_boxes.take() {
            Some(count) => full::boxes(&regions, count)?,
            None => regions,
        };
        Ok(Written { subject, regions, bytes: bytes.len() as u64, masked: mask.is_some() })
    }
}
