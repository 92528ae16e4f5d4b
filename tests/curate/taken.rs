//! How pictures were taken: from DICOM, from a spec's table, and in benchmarks that do not know it.

use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use medfsad::curate::{Request, build};
use medfsad::files;
use medfsad::manifest::{Manifest, Row, canonical_hash};
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use medfsad::table;
use serde_json::Value;
use tempfile::TempDir;

use super::tree::{built, noise, plant, raw, spec};

const SPEC: &str = r#"
name = "films"
version = 1
title = "films of two sites"
seed = 5
sizes = [32]
[[task]]
name = "wrist"
organ = "wrist"
modality = "X-ray"
anomaly = "fracture"
source = "folders"
folder = "Wrist"
normal = ["good"]
train_normal = 2
taken = "films.csv"
[[task.anomalous]]
findings = ["fracture"]
"#;

/// Three films of a maker, the first two of one institution, and three PNG files.
fn wrists() -> TempDir {
    let raw = tempfile::tempdir().unwrap();
    medfsad::phantom::write(&raw.path().join("phantom"), 1).unwrap();
    let films = raw.path().join("phantom/rsna-pneumonia-detection-challenge/stage_2_train_images");
    let mut films: Vec<_> = std::fs::read_dir(films).unwrap().map(|film| film.unwrap().path()).collect();
    films.sort();
    for (index, film) in films.iter().take(3).enumerate() {
        let mut object = dicom_object::open_file(film).unwrap();
        object.put_str(tags::MANUFACTURER, VR::LO, "Made Up");
        object.put_str(tags::MANUFACTURER_MODEL_NAME, VR::LO, ["Ray 1", "Made Up Ray 2", ""][index]);
        object.put_str(tags::INSTITUTION_NAME, VR::LO, ["North", "North", "South"][index]);
        object.put_str(tags::VIEW_POSITION, VR::CS, ["AP", "PA", ""][index]);
        plant(raw.path(), &format!("Wrist/good/{index}.dcm"), b"");
        object.write_to_file(raw.path().join(format!("Wrist/good/{index}.dcm"))).unwrap();
    }
    for index in 0..3 {
        plant(raw.path(), &format!("Wrist/fracture/{index}.png"), &noise(index));
    }
    plant(
        raw.path(),
        "films.csv",
        b"path,view,site\ngood/1.dcm,LL,\nfracture/0.png,AP,North\nfracture/9.png,AP,North\n",
    );
    raw
}

fn curated(raw: &Path, key: &Key) -> (Vec<String>, Manifest) {
    let (out, spec) = (tempfile::tempdir().unwrap(), Spec::parse(SPEC).unwrap());
    let outcome = build(&Request { spec: &spec, raw, out: out.path(), partial: false, key }).unwrap();
    (outcome.remarks, Manifest::read(out.path()).unwrap())
}

fn row<'a>(manifest: &'a Manifest, name: &str) -> &'a Row {
    manifest.rows.iter().find(|row| row.source_path.ends_with(name)).unwrap()
}

#[test]
fn files_and_a_table_tell_how_pictures_were_taken() {
    let raw = wrists();
    let (remarks, manifest) = curated(raw.path(), &Key::PUBLIC);
    let of = |name: &str| {
        let row = row(&manifest, name);
        (row.view.as_deref(), row.scanner.as_deref())
    };
    assert_eq!(of("0.dcm"), (Some("AP"), Some("Made Up Ray 1")));
    assert_eq!(of("1.dcm"), (Some("LL"), Some("Made Up Ray 2")), "the table goes before the file");
    assert_eq!(of("2.dcm"), (None, Some("Made Up")));
    assert_eq!(of("fracture/0.png"), (Some("AP"), None));
    assert_eq!(of("fracture/1.png"), (None, None));
    let site = |name: &str| row(&manifest, name).site.clone();
    assert!(site("0.dcm").is_some_and(|site| site.len() == 16 && site != "North"));
    assert!(site("0.dcm") == site("1.dcm") && site("0.dcm") == site("fracture/0.png"));
    assert!(site("2.dcm") != site("0.dcm") && site("fracture/1.png").is_none());
    let remark = "films.csv tells of 1 files that are no pictures here, such as fracture/9.png";
    assert!(remarks.iter().any(|said| said.contains(remark)), "{remarks:?}");
    // Another key gives other pseudonyms and the same hash; another site another one.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.key");
    std::fs::write(&path, "b".repeat(64)).unwrap();
    let (_, other) = curated(raw.path(), &Key::read(&path).unwrap());
    assert_ne!(row(&other, "0.dcm").site, site("0.dcm"));
    assert_eq!(other.header.canonical_hash, manifest.header.canonical_hash);
    let mut rows = manifest.rows.clone();
    let south = rows.iter().position(|row| row.source_path.ends_with("2.dcm")).unwrap();
    rows[south].site = site("0.dcm");
    assert_ne!(canonical_hash(&rows), manifest.header.canonical_hash);
}

#[test]
fn a_table_that_changes_makes_the_part_anew() {
    let raw = wrists();
    let (out, spec) = (tempfile::tempdir().unwrap(), Spec::parse(SPEC).unwrap());
    let request =
        Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC };
    build(&request).unwrap();
    plant(raw.path(), "films.csv", b"path,view\ngood/1.dcm,oblique\n");
    build(&request).unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    assert_eq!(row(&manifest, "1.dcm").view.as_deref(), Some("oblique"));
    plant(raw.path(), "films.csv", b"path,veiw\ngood/1.dcm,oblique\n");
    let error = format!("{:#}", build(&request).err().unwrap());
    assert!(error.contains("films.csv: column `veiw` is not known; did you mean `view`?"), "{error}");
}

#[test]
fn manifests_of_format_6_are_read_and_have_the_hash_that_they_had() {
    let built = built(&spec(), raw().path());
    let (folder, header) = (built.out.path(), built.out.path().join("manifest.json"));
    let columns = ["view", "scanner", "site"];
    assert!(built.manifest.rows.iter().all(|row| row.view.is_none() && row.site.is_none()));
    let parquet = folder.join("manifest.parquet");
    let older = table::copy(&parquet, |piece| Ok(piece.without(&columns))).unwrap();
    std::fs::write(&parquet, older).unwrap();
    let mut json: Value = serde_json::from_str(&files::read_text(&header).unwrap()).unwrap();
    json["format"] = 6.into();
    std::fs::write(&header, json.to_string()).unwrap();
    let older: medfsad::manifest::Header = serde_json::from_value(json).unwrap();
    older.write(folder, &["manifest.parquet", "rejected.parquet", "selection.parquet"]).unwrap();
    let old = Manifest::read(folder).unwrap();
    assert_eq!((old.header.format, &old.rows), (6, &built.manifest.rows));
    // As format 6 hashed rows without patients and groups.
    let json = |row: &Row| serde_json::to_string(row).unwrap() + "\n";
    let lines: String = built.manifest.rows.iter().map(json).collect();
    assert!(columns.iter().all(|column| !lines.contains(&format!("\"{column}\""))));
    assert_eq!(files::fingerprint(lines.as_bytes()), built.manifest.header.canonical_hash);
}
