//! CONTRACT: `trivia.parquet`, one row for each test picture: numbers that know nothing of what the picture shows.
//!
//! A control looks at one of them and takes more of it for anomalous. The joint control takes all together, and learns
//! from the test pictures' own labels how much each tells: an upper bound of what trivia tell, which no method may
//! know. So it is no method: it is computed here, from numbers and labels, beside the methods and after them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::ids::{ImageId, TaskName};
use crate::manifest::{Label, Manifest, Row, Split};
use crate::metric::two_level::Sample;
use crate::pixels::Pixels;
use crate::table::{Record, Seals, Table, record};

/// How much trivia tell together.
pub mod joint;

/// Version of the files; a reader refuses another, but for the first.
const FORMAT: u32 = 2;
/// The version that does not say how pictures were taken.
const UNTAKEN: u32 = 1;
const TABLE: &str = "trivia.parquet";
const HEADER: &str = "trivia.json";

record! {
/// The trivial numbers of one test picture. Dates of files are not among them: they tell of copying.
#[derive(Clone, Debug, PartialEq)]
pub struct Trivia {
    /// Stable id of the picture, as in the manifest.
    pub image_id: ImageId,
    /// Task of the benchmark.
    pub task: TaskName,
    /// 0 normal, 1 anomalous; null where it is not opened.
    pub label: Label,
    /// The patient, or what else holds pictures that belong together; null where that is not known.
    pub group: Option<String>,
    /// Size of the owner's file.
    pub file_bytes: u64,
    /// Pixels of the owner's picture.
    pub width: u32,
    /// Pixels of the owner's picture.
    pub height: u32,
    /// Bits a sample in the file.
    pub bits: u16,
    /// Mean of all values of the standardised picture, 0 to 255.
    pub mean: f64,
    /// Their standard deviation.
    pub contrast: f64,
    /// Mean of the outermost sixteenth on each side.
    pub border: f64,
    /// How a film was taken; null where that is not known.
    pub view: Option<String>,
    /// Maker and model of the device; null where that is not known.
    pub scanner: Option<String>,
    /// Where it was taken, as the manifest's pseudonym; null where that is not known.
    pub site: Option<String>,
}
}

/// What stands beside the table.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    manifest_hash: String,
    size: usize,
    tables: Seals,
}

/// The trivia of all test pictures of a benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Over the rows of the manifest that they are of.
    pub manifest_hash: String,
    /// Side of the standardised pictures.
    pub size: usize,
    /// In the manifest's order.
    pub rows: Vec<Trivia>,
}

impl Stored {
    /// Looks at every test picture of a benchmark, at one of its sizes.
    ///
    /// # Errors
    /// A pixel store that is missing, stale or damaged.
    pub fn of(manifest: &Manifest, size: usize) -> Result<Stored> {
        let mut rows = Vec::new();
        for task in manifest.tasks() {
            let task = manifest.task(&task)?;
            let store = task.store(size)?;
            let trivia = |row: &&Row| Ok(Trivia::of_picture(row, &store.pixels(&row.pixel_hash)?));
            rows.extend(task.of(Split::Test).par_iter().map(trivia).collect::<Result<Vec<_>>>()?);
        }
        Ok(Stored { manifest_hash: manifest.header.canonical_hash.clone(), size, rows })
    }

    /// Writes them into a run's folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, run: &Path) -> Result<()> {
        Trivia::write(&run.join(TABLE), &self.rows)?;
        let Stored { manifest_hash, size, .. } = self.clone();
        let header = Header { format: FORMAT, manifest_hash, size, tables: Seals::of(run, &[TABLE])? };
        files::write_whole(&run.join(HEADER), serde_json::to_string_pretty(&header)?.as_bytes())
    }

    /// Those of a run; `None` where nobody has looked at its pictures.
    ///
    /// # Errors
    /// Files that cannot be read or are not what was written.
    pub fn read(run: &Path) -> Result<Option<Stored>> {
        let Some(Header { format, manifest_hash, size, tables }) = header(run)? else { return Ok(None) };
        let lacking: &[&str] = if format == UNTAKEN { &["view", "scanner", "site"] } else { &[] };
        let mut rows = Vec::new();
        Table::visit(&tables.check(run, TABLE)?, |piece| {
            rows.extend(Trivia::of(&lacking.iter().fold(piece, |piece, name| piece.with_null(name)))?);
            Ok(())
        })?;
        Ok(Some(Stored { manifest_hash, size, rows }))
    }

    /// The pictures of one task whose labels are opened.
    pub fn of_task(&self, task: &str) -> Vec<&Trivia> {
        self.rows.iter().filter(|row| row.task == *task && row.label != Label::Unopened).collect()
    }
}

/// Looks at a benchmark's test pictures and writes their trivia into a run's folder, unless they lie there already.
///
/// # Errors
/// As [`Stored::of`] and [`Stored::write`].
pub fn provide(manifest: &Manifest, size: usize, run: &Path) -> Result<()> {
    let is_there = header(run).is_ok_and(|header| {
        header.is_some_and(|header| {
            (header.manifest_hash.as_str(), header.size) == (manifest.header.canonical_hash.as_str(), size)
                && header.tables.check(run, TABLE).is_ok()
        })
    });
    if is_there { Ok(()) } else { Stored::of(manifest, size)?.write(run) }
}

fn header(run: &Path) -> Result<Option<Header>> {
    let path = run.join(HEADER);
    if !path.exists() {
        return Ok(None);
    }
    let header: Header = serde_json::from_str(&files::read_text(&path)?)
        .with_context(|| format!("{} is not a header of trivia; remove it", path.display()))?;
    let format = header.format;
    ensure!(
        (UNTAKEN..=FORMAT).contains(&format),
        "{} has format {format}, this program reads {UNTAKEN} to {FORMAT}; remove it",
        path.display()
    );
    Ok(Some(header))
}

impl Trivia {
    fn of_picture(row: &Row, picture: &Pixels) -> Trivia {
        let (mean, contrast) = moments(picture.samples().iter().copied());
        let (size, channels) = (picture.width(), picture.channels());
        let inner = {
            let edge = (size / 16).max(1);
            edge..size - edge
        };
        let is_outside = |place: usize| {
            let pixel = place / channels;
            !(inner.contains(&(pixel / size)) && inner.contains(&(pixel % size)))
        };
        let samples = picture.samples().iter().enumerate();
        let (border, _) = moments(samples.filter(|(place, _)| is_outside(*place)).map(|(_, value)| *value));
        Trivia {
            image_id: row.image_id.clone(),
            task: row.task.clone(),
            label: row.label,
            group: row.patient_id.clone().or_else(|| row.group_id.clone()),
            file_bytes: row.file_bytes,
            width: row.width,
            height: row.height,
            bits: row.bits,
            mean,
            contrast,
            border,
            view: row.view.clone(),
            scanner: row.scanner.clone(),
            site: row.site.clone(),
        }
    }
}

/// Mean and standard deviation.
fn moments(values: impl Iterator<Item = u8>) -> (f64, f64) {
    let (mut n, mut sum, mut squares) = (0u64, 0u64, 0u64);
    for value in values.map(u64::from) {
        n += 1;
        sum += value;
        squares += value * value;
    }
    let mean = sum as f64 / n as f64;
    (mean, (squares as f64 / n as f64 - mean * mean).max(0.0).sqrt())
}

/// Classes and patients of pictures.
pub fn sample(rows: &[&Trivia]) -> Sample {
    let classes = rows.iter().map(|row| row.label == Label::Anomalous).collect();
    Sample::new(classes, &rows.iter().map(|row| row.group.clone()).collect::<Vec<_>>())
}
