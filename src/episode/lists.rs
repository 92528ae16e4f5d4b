//! Episodes as lists of files, for a program of one's own: what to score, and by which supports.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::Episodes;
use crate::files;
use crate::ids::ImageId;
use crate::manifest::{Manifest, Row, Split};

/// Writes `queries.csv`, `supports.csv` and `normals.csv` into a folder. Queries come in the order of their ids, which
/// are hashes: neither label nor finding is told, but a path may tell them.
///
/// # Errors
/// Episodes of another manifest, or a file that cannot be written.
pub fn write(episodes: &Episodes, manifest: &Manifest, folder: &Path) -> Result<()> {
    episodes.verify(manifest)?;
    let of = |split: Split| {
        let mut rows: Vec<&Row> = manifest.rows.iter().filter(|row| row.split == split).collect();
        rows.sort_by(|a, b| (&a.task, &a.image_id).cmp(&(&b.task, &b.image_id)));
        rows.into_iter().map(entries)
    };
    let head = ["task", "image_id", "path", "frame"];
    table(&folder.join("queries.csv"), &head, of(Split::Test))?;
    table(&folder.join("normals.csv"), &head, of(Split::Train))?;
    let rows: HashMap<&ImageId, &Row> = manifest.rows.iter().map(|row| (&row.image_id, row)).collect();
    let mut supports = Vec::new();
    for draws in episodes.supports.values() {
        for (draw, ids) in draws.iter().enumerate() {
            for (position, id) in ids.iter().enumerate() {
                let [task, id, path, frame] = entries(rows[id]);
                supports.push([task, draw.to_string(), position.to_string(), id, path, frame]);
            }
        }
    }
    let head = ["task", "draw", "position", "image_id", "path", "frame"];
    table(&folder.join("supports.csv"), &head, supports.into_iter())
}

fn entries(row: &Row) -> [String; 4] {
    [row.task.to_string(), row.image_id.to_string(), row.source_path.clone(), row.frame.to_string()]
}

fn table<const N: usize>(
    path: &Path,
    head: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row)?;
    }
    files::write_whole(path, &writer.into_inner().with_context(|| format!("filling {}", path.display()))?)
}
