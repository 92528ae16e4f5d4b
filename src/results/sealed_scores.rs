//! All scores and settings of a run under one hash, to be deposited before labels are opened.
//!
//! Whoever deposits the hash cannot choose among scores afterwards: a cell whose scores or settings are others no longer
//! matches, and a cell that came later is in no seal. Labels and findings are not part of it, so that it is the same
//! before and after they are opened.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Cell, Score, Seed, StoredCell};
use crate::files;
use crate::ids::{CellId, TaskName};
use crate::metric::Metric;
use crate::protocol::Protocol;

/// Version of the file; a reader refuses another.
const FORMAT: u32 = 1;

/// What a seal file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRun {
    format: u32,
    /// Version of the program that sealed.
    medfsad: String,
    /// By id.
    cells: Vec<SealedCell>,
    /// BLAKE3 over all of the above, 64 hexadecimal digits: what is deposited.
    root: String,
}

/// One cell's part of a seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCell {
    /// The cell's id, which is a hash of its identity.
    pub cell: CellId,
    /// The method's name.
    pub method: String,
    /// The task held out.
    pub task: TaskName,
    /// Size of the support set.
    pub shots: usize,
    /// Which support set of that size, from 0.
    pub draw: usize,
    /// Of the training.
    pub seed: Seed,
    /// BLAKE3 over the identity, regime, network and weights.
    pub settings: String,
    /// Pictures that were scored.
    pub pictures: u64,
    /// BLAKE3 over the scores ([`lines`]); `None` where the cell had failed.
    pub scores: Option<String>,
}

/// What still matches a seal.
#[derive(Debug, Default)]
pub struct Compared {
    /// Cells that are what was sealed.
    pub matching: Vec<CellId>,
    /// What is not, in sentences.
    pub broken: Vec<String>,
}

impl SealedRun {
    /// Seals finished cells.
    ///
    /// # Errors
    /// No cell, one that is not what was written, or scores that cannot be read.
    pub fn of(cells: &[StoredCell]) -> Result<SealedRun> {
        ensure!(!cells.is_empty(), "there is no finished cell to seal");
        let mut sealed = cells.iter().map(SealedCell::of).collect::<Result<Vec<_>>>()?;
        sealed.sort_by(|a, b| a.cell.cmp(&b.cell));
        let unrooted = SealedRun {
            format: FORMAT,
            medfsad: crate::VERSION.to_owned(),
            cells: sealed,
            root: String::new(),
        };
        Ok(SealedRun { root: unrooted.computed_root(), ..unrooted })
    }

    /// Writes a seal file. One that says the same already stays.
    ///
    /// # Errors
    /// A file that is there and says something else, or that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if path.exists() {
            let earlier = SealedRun::read(path)?;
            ensure!(
                earlier.cells == self.cells,
                "{} seals other scores or settings ({}); a seal is not replaced: name another file with --out",
                path.display(),
                earlier.root
            );
            return Ok(());
        }
        files::write_whole(path, serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// Reads a seal file.
    ///
    /// # Errors
    /// A file that is none, of another format, or not what was written.
    pub fn read(path: &Path) -> Result<SealedRun> {
        let sealed: SealedRun = serde_json::from_str(&files::read_text(path)?)
            .with_context(|| format!("{} is no seal of a run; `seal RUN` writes one", path.display()))?;
        let SealedRun { format, root, .. } = &sealed;
        ensure!(*format == FORMAT, "{} has format {format}, this program reads {FORMAT}", path.display());
        ensure!(
            *root == sealed.computed_root(),
            "{} is not what was written: its parts do not hash to its root; fetch it again from where it was deposited",
            path.display()
        );
        Ok(sealed)
    }

    /// What is deposited: 64 hexadecimal digits.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The cells, by id.
    pub fn cells(&self) -> &[SealedCell] {
        &self.cells
    }

    /// Holds cells against the seal.
    ///
    /// # Errors
    /// Scores that cannot be read.
    pub fn compare(&self, cells: &[StoredCell]) -> Result<Compared> {
        let mut compared = Compared::default();
        let mut found: BTreeMap<&CellId, &StoredCell> =
            cells.iter().map(|cell| (&cell.cell.id, cell)).collect();
        for sealed in &self.cells {
            let what = sealed.words();
            let Some(cell) = found.remove(&sealed.cell) else {
                compared.broken.push(format!("{what} was sealed and is gone"));
                continue;
            };
            if let Some(altered) = cell.cell.altered() {
                compared.broken.push(format!("{what} is not what was sealed: {altered}"));
                continue;
            }
            match sealed.unlike(&SealedCell::of(cell)?) {
                None => compared.matching.push(sealed.cell.clone()),
                Some(how) => compared.broken.push(format!("{what} {how}")),
            }
        }
        for cell in found.into_values() {
            let what = SealedCell::place(&cell.cell).words();
            compared
                .broken
                .push(format!("{what} is not in the seal: it was computed or imported afterwards"));
        }
        Ok(compared)
    }

    fn computed_root(&self) -> String {
        let plain = (self.format, &self.medfsad, &self.cells);
        digest(&serde_json::to_vec(&plain).expect("seals are plain data"))
    }
}

