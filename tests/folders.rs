//! Folders as users have them: links, pipes, odd names, and what file managers leave behind.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{medfsad, succeeds};

fn picture(path: &Path, level: u8) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let picture = image::GrayImage::from_fn(32, 32, |x, y| image::Luma([level + (x * y % 7) as u8]));
    picture.save(path).expect("a picture");
}

/// What is in the way in a folder; returns the names that are rejected.
fn obstacles(folder: &Path) -> [&'static str; 5] {
    let made = Command::new("mkfifo").arg(folder.join("fifo.png")).status().expect("mkfifo");
    assert!(made.success());
    symlink(".", folder.join("one")).expect("a link");
    symlink("..", folder.join("two")).expect("a link");
    symlink("/dev/zero", folder.join("zero.png")).expect("a link");
    fs::write(folder.join(OsStr::from_bytes(b"n\xff.png")), "").expect("a file");
    fs::write(folder.join("Thumbs.db"), "").expect("a file");
    ["fifo.png", "one", "two", "zero.png", "n\u{fffd}.png"]
}

const SPEC: &str = r#"
name = "mine"
version = 1
title = "mine"
seed = 1
sizes = [32]
[[task]]
name = "mine"
organ = "wrist"
modality = "X-ray"
anomaly = "fracture"
source = "folders"
folder = "wrist"
normal = ["good"]
train_normal = 2
[[task.anomalous]]
findings = ["fracture"]
"#;

/// Four normal pictures and two others.
pub fn raw(home: &Path) {
    for (place, level) in [10, 40, 70, 100].into_iter().enumerate() {
        picture(&home.join(format!("raw/wrist/good/{place}.png")), level);
    }
    picture(&home.join("raw/wrist/fracture/0.png"), 130);
    picture(&home.join("raw/wrist/fracture/1.png"), 160);
    fs::write(home.join("mine.toml"), SPEC).expect("a spec");
}

const BUILD: [&str; 5] = ["build-dataset", "--spec", "mine.toml", "--raw", "raw"];

#[test]
fn a_build_reads_each_picture_once_and_rejects_what_is_no_file() {
    let home = TempDir::new().expect("a folder");
    raw(home.path());
    let names = obstacles(&home.path().join("raw/wrist/good"));
    let said = succeeds(home.path(), &BUILD);
    assert!(said.contains("6 pictures curated"), "{said}");
    let manifest =
        medfsad::manifest::Manifest::read(&home.path().join("manifests/mine")).expect("a manifest");
    assert_eq!(manifest.rows.len(), 6);
    let table = home.path().join("manifests/mine/rejected.parquet");
    let rejected = <medfsad::manifest::Rejected as medfsad::table::Record>::read(&table).expect("a table");
    let mut paths: Vec<&str> = rejected.iter().map(|row| row.source_path.as_str()).collect();
    let mut expected = names.map(|name| format!("wrist/good/{name}"));
    paths.sort_unstable();
    expected.sort_unstable();
    assert_eq!(paths, expected);
}

