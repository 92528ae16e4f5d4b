//! The folder that a program is handed, and what it leaves there.
//!
//! Given: `episode.json`; `supports.csv` and `queries.csv` (`picture_id,path`); `train.csv`
//! (`task,picture_id,path`) if the method sees train normals; pictures as binary PPM, 8 bits, RGB, already
//! resized as for every other method. Ids are made of content, and queries are sorted by them, so that
//! neither tells a label. Expected: `scores.csv` (`picture_id,score`; every query once, any order, higher is
//! more anomalous) and, if the method has maps, `maps.safetensors` (key: picture id; f32, size x size, raw).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;

use crate::episode::batch::Pictures;
use crate::files;
use crate::ids::TaskName;
use crate::maps::MapStack;

/// Raised when a program written for an earlier one would no longer work.
pub(super) const PROTOCOL: u32 = 1;

/// `episode.json`.
#[derive(Serialize)]
pub(super) struct Episode {
    pub protocol: u32,
    /// The task held out.
    pub task: TaskName,
    pub shots: usize,
    pub seed: u64,
    /// Side of the pictures in pixels.
    pub size: i64,
    /// `cpu` or `cuda:N`: where the program should compute.
    pub device: String,
    /// A folder that lasts over the support draws of one training; empty at first.
    pub state: PathBuf,
}

/// A picture that was written.
pub(super) struct Listed {
    pub id: String,
    pub path: PathBuf,
}

/// Writes pictures below `folder`, in their order.
pub(super) fn write_pictures(folder: &Path, pictures: &Pictures) -> Result<Vec<Listed>> {
    let side = pictures.size();
    let mut seen: HashMap<String, usize> = HashMap::new();
    (0..pictures.len())
        .map(|index| {
            let interleaved =
                pictures.pixels.get(index as i64).permute([1, 2, 0]).contiguous().flatten(0, -1);
            let samples: Vec<u8> = Vec::try_from(interleaved)?;
            let content = files::fingerprint(&samples)[..16].to_owned();
            let copies = seen.entry(content.clone()).and_modify(|n| *n += 1).or_insert(0);
            let id = if *copies == 0 { content } else { format!("{content}-{copies}") };
            let path = folder.join("pictures").join(format!("{id}.ppm"));
            if !path.exists() {
                let header = format!("P6\n{side} {side}\n255\n");
                files::write_whole(&path, &[header.as_bytes(), &samples].concat())?;
            }
            Ok(Listed { id, path })
        })
        .collect()
}

/// Writes queries and their list; the answer is in the order of `queries`, the list in that of their ids.
pub(super) fn write_queries(folder: &Path, queries: &Pictures) -> Result<Vec<Listed>> {
    let listed = write_pictures(folder, queries)?;
    let mut sorted: Vec<&Listed> = listed.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));
    write_rows(&folder.join("queries.csv"), &["picture_id", "path"], sorted.into_iter().map(row))?;
    Ok(listed)
}

/// Writes `picture_id,path`.
pub(super) fn write_list(path: &Path, pictures: &[Listed]) -> Result<()> {
    write_rows(path, &["picture_id", "path"], pictures.iter().map(row))
}

/// Writes `train.csv` unless there is nothing to list.
pub(super) fn write_train(folder: &Path, train: &[(TaskName, Listed)]) -> Result<()> {
    if train.is_empty() {
        return Ok(());
    }
    let rows = train.iter().map(|(task, picture)| [vec![task.to_string()], row(picture)].concat());
    write_rows(&folder.join("train.csv"), &["task", "picture_id", "path"], rows)
}

fn row(picture: &Listed) -> Vec<String> {
    vec![picture.id.clone(), picture.path.to_string_lossy().into_owned()]
}

fn write_rows(path: &Path, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row)?;
    }
    files::write_whole(path, &writer.into_inner()?)
}

/// Reads the program's scores, in the order of `queries`.
pub(super) fn read_scores(path: &Path, queries: &[Listed]) -> Result<Vec<f64>> {
    ensure!(path.exists(), "external: the program wrote no scores.csv into the folder it was given");
    let known: HashSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
    let mut scores: BTreeMap<String, f64> = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
    let head = reader.headers()?.clone();
    let column = |name: &str| {
        let place = head.iter().position(|column| column == name);
        place.with_context(|| format!("external: scores.csv has no column `{name}` (it has {head:?})"))
    };
    let (ids, values) = (column("picture_id")?, column("score")?);
    for (line, record) in reader.records().enumerate() {
        let record = record.context("external: scores.csv is not sound CSV")?;
        let (id, text) = (record.get(ids).unwrap_or_default(), record.get(values).unwrap_or_default());
        ensure!(known.contains(id), "external: scores.csv line {}: `{id}` is no query", line + 2);
        let score: f64 = text.parse().ok().filter(|score: &f64| score.is_finite()).with_context(|| {
            format!("external: scores.csv line {}: score `{text}` is not a finite number", line + 2)
        })?;
        ensure!(scores.insert(id.to_owned(), score).is_none(), "external: scores.csv names `{id}` twice");
    }
    let score = |query: &Listed| {
        scores.get(&query.id).copied().with_context(|| {
            format!(
                "external: scores.csv has {} of {} queries; `{}` is missing",
                scores.len(),
                queries.len(),
                query.id
            )
        })
    };
    queries.iter().map(score).collect()
}

/// Reads the program's maps, in the order of `queries`.
pub(super) fn read_maps(path: &Path, queries: &[Listed], side: usize) -> Result<MapStack> {
    let bytes = files::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes).context("external: maps.safetensors is not readable")?;
    let mut values = Vec::with_capacity(queries.len() * side * side);
    for Listed { id, .. } in queries {
        let Ok(map) = tensors.tensor(id) else { bail!("external: maps.safetensors has no map `{id}`") };
        ensure!(
            map.dtype() == Dtype::F32 && map.shape() == [side, side],
            "external: map `{id}` is {:?} {:?}, not F32 [{side}, {side}]",
            map.dtype(),
            map.shape()
        );
        let floats = map.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        values.extend(floats);
    }
    MapStack::new(queries.len(), side, side, values)
}
