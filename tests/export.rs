//! Curated benchmarks for other tools hold what the manifest holds, and what the terms say.

use std::path::Path;

use medfsad::curate::{Request, build};
use medfsad::export::{self, Naming, card, mvtec};
use medfsad::files;
use medfsad::manifest::{Label, Manifest, MaskKind, Row, Split};
use medfsad::phantom;
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use medfsad::table::{Kind, Record, Table};
use serde_json::Value;
use tempfile::TempDir;

/// A small phantom: spec, raw folder, curated folder.
fn curated() -> (Spec, TempDir, TempDir, Manifest) {
    let spec = Spec::load("phantom").unwrap();
    let (raw, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    phantom::write(raw.path(), spec.seed).unwrap();
    build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
        .unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    (spec, raw, out, manifest)
}

#[test]
fn croissant_describes_every_column_of_the_very_file() {
    let (spec, _raw, out, manifest) = curated();
    let export::Croissant { json: text, table } =
        export::croissant(&manifest.folder, &spec, Naming::Ids, None).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["conformsTo"][0], "http://mlcommons.org/croissant/1.1");
    assert_eq!(document["conformsTo"][1], "http://mlcommons.org/croissant/RAI/1.0");
    let file = out.path().join(export::TABLE);
    std::fs::write(&file, &table).unwrap();
    assert_eq!(document["distribution"][0]["sha256"], files::sha256(&table).as_str());
    assert_eq!(document["distribution"][0]["contentSize"], format!("{} B", table.len()));
    let sets = document["recordSet"].as_array().unwrap();
    let pictures = sets.iter().find(|set| set["@id"] == "pictures").unwrap();
    let fields: Vec<(&str, &str)> = pictures["field"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| {
            (field["source"]["extract"]["column"].as_str().unwrap(), field["dataType"].as_str().unwrap())
        })
        .collect();
    let columns = Table::read(&file).unwrap().columns().unwrap();
    assert!(columns.iter().all(|(name, _)| !name.contains("path")), "{columns:?}");
    assert_eq!(columns.len() + 2, Row::columns().len());
    let kind = |kind: Kind| if kind == Kind::Integer { "sc:Integer" } else { "sc:Text" };
    let expected: Vec<(&str, &str)> = columns.iter().map(|(name, of)| (name.as_str(), kind(*of))).collect();
    assert_eq!(fields, expected);
    assert!(Row::columns().iter().all(|column| column.about.ends_with('.')));
    let sensitive = document["rai:personalSensitiveInformation"].to_string();
    assert!(sensitive.contains("No audit was at hand"), "{sensitive}");
    for task in &spec.tasks {
        assert!(text.contains(&task.card.licence), "the licence of {} is missing", task.name);
    }
    let again = export::croissant(&manifest.folder, &spec, Naming::Ids, None).unwrap();
    assert!((again.json, again.table) == (text, table), "the same manifest, another text");
}

#[test]
fn csv_has_the_rows_and_columns_of_the_manifest() {
    let (_, _raw, _out, manifest) = curated();
    let mut text = Vec::new();
    export::csv(&manifest.folder, Naming::Paths, &mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(names, Row::columns().into_iter().map(|column| column.name).collect::<Vec<_>>());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), manifest.rows.len());
    let at = |name: &str| names.iter().position(|known| known == name).unwrap();
    for (record, row) in records.iter().zip(&manifest.rows) {
        assert_eq!(record[at("image_id")], row.image_id);
        assert_eq!(record[at("label")], row.label.number().expect("an opened label").to_string());
        assert_eq!(record[at("patient_id")], row.patient_id.clone().unwrap_or_default());
    }
}

#[test]
fn mvtec_folders_hold_every_picture_in_its_place() {
    let (spec, raw, _out, manifest) = curated();
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("mvtec");
    let size = manifest.header.sizes[0];
    let written =
        mvtec::write(&manifest.folder, &spec, &mvtec::Pictures::Standardised(size), false, &out).unwrap();
    assert_eq!(written.pictures, manifest.rows.len());
    let found = files::walk(&out).unwrap();
    let count = |part: &str| found.iter().filter(|path| path.contains(part)).count();
    let of =
        |split, label| manifest.rows.iter().filter(|row| row.split == split && row.label == label).count();
    assert_eq!(count("/train/good/"), of(Split::Train, Label::Normal));
    assert_eq!(count("/test/good/"), of(Split::Test, Label::Normal));
    assert_eq!(count("/test/") - count("/test/good/"), of(Split::Test, Label::Anomalous));
    let masked = manifest.rows.iter().filter(|row| row.mask_kind == Some(MaskKind::Pixels));
    assert_eq!(count("/ground_truth/"), masked.clone().count());
    assert!(masked.count() > 0 && written.masks == count("/ground_truth/"));
    // Every mask has its picture, of one size.
    for mask in found.iter().filter(|path| path.contains("/ground_truth/")) {
        let picture = mask.replace("/ground_truth/", "/test/").replace("_mask.png", ".png");
        let sizes = [mask, &picture].map(|path| image::image_dimensions(out.join(path)).unwrap());
        assert_eq!(sizes, [(size as u32, size as u32); 2]);
    }
    let terms = std::fs::read_to_string(out.join("TERMS.md")).unwrap();
    assert!(spec.tasks.iter().all(|task| terms.contains(&task.card.owner)));
    // A second time, the folder is not free.
    let again = mvtec::write(&manifest.folder, &spec, &mvtec::Pictures::Standardised(size), false, &out);
    assert!(again.unwrap_err().to_string().contains("not empty"));
    // Films are no plain pictures, and nothing is left of what was begun.
    let linked = home.path().join("linked");
    let refused = mvtec::write(&manifest.folder, &spec, &mvtec::Pictures::Links(raw.path()), false, &linked);
    assert!(format!("{:#}", refused.unwrap_err()).contains("cannot be linked"));
    assert_eq!(names(home.path()), ["mvtec"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn links_lead_to_the_owners_files() {
    let mut spec = Spec::load("phantom").unwrap();
    spec.tasks.retain(|task| task.name != "rsna");
    let (raw, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    phantom::write(raw.path(), spec.seed).unwrap();
    build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
        .unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    let linked = out.path().join("linked");
    mvtec::write(&manifest.folder, &spec, &mvtec::Pictures::Links(raw.path()), false, &linked).unwrap();
    let row = manifest.rows.iter().find(|row| row.split == Split::Train).unwrap();
    let ending = row.source_path.rsplit('.').next().unwrap();
    let link = linked.join(&row.task).join("train/good").join(format!("{}.{ending}", row.image_id));
    let target = std::fs::read_link(link).unwrap();
    assert_eq!(files::sha256(&std::fs::read(&target).unwrap()), row.file_sha256);
    assert!(target.ends_with(&row.source_path));
}

#[test]
fn a_card_lies_beside_every_manifest() {
    let (spec, _raw, out, manifest) = curated();
    let text = std::fs::read_to_string(out.path().join("card.md")).unwrap();
    assert!(text.contains(&manifest.header.canonical_hash));
    for task in &spec.tasks {
        assert!(text.contains(&card::source(task)), "{} is missing", task.name);
    }
    let train = manifest.select(&spec.tasks[0].name, Split::Train).count();
    let row =
        text.lines().find(|line| line.starts_with(&format!("| {} | train normal |", spec.tasks[0].name)));
    assert!(row.is_some_and(|row| row.ends_with(&format!("| {train} |"))), "{row:?}");
}