#[cfg(feature = "torch")]
#[test]
fn scores_are_of_each_picture_once_and_what_is_no_file_is_rejected() {
    let home = TempDir::new().expect("a folder");
    picture(&home.path().join("refs/a.png"), 40);
    picture(&home.path().join("refs/b.png"), 60);
    fs::write(home.path().join("refs/Thumbs.db"), "").expect("a file");
    picture(&home.path().join("query/a.png"), 80);
    let names = obstacles(&home.path().join("query"));
    let mut arguments =
        vec!["score", "--method", "patchcore", "--backbone", "resnet18", "--teacher", "random"];
    arguments.extend(["--size", "32", "--device", "cpu", "--support", "refs", "--query", "query"]);
    succeeds(home.path(), &[&arguments[..], &["--out", "s.csv"]].concat());
    let scores = fs::read_to_string(home.path().join("s.csv")).expect("scores");
    assert_eq!(scores.lines().count(), 2, "{scores}");
    let rejected = fs::read_to_string(home.path().join("s.rejected.csv")).expect("a table");
    assert!(names.iter().all(|name| rejected.contains(name)), "{rejected}");
    assert!(!rejected.contains("Thumbs.db"), "{rejected}");
    let output =
        medfsad(home.path(), &["score", "--support", "refs", "--query", "query/fifo.png", "--out", "t.csv"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither a folder nor a file"));
}

#[test]
fn a_line_break_in_a_file_name_does_not_reach_the_id_list() {
    let home = TempDir::new().expect("a folder");
    raw(home.path());
    picture(&home.path().join("raw/wrist/good/a\nb.png"), 190);
    let said = succeeds(home.path(), &[&BUILD[..], &["--freeze", "ids.txt"]].concat());
    assert!(said.contains("6 pictures curated, 1 files rejected"), "{said}");
    succeeds(home.path(), &[&BUILD[..], &["--replay", "ids.txt", "--out", "again"]].concat());
}

#[test]
fn a_finding_without_pictures_is_named_and_stops_the_build() {
    let home = TempDir::new().expect("a folder");
    raw(home.path());
    let misspelt = SPEC.replace("[\"fracture\"]", "[\"fractur\"]");
    fs::write(home.path().join("mine.toml"), misspelt).expect("a spec");
    let output = medfsad(home.path(), &BUILD);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("test fractur: none available") && said.contains("did you mean `fracture`?"),
        "{said}"
    );
    // An empty class folder is the same thing.
    fs::write(home.path().join("mine.toml"), SPEC).expect("a spec");
    fs::remove_dir_all(home.path().join("raw/wrist/fracture")).expect("a folder");
    fs::create_dir(home.path().join("raw/wrist/fracture")).expect("a folder");
    let output = medfsad(home.path(), &BUILD);
    assert!(!output.status.success());
    let said = succeeds(home.path(), &[&BUILD[..], &["--partial"]].concat());
    assert!(said.contains("no picture has the finding `fracture`"), "{said}");
}

#[test]
fn dicom_files_are_found_without_an_ending_and_one_patient_on_all_is_a_placeholder() {
    let home = TempDir::new().expect("a folder");
    raw(home.path());
    medfsad::phantom::write(&home.path().join("phantom"), 1).expect("a phantom");
    let films = home.path().join("phantom/rsna-pneumonia-detection-challenge/stage_2_train_images");
    let film = fs::read_dir(films).expect("films").next().expect("a film").expect("an entry").path();
    let good = home.path().join("raw/wrist/good");
    for name in ["IM0001", "film.IMA", "1.2.840.10008"] {
        fs::copy(&film, good.join(name)).expect("a copy");
    }
    fs::write(good.join("README"), "no picture").expect("a file");
    let said = succeeds(home.path(), &BUILD);
    assert!(said.contains("9 pictures curated, 1 files rejected"), "{said}");
    assert!(said.contains("one PatientID stands on all 3 DICOM files"), "{said}");
    // Study and series are known of them alone, by pseudonyms.
    let rows =
        medfsad::manifest::Manifest::read(&home.path().join("manifests/mine")).expect("a manifest").rows;
    let known = rows.iter().filter_map(|row| Some([row.study_id.as_ref()?, row.series_id.as_ref()?]));
    let known: Vec<_> = known.flatten().collect();
    assert_eq!(known.len(), 6);
    assert!(known.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
}

#[test]
fn films_of_one_study_stay_together_where_no_patient_is_known() {
    let home = TempDir::new().expect("a folder");
    raw(home.path());
    medfsad::phantom::write(&home.path().join("phantom"), 1).expect("a phantom");
    let films = home.path().join("phantom/rsna-pneumonia-detection-challenge/stage_2_train_images");
    let mut films: Vec<_> =
        fs::read_dir(films).expect("films").map(|film| film.expect("an entry").path()).collect();
    films.sort();
    for (index, film) in films.iter().take(4).enumerate() {
        let mut object = dicom_object::open_file(film).expect("a film");
        object.remove_element(dicom_dictionary_std::tags::PATIENT_ID);
        let study = if index < 2 { "2.25.1".to_owned() } else { format!("2.25.{index}") };
        object.put_str(dicom_dictionary_std::tags::STUDY_INSTANCE_UID, dicom_core::VR::UI, study);
        object.write_to_file(home.path().join(format!("raw/wrist/good/film{index}.dcm"))).expect("a file");
    }
    let said = succeeds(home.path(), &BUILD);
    assert!(said.contains("no patient is known, so sides are divided by study"), "{said}");
    let rows =
        medfsad::manifest::Manifest::read(&home.path().join("manifests/mine")).expect("a manifest").rows;
    let of = |name: &str| rows.iter().find(|row| row.source_path.ends_with(name)).expect("a row");
    let [first, second, third] = ["film0.dcm", "film1.dcm", "film2.dcm"].map(of);
    assert!(first.group_id.is_some() && first.group_id == second.group_id && first.split == second.split);
    assert_ne!(first.group_id, third.group_id);
}