impl SealedCell {
    fn of(cell: &StoredCell) -> Result<SealedCell> {
        let place = SealedCell::place(&cell.cell);
        if let Some(altered) = cell.cell.altered() {
            bail!("{} cannot be sealed: {altered}", place.words());
        }
        if cell.cell.error.is_some() {
            return Ok(place);
        }
        let (scores, threshold) = (cell.scores()?, threshold(cell));
        let text = lines(&scores, threshold);
        Ok(SealedCell { pictures: scores.len() as u64, scores: Some(digest(text.as_bytes())), ..place })
    }

    /// Without scores.
    fn place(cell: &Cell) -> SealedCell {
        let (identity, provenance) = (&cell.identity, &cell.provenance);
        let settings = serde_json::to_vec(&(
            identity,
            provenance.regime,
            &provenance.backbone,
            &provenance.weights,
            &provenance.extension,
            provenance.random_weights,
        ));
        SealedCell {
            cell: cell.id.clone(),
            method: identity.method.clone(),
            task: identity.task.clone(),
            shots: identity.shots,
            draw: identity.draw,
            seed: identity.seed,
            settings: digest(&settings.expect("identities are plain data")),
            pictures: 0,
            scores: None,
        }
    }

    /// What it is called in sentences.
    pub fn words(&self) -> String {
        let SealedCell { cell, method, task, shots, draw, seed, .. } = self;
        format!("cell {cell} ({method} on {task}, {shots} shots, draw {draw}, seed {seed})")
    }

    /// How a cell differs from what was sealed; `None` if it does not.
    fn unlike(&self, now: &SealedCell) -> Option<&'static str> {
        match (&self.scores, &now.scores) {
            _ if self.settings != now.settings => Some("has other settings than were sealed"),
            (None, Some(_)) => Some("had failed when it was sealed and has scores now"),
            (Some(_), None) => Some("had scores when it was sealed and has failed now"),
            (sealed, now) if sealed != now => Some("has other scores than were sealed"),
            _ => (self != now).then_some("is called otherwise than when it was sealed"),
        }
    }
}

/// The scores of a cell as text, one line each, in the order of picture ids and, of a picture, of protocols: id,
/// protocol and the 64 bits of the number in hexadecimal, divided by tabs. A p-value stands under `p-value`, and the threshold
/// that the supports set ends the text under `threshold`.
pub fn lines(scores: &[Score], threshold: Option<f64>) -> String {
    let mut sorted: Vec<&Score> = scores.iter().collect();
    sorted.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    let line = |of: &str, what: &str, value: f64| format!("{of}\t{what}\t{:016x}\n", value.to_bits());
    let mut text = String::new();
    for score in sorted {
        for (protocol, value) in &score.scores {
            text += &line(&score.image_id, protocol.name(), *value);
        }
        text.extend(score.p_value.map(|value| line(&score.image_id, "p-value", value)));
    }
    text.extend(threshold.map(|value| line("supports", "threshold", value)));
    text
}

fn threshold(cell: &StoredCell) -> Option<f64> {
    cell.metric(Protocol::RANKED, Metric::ImagePresetThreshold)?.value
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
