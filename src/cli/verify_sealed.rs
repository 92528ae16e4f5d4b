//! `verify --seal`: whether scores are still those that were sealed, and what opened labels say of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::findings::Findings;
use crate::ids::ImageId;
use crate::results::StoredCell;
use crate::results::opened::Labels;
use crate::results::sealed_scores::{Compared, SealedRun};
use crate::trivia::Stored;
use crate::{files, report};

/// A seal, and the labels that open it.
#[derive(clap::Args)]
pub(super) struct Sealed {
    /// Hold scores and settings against this file, which `seal` wrote
    #[arg(long, value_name = "FILE")]
    seal: Option<PathBuf>,
    /// Open these labels, and measure the sealed scores by them: CSV with columns `image_id`, `label` (0 normal, 1
    /// anomalous) and, if findings are to be told, `finding`
    #[arg(long, value_name = "FILE", requires = "seal", requires = "board")]
    labels: Option<PathBuf>,
    /// New folder for the measured run and its report
    #[arg(long, value_name = "DIR", requires = "labels")]
    board: Option<PathBuf>,
}

/// Beside a board: by which seal and labels it was measured.
#[derive(Serialize)]
struct Opened<'a> {
    /// The seal's root.
    seal: &'a str,
    /// The file's last name and SHA-256.
    labels: String,
    labels_sha256: String,
    /// Cells that were sealed, those of them that are on the board, and those that are not: gone, or not what was sealed.
    sealed: usize,
    cells: usize,
    left_out: usize,
}

impl Sealed {
    /// Adds what holds of the seal and what does not; with labels, writes the board.
    ///
    /// # Errors
    /// A seal or labels that cannot be read or do not fit, or a board that cannot be written.
    pub(super) fn check(&self, run: &Path, cells: &[StoredCell], findings: &mut Findings) -> Result<()> {
        let Some(path) = &self.seal else { return Ok(()) };
        let sealed = SealedRun::read(path)?;
        let compared = sealed.compare(cells)?;
        findings.holds.push(format!(
            "{} of {} sealed cells have the scores and settings that were sealed (root {})",
            compared.matching.len(),
            sealed.cells().len(),
            sealed.root()
        ));
        let (Some(labels), Some(board)) = (&self.labels, &self.board) else {
            findings.broken.extend(compared.broken);
            return Ok(());
        };
        let opened = open(run, cells, &sealed, &compared, labels, board)?;
        findings.holds.push(opened.0);
        findings.unchecked.extend(opened.1);
        findings.broken.extend(compared.broken);
        Ok(())
    }
}

/// Measures the cells that match; returns what was done, and what a reader should know.
fn open(
    run: &Path,
    cells: &[StoredCell],
    sealed: &SealedRun,
    compared: &Compared,
    path: &Path,
    board: &Path,
) -> Result<(String, Option<String>)> {
    ensure!(!board.exists(), "{} is there already; name a new folder with --board", board.display());
    let labels = Labels::read(path)?;
    let matching: BTreeSet<_> = compared.matching.iter().collect();
    let kept: Vec<&StoredCell> = cells.iter().filter(|cell| matching.contains(&cell.cell.id)).collect();
    ensure!(!kept.is_empty(), "no cell is what was sealed, so there is nothing to measure");
    // All are opened before any is written, so that a fault leaves no half of a board.
    let mut opened = Vec::with_capacity(kept.len());
    let mut scored: BTreeSet<ImageId> = BTreeSet::new();
    for cell in &kept {
        let folder = board.join("cells").join(&cell.cell.id);
        let result = cell.whole()?;
        let result = labels.open(&result, folder).with_context(|| {
            let id = &cell.cell.identity;
            format!("{} does not fit cell {} ({} on {})", path.display(), cell.cell.id, id.method, id.task)
        })?;
        scored.extend(result.scores.iter().map(|score| score.image_id.clone()));
        opened.push(result);
    }
    for result in &opened {
        std::fs::create_dir_all(&result.folder)
            .with_context(|| format!("creating {}", result.folder.display()))?;
        result.write()?;
    }
    if let Some(stored) = Stored::read(run)? {
        let with_label = |row: crate::trivia::Trivia| {
            let label = labels.of(&row.image_id).unwrap_or(row.label);
            crate::trivia::Trivia { label, ..row }
        };
        Stored { rows: stored.rows.into_iter().map(with_label).collect(), ..stored }.write(board)?;
    }
    let note = Opened {
        seal: sealed.root(),
        labels: files::last_name(&path.display().to_string()),
        labels_sha256: files::sha256_of(&[path.to_owned()])?.0,
        cells: opened.len(),
        sealed: sealed.cells().len(),
        left_out: sealed.cells().len() - opened.len(),
    };
    files::write_whole(&board.join("opened.json"), serde_json::to_string_pretty(&note)?.as_bytes())?;
    let page = report::write(board, board)?;
    let unused = labels.unused(&scored);
    let remark =
        (unused > 0).then(|| format!("{unused} of {} labels: no cell scored their pictures", labels.len()));
    Ok((
        format!(
            "{} sealed cells are measured by the labels of {} pictures: {}",
            opened.len(),
            scored.len(),
            page.display()
        ),
        remark,
    ))
}
