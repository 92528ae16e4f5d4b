//! Cells that no table may mix with current ones are set aside, and come back when they are planned again.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::ids::CellId;
use crate::results::{self, Identity};

/// Sets aside cells that no table may mix with current ones, and takes back planned ones that an earlier call
/// set aside; returns how many went. Set aside are cells of other code or data, of another file format, and
/// failed ones that are not planned. They stay in `cells-stale` and can be looked at.
pub(super) fn set_aside(run: &Path, planned: &[CellId], manifest_hash: &str) -> Result<usize> {
    let (cells, aside) = (run.join("cells"), run.join("cells-stale"));
    for id in
        planned.iter().filter(|id| aside.join(id).join("cell.json").exists() && !cells.join(id).exists())
    {
        std::fs::create_dir_all(&cells)?;
        std::fs::rename(aside.join(id), cells.join(id))?;
    }
    let planned: HashSet<&str> = planned.iter().map(CellId::as_str).collect();
    let mut n_moved = 0;
    for entry in std::fs::read_dir(&cells).into_iter().flatten() {
        let folder = entry.with_context(|| format!("listing {}", cells.display()))?.path();
        let name = folder.file_name().and_then(|name| name.to_str());
        let is_planned = name.is_some_and(|name| planned.contains(name));
        if folder.join("cell.json").exists() && !is_planned && !is_current(&folder, manifest_hash) {
            let to = aside.join(folder.file_name().unwrap_or_default());
            std::fs::create_dir_all(&aside)?;
            if to.exists() {
                std::fs::remove_dir_all(&to)?;
            }
            std::fs::rename(&folder, &to).with_context(|| format!("setting {} aside", folder.display()))?;
            n_moved += 1;
        }
    }
    Ok(n_moved)
}

fn is_current(folder: &Path, manifest_hash: &str) -> bool {
    results::read_cell(folder).is_ok_and(|cell| {
        let Identity { code_hash, manifest_hash: of, .. } = &cell.identity;
        // No code of ours made imported scores.
        let is_of_code = code_hash == crate::CODE_HASH || cell.identity.is_imported();
        cell.error.is_none() && is_of_code && of == manifest_hash
    })
}
