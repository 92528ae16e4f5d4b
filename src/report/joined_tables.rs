//! All cells' rows in one table each, with the columns that say which cell they belong to.

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;

use crate::files;
use crate::ids::{CellId, TaskName};
use crate::results::{Cell, Epoch, Identity, Measured, Provenance, Score, Seed, StoredCell};
use crate::table::{Columns, Described, Heads, Record, Table, record};

record! {
/// Which cell a row belongs to.
#[derive(Clone)]
pub(super) struct CellKey {
    /// The cell's id, which is the name of its folder.
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
}
}

record! {
/// What became of a cell.
pub(super) struct Outcome {
    /// Why there are no scores; null if the cell did not fail.
    pub error: Option<String>,
}
}

/// Writes `cells`, `scores`, `metrics` and `epochs` as parquet, `metrics.csv`, and what their columns hold as
/// `columns.md`, into `folder`. Scores and epochs are read cell by cell and not held together.
///
/// # Errors
/// A cell that cannot be read, or a folder that cannot be written.
pub(super) fn write(results: &[StoredCell], folder: &Path) -> Result<()> {
    cells(results).write(&folder.join("cells.parquet"))?;
    joined(results, StoredCell::scores, &folder.join("scores.parquet"))?;
    joined(results, StoredCell::epochs, &folder.join("epochs.parquet"))?;
    let metrics = folder.join("metrics.parquet");
    joined(results, |result| Ok(result.metrics.clone()), &metrics)?;
    files::write_whole_with(&folder.join("metrics.csv"), |file| {
        let mut heads = Heads::Named;
        Table::visit(&metrics, |piece| {
            piece.write_csv(heads, file)?;
            heads = Heads::LeftOut;
            Ok(())
        })
    })?;
    files::write_whole(&folder.join("columns.md"), described().as_bytes())
}

fn cell_key(cell: &Cell) -> CellKey {
    let Identity { method, task, shots, draw, seed, .. } = cell.identity.clone();
    CellKey { cell: cell.id.clone(), method, task, shots, draw, seed }
}

/// Everything that a cell's `cell.json` says.
fn cells(results: &[StoredCell]) -> Columns {
    let ids = results.iter().map(|result| Some(&result.cell.id));
    let outcomes: Vec<Outcome> =
        results.iter().map(|result| Outcome { error: result.cell.error.clone() }).collect();
    let columns = Columns::default().text("cell", ids);
    let columns = Identity::add(columns, results.iter().map(|result| &result.cell.identity));
    let columns = Provenance::add(columns, results.iter().map(|result| &result.cell.provenance));
    Outcome::add(columns, outcomes.iter())
}

/// Writes rows of one kind, each with the columns of its cell.
fn joined<T: Record>(
    results: &[StoredCell],
    read: impl Fn(&StoredCell) -> Result<Vec<T>>,
    path: &Path,
) -> Result<()> {
    let of_cell = |result: &StoredCell| {
        let key = Rc::new(cell_key(&result.cell));
        let (rows, error) = match read(result) {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        error.into_iter().map(Err).chain(rows.into_iter().map(move |row| Ok((Rc::clone(&key), row))))
    };
    Columns::write_pieces(path, results.iter().flat_map(of_cell), |rows: &[(Rc<CellKey>, T)]| {
        let columns = CellKey::add(Columns::default(), rows.iter().map(|(key, _)| &**key));
        T::add(columns, rows.iter().map(|(_, row)| row))
    })
}

/// What the columns of all tables hold.
fn described() -> String {
    let cell_key = CellKey::columns();
    let cells =
        [cell_key[..1].to_vec(), Identity::columns(), Provenance::columns(), Outcome::columns()].concat();
    let tables = [
        ("cells", cells),
        ("scores", [cell_key.clone(), Score::columns()].concat()),
        ("metrics", [cell_key.clone(), Measured::columns()].concat()),
        ("epochs", [cell_key, Epoch::columns()].concat()),
    ];
    let line = |Described { name, kind, nullable, about }: &Described| {
        let null = if *nullable { ", may be null" } else { "" };
        format!("| `{name}` | {kind}{null} | {about} |\n")
    };
    let table = |(name, columns): (&str, Vec<Described>)| {
        let lines: String = columns.iter().map(line).collect();
        format!("## {name}.parquet\n\n| column | kind | what it holds |\n| --- | --- | --- |\n{lines}")
    };
    tables.map(table).join("\n")
}
