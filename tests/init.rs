//! `init`: from somebody's own folders to a spec and a bench definition that hold.

use std::path::Path;

use crate::program::{fails, succeeds};

fn picture(path: &Path, value: u8) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let texture = |x: u32, y: u32| image::Luma([value.wrapping_add((7 * x + 13 * y) as u8)]);
    image::GrayImage::from_fn(40, 40, texture).save(path).expect("a picture");
}

/// Brain with patients in names, eye with the owner's sides and masks as MVTec has them, chest with masks beside it.
fn tree(root: &Path) {
    for n in 0..12 {
        picture(&root.join(format!("brain/no_tumor/P{:02}_{}.png", n / 2, n % 2)), n);
        picture(&root.join(format!("brain/glioma/P{:02}_{}.png", 20 + n / 3, n % 3)), 100 + n);
        picture(&root.join(format!("eye/train/good/{n}.png")), 20 + n);
        picture(&root.join(format!("chest x/normal/{n}.png")), 40 + n);
    }
    for n in 0..4 {
        picture(&root.join(format!("eye/test/good/{n}.png")), 60 + n);
        picture(&root.join(format!("eye/test/spot/{n}.png")), 70 + n);
        picture(&root.join(format!("eye/ground_truth/spot/{n}_mask.png")), 80 + n);
        picture(&root.join(format!("chest x/fracture/{n}.png")), 90 + n);
        picture(&root.join(format!("chest x/masks/fracture/{n}_mask.png")), 95 + n);
    }
    std::fs::write(root.join("readme.txt"), "ours").expect("a file");
}

