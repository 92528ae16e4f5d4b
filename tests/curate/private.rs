//! Names of people do not leave: pseudonyms need their key, and what is handed on names no file.

use std::path::Path;

use medfsad::curate::ids::{IdList, freeze};
use medfsad::curate::{Request, build, replay};
use medfsad::files;
use medfsad::manifest::{Label, Manifest, RAW, Row, Split, order};
use medfsad::pseudonym::Key;
use medfsad::spec::Spec;
use medfsad::table;
use serde_json::Value;
use tempfile::TempDir;

use super::tree::{self, noise, plant};
use crate::program::succeeds;

/// Tiles of Camelyon16, whose names begin with the patient.
const SPEC: &str = r#"
name = "tiles"
version = 1
title = "tiles of six patients"
seed = 5
sizes = [32]
[[task]]
name = "his"
organ = "lymph node"
modality = "histopathology"
anomaly = "metastasis"
source = "camelyon16"
folder = "Tiles"
normal = ["good"]
train_normal = 6
[[task.anomalous]]
findings = ["Ungood"]
"#;

fn tiles() -> TempDir {
    let raw = tempfile::tempdir().unwrap();
    for patient in 0..6 {
        for tile in 0..3 {
            let (side, class) =
                if patient < 4 { ("train", "good") } else { ("test", ["good", "Ungood"][patient - 4]) };
            let name = format!("{}_idx5_x{tile}_y1_class0.png", 14000 + patient);
            plant(raw.path(), &format!("Tiles/{side}/{class}/{name}"), &noise((10 * patient + tile) as u64));
        }
    }
    raw
}

fn key(folder: &Path, digit: &str) -> Key {
    let path = folder.join(format!("{digit}.key"));
    std::fs::write(&path, digit.repeat(64)).unwrap();
    Key::read(&path).unwrap()
}

fn curated(spec: &Spec, raw: &Path, key: &Key) -> (TempDir, Manifest) {
    let out = tempfile::tempdir().unwrap();
    build(&Request { spec, raw, out: out.path(), partial: false, key }).unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    (out, manifest)
}

fn patients(manifest: &Manifest) -> Vec<&str> {
    manifest.rows.iter().map(|row| row.patient_id.as_deref().unwrap()).collect()
}

#[test]
fn pseudonyms_are_their_keys_and_the_hash_of_the_manifest_is_not() {
    let (spec, raw, folder) = (Spec::parse(SPEC).unwrap(), tiles(), tempfile::tempdir().unwrap());
    let [a, b] = ["a", "b"].map(|digit| key(folder.path(), digit));
    let (_out, first) = curated(&spec, raw.path(), &a);
    let (out, again) = curated(&spec, raw.path(), &a);
    assert_eq!(first.rows, again.rows);
    let (_other, other) = curated(&spec, raw.path(), &b);
    assert!(patients(&first).iter().all(|patient| !patients(&other).contains(patient)));
    assert_eq!(first.header.canonical_hash, other.header.canonical_hash);
    // Without the key, trying out all names finds none.
    let unkeyed = |name: u32| files::fingerprint(format!("patient\0his\0{name}").as_bytes())[..16].to_owned();
    assert!((14000..14006).all(|name| !patients(&first).contains(&unkeyed(name).as_str())));
    assert!(patients(&first).contains(&a.name("patient", &["his", "14000"]).as_str()));
    // Another key makes the finished part anew.
    build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &b }).unwrap();
    assert_eq!(Manifest::read(out.path()).unwrap().rows, other.rows);
    // Who belongs together is hashed: a patient's tile given to another is another manifest.
    let mut rows = first.rows.clone();
    rows[0].patient_id.clone_from(&first.rows.last().unwrap().patient_id);
    assert_ne!(medfsad::manifest::canonical_hash(&rows), first.header.canonical_hash);
}

/// As format 3 hashed rows: JSON lines, pseudonyms as they are, and no series.
fn hash_of_format_3(rows: &[Row]) -> String {
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| order(a).cmp(&order(b)));
    let lines: String = sorted.iter().map(|row| serde_json::to_string(row).unwrap() + "\n").collect();
    files::fingerprint(lines.replace("\"series_id\":null,", "").as_bytes())
}

