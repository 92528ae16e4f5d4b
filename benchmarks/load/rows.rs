//! A curated folder of any number of rows, without pictures: what draws episodes and exports rows needs none.

use std::path::Path;

use anyhow::{Context, Result};
use medfsad::files;
use medfsad::ids::TaskName;
use medfsad::manifest::{self, Header, Label, MANIFEST, REJECTED, Rejected, Row, Split, image_id};
use medfsad::table::Record;

fn spec() -> String {
    let task = |name: &str| {
        format!(
            "[[task]]\nname = '{name}'\norgan = '{name}'\nmodality = 'made up'\nanomaly = 'bad'\nsource = 'folders'\n\
             folder = '{name}'\nnormal = ['good']\nowner_split = 'exact'\n[[task.anomalous]]\nfindings = ['bad']\n"
        )
    };
    let head = "name = 'rows'\nversion = 1\ntitle = 'rows that nobody curated'\nseed = 1\nsizes = [64]\n";
    [head, &task("a"), &task("b")].concat()
}

/// Raw files, of which rows are the frames.
const N_FILES: usize = 1000;
/// Rows after which tasks and sides repeat.
const PERIOD: usize = 20;
/// Rows from one copy to the next.
const APART: usize = 10_000;

/// Writes `n` rows in two tasks, three fifths of them to train on; every row has its patient, study and series, and 99 of a million are copies. The raw
/// files, which are empty, lie in `raw`.
pub(super) fn write(folder: &Path, n: usize) -> Result<()> {
    let mut rows: Vec<Row> = (0..n).map(row).collect();
    let header = Header::of(&mut rows, ("rows", 1), "rows that nobody curated", &[64]);
    Row::write(&folder.join(MANIFEST), &rows)?;
    Rejected::write(&folder.join(REJECTED), &[])?;
    files::write_whole(&folder.join("spec.toml"), spec().as_bytes())?;
    let raw = folder.join("raw");
    for file in 0..N_FILES {
        files::write_unsynced(&raw.join(path(file)), b"")?;
    }
    let raw = std::path::absolute(&raw).context("the raw folder")?;
    files::write_whole(&folder.join(manifest::RAW), &serde_json::to_vec(&raw)?)?;
    header.write(folder, &[MANIFEST, REJECTED])?;
    Ok(())
}

fn path(file: usize) -> String {
    format!("{}/{file:05}.png", if file.is_multiple_of(2) { "a" } else { "b" })
}

fn row(index: usize) -> Row {
    let (source_path, frame) = (path(index % N_FILES), (index / N_FILES) as u32);
    let task = &source_path[..1];
    let (split, label) = match index / 2 % 10 {
        0..6 => (Split::Train, Label::Normal),
        6..8 => (Split::Test, Label::Normal),
        _ => (Split::Test, Label::Anomalous),
    };
    // `share` rows of one task and side have the same.
    let name = |kind: &str, share: usize| {
        Some(format!("{kind}-{:08}", index / (PERIOD * share) * PERIOD + index % PERIOD))
    };
    // Some are copies of another on their side.
    let pixels = if index > 0 && index.is_multiple_of(APART) { index - PERIOD } else { index };
    Row {
        image_id: image_id(task, &source_path, frame),
        task: TaskName::new(task),
        organ: task.to_owned(),
        modality: "made up".to_owned(),
        split,
        label,
        finding: if label == Label::Normal { "good" } else { "bad" }.to_owned(),
        patient_id: name("patient", 20),
        group_id: None,
        study_id: name("study", 10),
        series_id: name("series", 5),
        slice_index: None,
        source: "folders".to_owned(),
        source_path,
        frame,
        width: 64,
        height: 64,
        bits: 8,
        photometric: "RGB".to_owned(),
        intensity_policy: "as stored".to_owned(),
        repaired: None,
        file_bytes: index as u64,
        file_sha256: files::sha256(&index.to_le_bytes()),
        pixel_hash: files::fingerprint(&pixels.to_le_bytes()),
        phash: format!("{index:016x}"),
        mask_kind: None,
        mask_path: None,
        mask_hash: None,
        view: None,
        scanner: None,
        site: None,
        spec: "rows".to_owned(),
        spec_version: 1,
    }
}
