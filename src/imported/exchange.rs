//! Cells of an import take the place of earlier ones: all or none, after an interruption too.
//!
//! New cells lie whole in `cells-importing`, with a list of what goes and what comes. Then earlier cells are moved to
//! `cells-replaced` and new ones to `cells`. Where a move fails, all are taken back; where the program is stopped
//! between two, the next import into the run finishes them first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::ids::CellId;

const LIST: &str = "exchange.json";

/// Folders of a run between which cells are moved.
pub(super) struct Exchange {
    cells: PathBuf,
    draft: PathBuf,
    aside: PathBuf,
}

/// Cells by their ids; one may be in both lists.
#[derive(Serialize, Deserialize)]
struct Moves {
    old: Vec<CellId>,
    new: Vec<CellId>,
}

impl Exchange {
    /// Of a run's folder. One that was interrupted there is finished.
    ///
    /// # Errors
    /// A folder that cannot be moved or removed.
    pub(super) fn of(run: &Path) -> Result<Exchange> {
        let [cells, draft, aside] =
            ["cells", "cells-importing", "cells-replaced"].map(|folder| run.join(folder));
        let exchange = Exchange { cells, draft, aside };
        let list = exchange.draft.join(LIST);
        if list.exists() {
            let moves: Moves = serde_json::from_str(&files::read_text(&list)?)
                .with_context(|| format!("{} is no list of cells", list.display()))?;
            exchange.forwards(&moves).context("an earlier import was interrupted and cannot be finished")?;
            exchange.sweep()?;
        }
        files::remove_folder_if_there(&exchange.draft)?;
        Ok(exchange)
    }

    /// Where new cells are written first, each in a folder of its id.
    pub(super) fn draft(&self) -> &Path {
        &self.draft
    }

    /// Moves new cells in and old ones out.
    ///
    /// # Errors
    /// A folder that cannot be moved; then all is as before.
    pub(super) fn run(&self, old: Vec<CellId>, new: Vec<CellId>) -> Result<()> {
        let moves = Moves { old, new };
        files::write_whole(&self.draft.join(LIST), &serde_json::to_vec(&moves)?)?;
        if let Err(error) = self.forwards(&moves) {
            self.backwards(&moves).with_context(|| {
                format!("{error:#}; nor can the cells be taken back, which the next import tries to finish")
            })?;
            files::remove_if_there(&self.draft.join(LIST))?;
            return Err(error.context("nothing was imported"));
        }
        self.sweep()
    }

    /// Whatever was moved already stays.
    fn forwards(&self, moves: &Moves) -> Result<()> {
        for folder in [&self.cells, &self.aside] {
            std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        for id in &moves.old {
            // Where the new one of that id lies in the draft no longer, what lies in `cells` is the new one.
            let is_old = self.draft.join(id).exists() || !moves.new.contains(id);
            if is_old && self.cells.join(id).exists() {
                move_cell(id, &self.cells, &self.aside)?;
            }
        }
        let waiting = moves.new.iter().filter(|id| self.draft.join(id).exists());
        waiting.into_iter().try_for_each(|id| move_cell(id, &self.draft, &self.cells))
    }

    fn backwards(&self, moves: &Moves) -> Result<()> {
        let came = moves.new.iter().filter(|id| !self.draft.join(id).exists());
        came.into_iter().try_for_each(|id| move_cell(id, &self.cells, &self.draft))?;
        let went = moves.old.iter().filter(|id| self.aside.join(id).exists());
        went.into_iter().try_for_each(|id| move_cell(id, &self.aside, &self.cells))
    }

    fn sweep(&self) -> Result<()> {
        files::remove_folder_if_there(&self.aside)?;
        files::remove_folder_if_there(&self.draft)
    }
}

fn move_cell(id: &CellId, from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join(id), to.join(id));
    std::fs::rename(&from, &to).with_context(|| format!("moving {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with cells `a` and `b`; new ones `b` and `c` are written.
    fn run() -> (tempfile::TempDir, Exchange) {
        let folder = tempfile::tempdir().expect("a folder");
        let exchange = Exchange::of(folder.path()).expect("nothing to finish");
        for (parent, id) in
            [("cells", "a"), ("cells", "b"), ("cells-importing", "b"), ("cells-importing", "c")]
        {
            write(&folder.path().join(parent).join(id), parent);
        }
        (folder, exchange)
    }

    fn write(folder: &Path, text: &str) {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(folder.join("cell.json"), text).expect("a file");
    }

    fn ids(of: &[&str]) -> Vec<CellId> {
        of.iter().map(|id| CellId::new(*id)).collect()
    }

    /// What lies in `cells`, and what was written there.
    fn there(run: &Path) -> Vec<(String, String)> {
        let id = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry");
        let mut found: Vec<(String, String)> = std::fs::read_dir(run.join("cells"))
            .expect("cells")
            .map(id)
            .map(|entry| {
                let text = std::fs::read_to_string(entry.path().join("cell.json")).unwrap_or_default();
                (entry.file_name().display().to_string(), text)
            })
            .collect();
        found.sort();
        found
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect()
    }

    const AFTER: &[(&str, &str)] = &[("b", "cells-importing"), ("c", "cells-importing")];

    #[test]
    fn new_cells_take_the_place_of_old_ones() {
        let (folder, exchange) = run();
        exchange.run(ids(&["a", "b"]), ids(&["b", "c"])).expect("moves");
        assert_eq!(there(folder.path()), pairs(AFTER));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn a_move_that_fails_takes_all_back() {
        let (folder, exchange) = run();
        // What is no cell of an import stands in the way of the last.
        write(&folder.path().join("cells/c"), "other");
        let error = exchange.run(ids(&["a", "b"]), ids(&["b", "c"])).expect_err("c is there");
        assert!(format!("{error:#}").starts_with("nothing was imported: moving "), "{error:#}");
        assert_eq!(there(folder.path()), pairs(&[("a", "cells"), ("b", "cells"), ("c", "other")]));
    }

    #[test]
    fn an_interrupted_exchange_is_finished_wherever_it_stopped() {
        let moves = [("cells", "a", "cells-replaced"), ("cells", "b", "cells-replaced")];
        let moves: Vec<_> = moves.into_iter().chain([("cells-importing", "b", "cells")]).collect();
        for n in 0..=moves.len() {
            let (folder, exchange) = run();
            let list = Moves { old: ids(&["a", "b"]), new: ids(&["b", "c"]) };
            let list = serde_json::to_vec(&list).expect("a list");
            std::fs::write(exchange.draft().join(LIST), list).expect("a list");
            std::fs::create_dir(folder.path().join("cells-replaced")).expect("a folder");
            for (from, id, to) in &moves[..n] {
                let [from, to] = [from, to].map(|parent| folder.path().join(parent));
                move_cell(&CellId::new(*id), &from, &to).expect("a move");
            }
            Exchange::of(folder.path()).expect("it is finished");
            assert_eq!(there(folder.path()), pairs(AFTER), "stopped after {n} moves");
        }
    }
}