#[test]
fn manifests_of_format_3_are_read_with_their_raw_folder() {
    let (spec, raw) = (Spec::parse(SPEC).unwrap(), tiles());
    let (out, manifest) = curated(&spec, raw.path(), &Key::PUBLIC);
    assert_eq!(manifest.raw().unwrap().as_deref(), Some(raw.path()));
    let path = out.path().join("manifest.json");
    let mut header: Value = serde_json::from_str(&files::read_text(&path).unwrap()).unwrap();
    assert!(header.get("raw").is_none(), "{header}");
    header["format"] = 3.into();
    header["raw"] = "/elsewhere/raw".into();
    for later in ["tables", "pixels"] {
        header.as_object_mut().unwrap().remove(later).unwrap();
    }
    header["canonical_hash"] = hash_of_format_3(&manifest.rows).into();
    assert_ne!(header["canonical_hash"], manifest.header.canonical_hash.as_str());
    std::fs::write(&path, header.to_string()).unwrap();
    std::fs::remove_file(out.path().join(RAW)).unwrap();
    let parquet = out.path().join("manifest.parquet");
    let older = table::copy(&parquet, |piece| Ok(piece.without(&["series_id"]))).unwrap();
    std::fs::write(&parquet, older).unwrap();
    let old = Manifest::read(out.path()).unwrap();
    assert_eq!(old.rows, manifest.rows);
    assert_eq!(old.raw().unwrap().as_deref(), Some(Path::new("/elsewhere/raw")));
    let task = old.tasks().remove(0);
    assert!(old.task(&task).unwrap().store(old.header.sizes[0]).is_ok(), "a store without a hash");
    header["format"] = 2.into();
    std::fs::write(&path, header.to_string()).unwrap();
    let refusal = Manifest::read(out.path()).err().unwrap().to_string();
    assert!(refusal.contains("has format 2, this program reads 3 to 7"), "{refusal}");
}

/// Replays a list's text with a key.
fn replayed(spec: &Spec, raw: &Path, text: &str, key: &Key) -> (Manifest, Vec<String>) {
    let (file, out) = (tempfile::NamedTempFile::new().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(file.path(), text).unwrap();
    let request = Request { spec, raw, out: out.path(), partial: false, key };
    let outcome = replay(&request, &IdList::read(file.path(), spec).unwrap()).unwrap();
    (Manifest::read(out.path()).unwrap(), outcome.remarks)
}

#[test]
fn an_id_list_names_no_file_and_is_replayed_with_any_key() {
    let raw = tree::raw();
    let mut spec = tree::spec();
    // A second copy of a picture, which hashes of content cannot tell from the first.
    plant(raw.path(), "Skin/good/copy.png", &noise(0));
    spec.tasks[0].train_normal = Some(12);
    let folder = tempfile::tempdir().unwrap();
    let [mine, yours] = ["1", "2"].map(|digit| key(folder.path(), digit));
    let (_out, first) = curated(&spec, raw.path(), &mine);
    let text = freeze(&first, &mine, false);
    assert!(first.rows.iter().all(|row| !text.contains(&row.source_path)), "{text}");
    assert!(!text.contains(&files::fingerprint(first.rows[0].source_path.as_bytes())[..16]));
    for key in [&mine, &yours] {
        let (again, remarks) = replayed(&spec, raw.path(), &text, key);
        let sides = |manifest: &Manifest| -> Vec<_> {
            let mut sides: Vec<_> =
                manifest.rows.iter().map(|row| (row.file_sha256.clone(), row.split)).collect();
            sides.sort();
            sides
        };
        assert_eq!(sides(&again), sides(&first));
        let is_same = again.header.canonical_hash == first.header.canonical_hash;
        assert_eq!(is_same, !remarks.iter().any(|remark| remark.contains("the id list was made from")));
    }
    // The key tells the copies apart.
    assert_eq!(replayed(&spec, raw.path(), &text, &mine).0.rows, first.rows);
    // With paths, and in the first format, it names them.
    let open = freeze(&first, &mine, true);
    assert!(first.rows.iter().all(|row| open.contains(&row.source_path)));
    assert_eq!(replayed(&spec, raw.path(), &open, &mine).0.rows, first.rows);
    let mut old = "# medfsad id list 1\n# spec small\n".to_owned();
    for row in &first.rows {
        old += &format!("{}\t{}\t0\t{}\t{}\n", row.task, row.split.name(), row.file_sha256, row.source_path);
    }
    assert_eq!(replayed(&spec, raw.path(), &old, &mine).0.rows, first.rows);
}

#[test]
fn what_is_handed_on_names_no_person_and_no_folder_of_this_machine() {
    let home = tempfile::tempdir().unwrap();
    let name = "Kowalska_Ewa_19640312";
    for (place, folder) in ["good", "good", "good", "good", "bad", "bad"].into_iter().enumerate() {
        let path = format!("{folder}/{name}_{place}.png");
        plant(home.path(), &format!("raw/Skin/{path}"), &noise(place as u64));
    }
    plant(home.path(), "raw/Skin/good/copy.png", &noise(0));
    plant(home.path(), "raw/Skin/good/damaged.png", b"\x89PNG\r\n\x1a\n");
    let spec = files::read_text(Path::new("manifests/mini.toml")).unwrap();
    let header = spec.split("[[task]]").next().unwrap().replace("\"mini\"", "\"mine\"");
    let task = "[[task]]\nname = \"skin\"\norgan = \"skin\"\nmodality = \"photograph\"\nanomaly = \"lesion\"\n\
        source = \"folders\"\nfolder = \"Skin\"\nnormal = [\"good\"]\ntrain_normal = 2\n\
        [[task.anomalous]]\nfindings = [\"bad\"]\n";
    std::fs::write(home.path().join("mine.toml"), header + task).unwrap();
    let raw = home.path().join("raw").display().to_string();
    succeeds(
        home.path(),
        &["build-dataset", "--spec", "mine.toml", "--raw", &raw, "--partial", "--freeze", "ids.txt"],
    );
    let folder = home.path().join("manifests/mine");
    // The audit finds copies, which is not the matter here; on the terminal it names files.
    let output = crate::program::medfsad(home.path(), &["audit", "manifests/mine"]);
    let said = crate::program::text(&output);
    assert!(said.contains("7 of 7 paths") || said.contains("6 of 7 paths"), "{said}");
    assert!(
        said.contains("what looks like a person's name") && said.contains("what looks like a date"),
        "{said}"
    );
    assert!(said.contains("paths, and manifest.parquet and rejected.parquet hold them"), "{said}");
    for format in ["csv", "croissant"] {
        succeeds(home.path(), &["export", "manifests/mine", "--format", format]);
    }
    for file in [
        "manifest.csv",
        "croissant.json",
        "pictures.parquet",
        "audit.json",
        "audit.html",
        "card.md",
        "manifest.json",
    ] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        for secret in ["Kowalska", "19640312", &home.path().display().to_string()] {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{file} holds {secret}");
        }
    }
    crate::browser::is_accessible(&folder.join("audit.html"));
    responsible_values_are_those_of_the_audit_and_the_counts(&folder);
    let ids = files::read_text(&home.path().join("ids.txt")).unwrap();
    assert!(!ids.contains("Kowalska") && !ids.contains("good/"), "{ids}");
    // Nor do tables that stay say where the raw folder lies.
    let rejected = std::fs::read(folder.join("rejected.parquet")).unwrap();
    assert!(!rejected.windows(raw.len()).any(|window| window == raw.as_bytes()));
    // Who asks for paths gets them.
    succeeds(home.path(), &["export", "manifests/mine", "--format", "csv", "--paths", "--out", "paths.csv"]);
    assert!(files::read_text(&home.path().join("paths.csv")).unwrap().contains(name));
}