#[test]
fn own_folders_become_a_benchmark() {
    let home = tempfile::tempdir().expect("a folder");
    tree(&home.path().join("own"));
    let said = succeeds(home.path(), &["init", "own"]);
    for part in [
        "no_tumor 12",
        "glioma 12",
        "10, from file names",
        "train and test folders",
        "chest x/masks",
        "8 files, masks",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let spec = std::fs::read_to_string(home.path().join("manifests/own.toml")).expect("a spec");
    let spec = medfsad::spec::Spec::parse(&spec).expect("a spec that holds");
    let task = |name: &str| spec.task(name).expect("a task");
    assert_eq!((task("eye").source.as_str(), task("brain").source.as_str()), ("mvtec", "folders"));
    assert_eq!(task("chest-x").masks.as_deref(), Some("chest x/masks"));
    let built = succeeds(
        home.path(),
        &["build-dataset", "--spec", "manifests/own.toml", "--raw", "own", "--threads", "1"],
    );
    assert!(built.contains("pictures curated"), "{built}");
    let manifest = medfsad::manifest::Manifest::read(&home.path().join("manifests/own")).expect("a manifest");
    let of = |task: &'static str| manifest.rows.iter().filter(move |row| row.task == task);
    // Patients in names are kept whole, and masks are no pictures.
    let patients: std::collections::BTreeSet<_> =
        of("brain").filter_map(|row| row.patient_id.clone()).collect();
    assert_eq!(patients.len(), 10);
    assert_eq!(of("chest-x").filter(|row| row.finding == "fracture").count(), 4);
    assert_eq!(of("chest-x").filter(|row| row.mask_hash.is_some()).count(), 4);
    assert_eq!(of("eye").filter(|row| row.mask_hash.is_some()).count(), 4);
    // An earlier file is nobody's to overwrite.
    fails(home.path(), &["init", "own"], &["manifests/own.toml", "--force"]);
    succeeds(home.path(), &["init", "own", "--force"]);
}

#[test]
fn class_folders_alone_are_one_task() {
    let home = tempfile::tempdir().expect("a folder");
    for n in 0..6 {
        picture(&home.path().join(format!("Wrist Films/typical/{n}.png")), n);
        picture(&home.path().join(format!("Wrist Films/broken/{n}.png")), 50 + n);
    }
    fails(home.path(), &["init", "Wrist Films"], &["`broken`, `typical`", "--normal CLASS"]);
    let said = succeeds(home.path(), &["init", "Wrist Films", "--normal", "typical"]);
    assert!(said.contains("D2-4FAD trains on other tasks"), "{said}");
    let bench =
        std::fs::read_to_string(home.path().join("benchmarks/wrist-films.toml")).expect("a definition");
    assert!(!bench.contains("\"d24fad\"") && bench.contains("\"patchcore\""), "{bench}");
    let raw = home.path().canonicalize().expect("a path");
    let raw = raw.to_str().expect("UTF-8");
    let spec = "manifests/wrist-films.toml";
    let built = succeeds(home.path(), &["build-dataset", "--spec", spec, "--raw", raw]);
    assert!(built.contains("12 pictures curated"), "{built}");
    fails(home.path(), &["init", "nowhere"], &["nowhere is not a folder"]);
    std::fs::create_dir(home.path().join("empty")).expect("a folder");
    fails(home.path(), &["init", "empty"], &["no picture in a class folder", "brain/normal"]);
}

#[test]
fn masks_beside_pictures_are_masks() {
    let home = tempfile::tempdir().expect("a folder");
    for n in 0..4 {
        picture(&home.path().join(format!("breast/normal/normal ({n}).png")), n);
        picture(&home.path().join(format!("breast/benign/benign ({n}).png")), 50 + n);
        picture(&home.path().join(format!("breast/benign/benign ({n})_mask.png")), 90 + n);
    }
    picture(&home.path().join("breast/benign/benign (0)_mask_1.png"), 99);
    let said = succeeds(home.path(), &["init", "breast"]);
    assert!(said.contains("benign 4\n") && said.contains("5 files, masks beside their pictures"), "{said}");
    let raw = home.path().canonicalize().expect("a path");
    let raw = raw.to_str().expect("UTF-8");
    let built = succeeds(home.path(), &["build-dataset", "--spec", "manifests/breast.toml", "--raw", raw]);
    assert!(built.contains("1 pictures have several masks beside them"), "{built}");
    let manifest =
        medfsad::manifest::Manifest::read(&home.path().join("manifests/breast")).expect("a manifest");
    assert_eq!(manifest.rows.iter().filter(|row| row.finding == "benign").count(), 4);
    assert_eq!(manifest.rows.iter().filter(|row| row.mask_hash.is_some()).count(), 3);
}

#[test]
fn trees_that_would_mix_tasks_or_lose_patients_are_told() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join("own");
    for n in 0..6 {
        picture(&root.join(format!("a/normal/P{}_{}.png", n / 2, n % 2)), n);
        picture(&root.join(format!("a/sick/P{}_{}.png", n / 2, n % 2)), 50 + n);
    }
    let said = succeeds(home.path(), &["init", "own"]);
    assert!(said.contains("6 normal pictures are of patients with anomalous ones"), "{said}");
    let built = succeeds(
        home.path(),
        &["build-dataset", "--spec", "manifests/own.toml", "--raw", "own", "--threads", "1"],
    );
    assert!(built.contains("no normal picture trains"), "{built}");
    for n in 0..3 {
        picture(&root.join(format!("a/inner/normal/{n}.png")), 100 + n);
        picture(&root.join(format!("a/inner/sick/{n}.png")), 150 + n);
    }
    fails(home.path(), &["init", "own", "--force"], &["a/inner", "would be in both tasks"]);
    fails(home.path(), &["init", "own", "--normal", "healhty"], &["unknown class folder `healhty`"]);
    // A side above the organ is said; class folders with sides below them are understood.
    let other = home.path().join("other");
    for n in 0..4 {
        picture(&other.join(format!("train/brain/normal/{n}.png")), n);
        picture(&other.join(format!("eye/normal/train_set/{n}.png")), 20 + n);
        picture(&other.join(format!("eye/normal/test_set/{n}.png")), 30 + n);
        picture(&other.join(format!("eye/spot/test_set/{n}.png")), 40 + n);
    }
    let said = succeeds(home.path(), &["init", "other"]);
    assert!(said.contains("move it below") && said.contains("train and test folders"), "{said}");
    let built = succeeds(home.path(), &["build-dataset", "--spec", "manifests/other.toml", "--raw", "other"]);
    assert!(built.contains("12 pictures curated"), "{built}");
}
