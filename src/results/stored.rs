//! A finished cell on disk. Its scores and epochs, which are most of it, are read where they are used: a report over
//! thousands of cells does not hold them together.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{
    Cell, CellResult, EPOCHS, Epoch, KeptMaps, MAPS, METRICS, Measured, SCORES, Score, Seal, find,
    read_sealed,
};
use crate::metric::Metric;
use crate::protocol::Protocol;
use crate::table::Record;

/// What a cell says and its metrics; the rest is read when it is asked for.
///
/// ```no_run
/// use std::path::Path;
///
/// use medfsad::metric::Metric;
/// use medfsad::protocol::Protocol;
///
/// for stored in medfsad::results::read_run(Path::new("reports/quick"))? {
///     let identity = &stored.cell.identity;
///     let auroc = stored.metric(Protocol::RANKED, Metric::RANKED).and_then(|metric| metric.value);
///     println!("{} {} {} shots: {auroc:?}", identity.method, identity.task, identity.shots);
///     println!("{} pictures", stored.scores()?.len());
/// }
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StoredCell {
    /// What `cell.json` says.
    pub cell: Cell,
    /// One row per protocol and metric; empty if the cell failed.
    pub metrics: Vec<Measured>,
    /// The cell's folder, `cells/<id>`.
    pub folder: PathBuf,
    /// Hashes of the files, as `cell.json` states them.
    pub seal: Seal,
}

impl StoredCell {
    /// Opens a finished cell. One that is not what was written has an error that says so, and no numbers.
    ///
    /// # Errors
    /// A file that is missing or cannot be read, or another format.
    pub fn read(folder: &Path) -> Result<StoredCell> {
        let (cell, seal) = read_sealed(folder)?;
        let mut stored = StoredCell { cell, metrics: Vec::new(), folder: folder.to_owned(), seal };
        stored.metrics = stored.table(METRICS)?;
        Ok(stored)
    }

    /// The value of a metric under a protocol, if the cell has it and it is defined.
    pub fn metric(&self, protocol: Protocol, metric: Metric) -> Option<&Measured> {
        find(&self.metrics, protocol, metric)
    }

    /// One row per test picture; empty if the cell failed.
    ///
    /// # Errors
    /// A file that cannot be read, or is no longer what was written.
    pub fn scores(&self) -> Result<Vec<Score>> {
        self.table(SCORES)
    }

    /// One row per figure of each epoch; empty if the cell failed or nothing was trained.
    ///
    /// # Errors
    /// As [`StoredCell::scores`].
    pub fn epochs(&self) -> Result<Vec<Epoch>> {
        self.table(EPOCHS)
    }

    /// The maps of its pictures, if they were kept.
    ///
    /// # Errors
    /// As [`StoredCell::scores`].
    pub fn maps(&self) -> Result<Option<KeptMaps>> {
        if self.cell.error.is_some() || self.seal.files.get(MAPS).is_none() {
            return Ok(None);
        }
        KeptMaps::read(&self.seal.files.check(&self.folder, MAPS)?).map(Some)
    }

    /// Everything at once.
    ///
    /// # Errors
    /// As [`StoredCell::scores`].
    pub fn whole(&self) -> Result<CellResult> {
        Ok(CellResult {
            cell: self.cell.clone(),
            scores: self.scores()?,
            metrics: self.metrics.clone(),
            epochs: self.epochs()?,
            folder: self.folder.clone(),
        })
    }

    fn table<T: Record>(&self, name: &str) -> Result<Vec<T>> {
        match &self.cell.error {
            Some(_) => Ok(Vec::new()),
            None => T::read(&self.seal.files.check(&self.folder, name)?),
        }
    }
}