fn responsible_values_are_those_of_the_audit_and_the_counts(folder: &Path) {
    let document: Value =
        serde_json::from_str(&files::read_text(&folder.join("croissant.json")).unwrap()).unwrap();
    let texts = |name: &str| -> Vec<String> {
        let values = document[format!("rai:{name}")].as_array().unwrap_or_else(|| panic!("{name}"));
        values.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let rows = Manifest::read(folder).unwrap().rows;
    let count = |split, label| rows.iter().filter(|row| (row.split, row.label) == (split, label)).count();
    let balance = format!(
        "skin: {} normal pictures to train on; {} normal and {} anomalous ones to test with, which is no prevalence.",
        count(Split::Train, Label::Normal),
        count(Split::Test, Label::Normal),
        count(Split::Test, Label::Anomalous)
    );
    assert_eq!(texts("dataBiases")[0], balance);
    let missing = "1 files or frames were found and not used: 1 unreadable.";
    assert_eq!(document["rai:dataCollectionMissingData"], missing);
    let unknown = format!("skin: the patients of {0} of {0} pictures are not known", rows.len());
    assert!(texts("dataLimitations").iter().any(|text| text.starts_with(&unknown)));
    let report: Value = serde_json::from_str(&files::read_text(&folder.join("audit.json")).unwrap()).unwrap();
    let gates = report["gates"].as_array().unwrap();
    let gate = gates.iter().find(|gate| gate["name"] == "file-names").unwrap();
    assert_eq!(gate["findings"].as_array().unwrap().len(), 2);
    let said = format!("Audit `file-names` ({}): 2 findings.", gate["asks"].as_str().unwrap());
    assert!(texts("personalSensitiveInformation").contains(&said));
}
