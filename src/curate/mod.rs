//! Select, split by patient, standardise, store: from raw folders to a manifest.

use std::path::Path;

use anyhow::{Context, Result, bail};

use ids::IdList;

use crate::export::card;
use crate::files;
use crate::manifest::{self, Header, MANIFEST, REJECTED, Rejected, Row, SELECTION, Selection};
use crate::pseudonym::Key;
use crate::spec::Spec;
use crate::table::{Record, Seals};

/// The loop of drawing and decoding.
mod curation;
mod draw;
/// Selections as text.
pub mod ids;
/// Rows and counts of what was drawn.
mod record;
/// Which pictures are drawn.
pub mod select;
/// Published divisions made by shuffling.
pub mod shuffle;
/// One decoded picture to standardised ones.
mod standardise;
/// How pictures were taken.
mod taken;
/// One task from listing to rows.
pub mod task;

/// What to build, from where, to where.
///
/// ```no_run
/// use std::path::Path;
///
/// use medfsad::curate::{Request, build};
/// use medfsad::pseudonym::Key;
/// use medfsad::spec::Spec;
///
/// let spec = Spec::load("medfsad")?;
/// let (raw, out, key) = (Path::new("raw"), Path::new("curated"), &Key::own()?);
/// let request = Request { spec: &spec, raw, out, partial: false, key };
/// let outcome = build(&request)?;
/// println!("{} pictures, {} rejected", outcome.header.n_rows, outcome.header.n_rejected);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Request<'a> {
    /// The benchmark to curate.
    pub spec: &'a Spec,
    /// Holds the sources' folders.
    pub raw: &'a Path,
    /// Receives `manifest.parquet` and what belongs to it.
    pub out: &'a Path,
    /// Go on without what is missing, and say so, instead of stopping.
    pub partial: bool,
    /// Of the pseudonyms of patients, groups and studies.
    pub key: &'a Key,
}

/// What came of it.
pub struct Outcome {
    /// What `manifest.json` says.
    pub header: Header,
    /// Per task and part: how many were asked for, were available and were taken.
    pub selection: Vec<Selection>,
    /// One row per refused file or frame, with the reason.
    pub rejected: Vec<Rejected>,
    /// Sentences for the user: differences from the owners' totals, missing folders, shortfalls.
    pub remarks: Vec<String>,
}

/// Curates a whole benchmark.
///
/// Finished tasks are kept in `out/parts` and taken up again if a run was stopped; they are made anew when
/// the spec, the files or this program's curation changed.
///
/// # Errors
/// A missing source folder or too few pictures, unless `partial`; the text lists each and how to get it.
pub fn build(request: &Request) -> Result<Outcome> {
    build_from(request, None)
}

/// As [`build`], with the pictures and sides of an id list instead of a draw.
///
/// # Errors
/// Also if a listed picture is missing, is not the file of the list, or cannot be decoded.
pub fn replay(request: &Request, ids: &IdList) -> Result<Outcome> {
    build_from(request, Some(ids))
}

fn build_from(request: &Request, ids: Option<&IdList>) -> Result<Outcome> {
    let Request { spec, raw, partial, .. } = *request;
    let (present, absent): (Vec<_>, Vec<_>) =
        spec.tasks.iter().partition(|task| raw.join(&task.folder).is_dir());
    let mut remarks: Vec<String> = absent
        .iter()
        .map(|task| {
            let folder = raw.join(&task.folder);
            format!("{}: no folder {}; how to get it: {}", task.name, folder.display(), task.card.how_to_get)
        })
        .collect();
    if present.is_empty() || !remarks.is_empty() && !partial {
        let hint = "put it there, correct --raw, or build the rest with --partial";
        bail!(
            "{} of {} sources are missing:\n  {}\n{hint}",
            remarks.len(),
            spec.tasks.len(),
            remarks.join("\n  ")
        );
    }
    let (mut rows, mut rejected, mut selection) = (Vec::new(), Vec::new(), Vec::new());
    let mut pixels = Seals::default();
    for task in present {
        let part = task::curate(request, task, ids).with_context(|| format!("task `{}`", task.name))?;
        rows.extend(part.rows);
        rejected.extend(part.rejected);
        selection.extend(part.selection);
        pixels = pixels.and(part.pixels);
        remarks.extend(part.differences.iter().map(|difference| format!("{}: {difference}", task.name)));
    }
    let short = shortfalls(&selection);
    if !short.is_empty() && !partial {
        let notes: String = remarks.iter().map(|remark| format!("\nnote: {remark}")).collect();
        bail!(
            "too few pictures:\n  {}\nadd data, correct findings or counts in the spec, or accept fewer with \
             --partial{notes}",
            short.join("\n  ")
        );
    }
    remarks.extend(short);
    let header = write(request, &mut rows, &rejected, &selection, pixels)?;
    remarks.extend(ids.and_then(|ids| ids.differs_from(&header)));
    Ok(Outcome { header, selection, rejected, remarks })
}

fn shortfalls(selection: &[Selection]) -> Vec<String> {
    let shortfall = |row: &Selection| match row.expected {
        Some(expected) if row.found < expected => Some(format!(
            "{} {}: {} of {expected} ({} available)",
            row.task, row.part, row.found, row.available
        )),
        // All there are, of which there must be some: a finding that matches nothing is misspelt, or its folder empty.
        None if row.available == 0 => Some(format!("{} {}: none available", row.task, row.part)),
        _ => None,
    };
    selection.iter().filter_map(shortfall).collect()
}

fn write(
    request: &Request,
    rows: &mut [Row],
    rejected: &[Rejected],
    selection: &[Selection],
    pixels: Seals,
) -> Result<Header> {
    let Request { spec, raw, out, .. } = *request;
    let header = Header {
        n_rejected: rejected.len() as u64,
        pixels,
        ..Header::of(rows, (&spec.name, spec.version), &spec.title, &spec.sizes)
    };
    Row::write(&out.join(MANIFEST), rows)?;
    Rejected::write(&out.join(REJECTED), rejected)?;
    Selection::write(&out.join(SELECTION), selection)?;
    files::write_whole(&out.join("spec.toml"), toml::to_string(spec)?.as_bytes())?;
    files::write_whole(&out.join("card.md"), card::markdown(spec, &header, selection).as_bytes())?;
    let raw = std::path::absolute(raw).context("the raw folder")?;
    files::write_whole(&out.join(manifest::RAW), &serde_json::to_vec(&raw)?)?;
    // Last, because its presence says that the rest is there.
    header.write(out, &[MANIFEST, REJECTED, SELECTION])
}
