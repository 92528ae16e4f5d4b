//! A manifest in memory, for tests that need rows and no pictures.

use medfsad::ids::TaskName;
use medfsad::manifest::{Header, Label, Manifest, Row, Split, image_id};

/// A picture of its own.
pub fn row(task: &str, organ: &str, split: Split, label: Label, index: usize) -> Row {
    let source_path = format!("{task}/{index:03}.png");
    Row {
        image_id: image_id(task, &source_path, 0),
        task: TaskName::new(task),
        organ: organ.to_owned(),
        modality: "made up".to_owned(),
        split,
        label,
        finding: if label == Label::Normal { "good" } else { "bad" }.to_owned(),
        patient_id: None,
        group_id: None,
        study_id: None,
        series_id: None,
        slice_index: None,
        source: "folders".to_owned(),
        source_path,
        frame: 0,
        width: 40,
        height: 30,
        bits: 8,
        photometric: "RGB".to_owned(),
        intensity_policy: "as stored".to_owned(),
        repaired: None,
        file_bytes: 1000 + index as u64,
        file_sha256: format!("{index:064x}"),
        pixel_hash: format!("{task}{index}"),
        phash: format!("{index:016x}"),
        mask_kind: None,
        mask_path: None,
        mask_hash: None,
        view: None,
        scanner: None,
        site: None,
        spec: "made-up".to_owned(),
        spec_version: 1,
    }
}

/// For each task, `(name, organ, train normals)`, beside 5 normals and 4 anomalous pictures for testing.
pub fn manifest(tasks: &[(&str, &str, usize)]) -> Manifest {
    let mut rows = Vec::new();
    for &(task, organ, n_train) in tasks {
        for index in 0..n_train + 9 {
            let (split, label) = match index {
                _ if index < n_train => (Split::Train, Label::Normal),
                _ if index < n_train + 5 => (Split::Test, Label::Normal),
                _ => (Split::Test, Label::Anomalous),
            };
            rows.push(row(task, organ, split, label, index));
        }
    }
    let header = Header::of(&mut rows, ("made-up", 1), "made up in memory", &[32]);
    Manifest { header, rows, folder: std::path::PathBuf::new() }
}
