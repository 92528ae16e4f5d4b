//! Adapters find what is there, and say why not.

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::source::{Lesions, Listing, SOURCES, Side, find};
use medfsad::spec::{Spec, Task};
use tempfile::TempDir;

use crate::shared::shared;

/// A folder with these files; those ending in `.csv` get their text, the rest a byte.
fn tree(paths: &[&str], tables: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in paths.iter().map(|path| (path, &"x")).chain(tables.iter().map(|(p, c)| (p, c))) {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    root
}

/// What a spec says of reading; the adapters of this file's tests need no more.
fn task() -> Task {
    Spec::load("mini").unwrap().tasks.remove(0)
}

fn list(source: &str, root: &Path) -> Listing {
    (find(source).unwrap().list)(root, &task()).unwrap_or_else(|err| panic!("{source}: {err:#}"))
}

fn failure(source: &str, root: &Path) -> String {
    format!("{:#}", (find(source).unwrap().list)(root, &task()).expect_err("listing should fail"))
}

/// `path: finding` of every candidate.
fn findings(listing: &Listing) -> Vec<String> {
    listing.candidates.iter().map(|found| format!("{}: {}", found.path, found.finding)).collect()
}

fn reason<'a>(listing: &'a Listing, path: &str) -> &'a str {
    let refusal = listing.refused.iter().find(|refusal| refusal.path == path);
    &refusal.unwrap_or_else(|| panic!("{path} is not refused")).reason
}

#[test]
fn names_of_sources_are_unique_and_unknown_ones_are_answered_with_them() {
    let names: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
    assert_eq!(
        names,
        ["camelyon16", "lag", "aptos", "rsna", "brain-tumor-mri", "brats", "ddad", "mvtec", "folders"]
    );
    let error = find("braintumor").err().unwrap().to_string();
    assert!(error.contains("brain-tumor-mri") && error.contains("folders"), "{error}");
}

#[test]
fn every_source_names_a_missing_folder_and_the_remedy() {
    for source in SOURCES {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("not here");
        let error = failure(source.name, &missing);
        assert!(error.contains("not here is missing; "), "{error}");
        std::fs::write(root.path().join("README.txt"), "x").unwrap();
        let error = failure(source.name, root.path());
        assert!(error.contains("; give the folder") || error.contains("; put pictures"), "{error}");
    }
}

#[test]
fn camelyon16_reads_every_spelling_and_the_patient_from_tile_names() {
    let root = tree(
        &[
            "train/good/1000.png",
            "valid/good/img/1000.png",
            "test/Ungood/14306_idx5_x1151_y1401_class1.png",
            "test/ungood/img/7 (2).png",
            "test/bad/9.png",
            "test/odd/9.png",
            "test/Ungood/notes.txt",
            "LICENSE",
        ],
        &[],
    );
    let listing = list("camelyon16", root.path());
    assert_eq!(
        findings(&listing),
        [
            "test/Ungood/14306_idx5_x1151_y1401_class1.png: Ungood",
            "test/bad/9.png: Ungood",
            "test/ungood/img/7 (2).png: Ungood",
            "train/good/1000.png: good",
            "valid/good/img/1000.png: good",
        ]
    );
    let patients: Vec<Option<&str>> =
        listing.candidates.iter().map(|found| found.patient.as_deref()).collect();
    assert_eq!(patients, [Some("14306"), None, None, None, None]);
    let sides: Vec<Side> = listing.candidates.iter().filter_map(|found| found.owner_split).collect();
    assert_eq!(sides, [Side::Test, Side::Test, Side::Test, Side::Train, Side::Val]);
    assert!(reason(&listing, "LICENSE").starts_with("not a picture by its ending"));
    assert!(reason(&listing, "test/Ungood/notes.txt").starts_with("not a picture by its ending"));
    assert!(reason(&listing, "test/odd/9.png").contains("odd"));
    assert_eq!(listing.differences[0], "train good: 1 found, 5088 published (BMAD, test and valid together)");
}

#[test]
fn lag_refuses_the_companions_of_its_pictures() {
    let root = tree(
        &[
            "non_glaucoma/image/0001.jpg",
            "non_glaucoma/attention_map/0001.jpg",
            "non_glaucoma/label/0001.txt",
            "suspicious_glaucoma/image/0002 (a) [b].JPG",
        ],
        &[],
    );
    let listing = list("lag", root.path());
    assert_eq!(
        findings(&listing),
        [
            "non_glaucoma/image/0001.jpg: non_glaucoma",
            "suspicious_glaucoma/image/0002 (a) [b].JPG: suspicious_glaucoma"
        ]
    );
    assert!(listing.candidates.iter().all(|found| found.owner_split.is_none()));
    assert!(reason(&listing, "non_glaucoma/attention_map/0001.jpg").contains("attention map"));
    assert!(reason(&listing, "non_glaucoma/label/0001.txt").starts_with("not a picture by its ending"));
}

#[test]
fn aptos_pairs_rows_and_files_by_key_and_refuses_the_unpaired() {
    let files = [
        "train_images/a.png",
        "train_images/b c.png",
        "train_images/norow.png",
        "train_images/two.png",
        "test_images/t.png",
    ];
    let table = "id_code,diagnosis\na,0\n\"b c\",4\nnofile,2\ntwo,1\ntwo,2\na,0\n";
    let root = tree(&files, &[("train.csv", table), ("test.csv", "id_code\nt\n")]);
    let listing = list("aptos", root.path());
    assert_eq!(findings(&listing), ["train_images/a.png: 0", "train_images/b c.png: 4"]);
    assert!(reason(&listing, "train_images/norow.png").contains("no row"));
    assert!(reason(&listing, "train_images/nofile.png").contains("file is missing"));
    assert!(reason(&listing, "train_images/two.png").contains("disagree on its grade: 1, 2"));
    assert!(reason(&listing, "test_images/t.png").contains("not published"));
    assert_eq!(listing.refused.len(), 6);
    let root = tree(&files, &[("train.csv", "id,level\na,0\n")]);
    let error = failure("aptos", root.path());
    assert!(error.contains("train.csv has no column `id_code` (its columns: id, level)"), "{error}");
    let root = tree(&files, &[]);
    assert!(failure("aptos", root.path()).contains("train.csv is missing"));
}

#[test]
fn rsna_takes_boxes_together_and_refuses_films_on_which_the_tables_disagree() {
    let films = ["n", "o", "x", "conflict", "norow"].map(|id| format!("stage_2_train_images/{id}.dcm"));
    let mut files: Vec<&str> = films.iter().map(String::as_str).collect();
    files.extend(["stage_2_test_images/t.dcm", "GCP Credits Request Link - RSNA.txt"]);
    let classes = "patientId,class\nn,Normal\no,Lung Opacity\no,Lung Opacity\n\
        x,No Lung Opacity / Not Normal\nconflict,Normal\ngone,Normal\n";
    let boxes = "patientId,x,y,width,height,Target\nn,,,,,0\no,1,2,3,4,1\no,5,6,7,8,1\nx,,,,,0\nconflict,1,2,3,4,1\ngone,,,,,0\n";
    let tables = [("stage_2_detailed_class_info.csv", classes), ("stage_2_train_labels.csv", boxes)];
    let root = tree(&files, &tables);
    let listing = list("rsna", root.path());
    assert_eq!(
        findings(&listing),
        [
            "stage_2_train_images/n.dcm: Normal",
            "stage_2_train_images/o.dcm: Lung Opacity",
            "stage_2_train_images/x.dcm: No Lung Opacity / Not Normal"
        ]
    );
    assert_eq!(listing.candidates[1].patient.as_deref(), Some("o"));
    let boxes: Vec<_> = listing.candidates.iter().map(|found| found.mask.clone()).collect();
    assert_eq!(boxes, [None, Some(Lesions::Boxes(vec![[1, 2, 3, 4], [5, 6, 7, 8]])), None]);
    let conflict = reason(&listing, "stage_2_train_images/conflict.dcm");
    assert_eq!(conflict, "the label tables disagree: class Normal, Target 1");
    assert!(reason(&listing, "stage_2_train_images/norow.dcm").contains("no row"));
    assert!(reason(&listing, "stage_2_train_images/gone.dcm").contains("file is missing"));
    assert!(reason(&listing, "stage_2_test_images/t.dcm").contains("not published"));
    assert!(listing.differences[0].starts_with("1 films are left out"), "{:?}", listing.differences);
}

#[test]
fn brain_tumor_mri_keeps_the_owners_division_and_lists_pituitary() {
    let classes = ["glioma", "meningioma", "notumor", "pituitary"];
    let paths: Vec<String> = ["Training", "Testing"]
        .iter()
        .flat_map(|side| classes.map(|class| format!("{side}/{class}/Te-noTr_0000 (1).jpg")))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let listing = list("brain-tumor-mri", tree(&paths, &[]).path());
    assert_eq!(listing.candidates.len(), 8);
    assert_eq!(listing.candidates[3].finding, "pituitary");
    assert_eq!(listing.candidates[3].owner_split, Some(Side::Test));
    assert_eq!(listing.candidates[4].owner_split, Some(Side::Train));
    assert_eq!(listing.differences.len(), 8);
    let error = failure("brain-tumor-mri", tree(&["Training/glioma/a.jpg"], &[]).path());
    assert!(error.contains("Training/meningioma is missing") && error.contains("holds Training;"), "{error}");
}

#[test]
fn folders_take_the_class_folder_as_finding_and_refuse_masks_and_strays() {
    let root = tree(
        &[
            "train/good/1.png",
            "test/hair crack [2]/1.png",
            "plain/2.BMP",
            "Testing/deep/er/3.tif",
            "ground_truth/crack/1.png",
            "stray.png",
            "train/stray.png",
            ".hidden/good/1.png",
            "train/good/.DS_Store",
        ],
        &[],
    );
    let listing = list("folders", root.path());
    let sides: Vec<(String, Option<Side>)> = findings(&listing)
        .into_iter()
        .zip(listing.candidates.iter().map(|found| found.owner_split))
        .collect();
    let expected = [
        ("Testing/deep/er/3.tif: er", Some(Side::Test)),
        ("plain/2.BMP: plain", None),
        ("test/hair crack [2]/1.png: hair crack [2]", Some(Side::Test)),
        ("train/good/1.png: good", Some(Side::Train)),
    ];
    assert_eq!(sides, expected.map(|(found, side)| (found.to_owned(), side)));
    assert!(reason(&listing, "ground_truth/crack/1.png").contains("mask"));
    assert!(reason(&listing, "stray.png").contains("one folder per finding"));
    assert!(reason(&listing, "train/stray.png").contains("one folder per finding"));
    assert_eq!(listing.refused.len(), 3);
}

/// Findings and how many pictures have them.
type Counts = &'static [(&'static str, usize)];

#[test]
fn real_trees_are_listed_in_full() {
    let cases: [(&str, &str, Counts); 5] = [
        ("camelyon16", "Camelyon16", &[("Ungood", 80), ("good", 300)]),
        ("lag", "LAG", &[("non_glaucoma", 200), ("suspicious_glaucoma", 90)]),
        ("aptos", "aptos2019", &[("0", 150), ("1", 13), ("2", 29), ("3", 23), ("4", 15)]),
        (
            "rsna",
            "rsna-pneumonia-detection-challenge",
            &[("Lung Opacity", 60), ("No Lung Opacity / Not Normal", 10), ("Normal", 140)],
        ),
        (
            "brain-tumor-mri",
            "brain-tumor-mri-dataset",
            &[("glioma", 60), ("meningioma", 60), ("notumor", 200)],
        ),
    ];
    for (source, folder, expected) in cases {
        let Some(root) = shared(&format!("realmini/raw/{folder}")) else { return };
        let listing = list(source, &root);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for candidate in &listing.candidates {
            *counts.entry(&candidate.finding).or_default() += 1;
        }
        println!("{source}: {counts:?}, {} refused, {:?}", listing.refused.len(), listing.differences);
        assert_eq!(counts, expected.iter().copied().collect(), "{source}");
        assert!(listing.candidates.is_sorted_by_key(|found| &found.path));
        assert!(
            listing.refused.iter().all(|refusal| refusal.reason.starts_with("not a picture")),
            "{:?}",
            listing.refused
        );
        assert!(!listing.differences.is_empty(), "{source} is not the owner's full set");
    }
}

#[test]
fn mvtec_pairs_pictures_with_their_masks_and_counts_those_without() {
    let root = tree(
        &[
            "train/good/000.png",
            "val/good/000.png",
            "test/good/000.png",
            "test/crack/000.png",
            "test/crack/001.bmp",
            "test/crack/002.png",
            "ground_truth/crack/000_mask.png",
            "ground_truth/crack/001.png",
            "license.txt",
        ],
        &[],
    );
    let listing = list("mvtec", root.path());
    let mask = |name: &str| Some(Lesions::Masks(format!("ground_truth/crack/{name}.png")));
    let found: Vec<_> =
        listing.candidates.iter().map(|c| (c.path.as_str(), c.owner_split, c.mask.clone())).collect();
    let expected = [
        ("test/crack/000.png", Some(Side::Test), mask("000_mask")),
        ("test/crack/001.bmp", Some(Side::Test), mask("001")),
        ("test/crack/002.png", Some(Side::Test), None),
        ("test/good/000.png", Some(Side::Test), None),
        ("train/good/000.png", Some(Side::Train), None),
        ("val/good/000.png", Some(Side::Val), None),
    ];
    assert_eq!(found, expected);
    // In the task of this test every folder but `good` is anomalous.
    assert_eq!(listing.differences[0], "1 anomalous pictures have no mask below ground_truth");
    assert!(reason(&listing, "ground_truth/crack/001.png").contains("a mask"));
}

#[test]
fn ddad_finds_its_pictures_in_copies_and_in_the_owners_folders() {
    let division = r#"{"train": {"0": ["a.png", "0002.jpg"], "unlabeled": {"0": ["u.png"], "1": ["v.png"]}},
        "test": {"0": ["b.png", "gone.png"], "1": ["0003.jpg", "twice.png", "a.png"]}}"#;
    let root = tree(
        &[
            "images/a.png",
            "images/u.png",
            "films/b.dcm",
            "films/v.dcm",
            "non_glaucoma/image/0002.jpg",
            "non_glaucoma/attention_map/0002.jpg",
            "suspicious_glaucoma/image/0003.jpg",
            "x/twice.png",
            "y/twice.png",
            "images/unnamed.png",
        ],
        &[("data.json", division)],
    );
    let listing = list("ddad", root.path());
    assert_eq!(
        findings(&listing),
        [
            "films/b.dcm: 0",
            "films/v.dcm: unlabeled 1",
            "images/a.png: 0",
            "images/u.png: unlabeled 0",
            "non_glaucoma/image/0002.jpg: 0",
            "suspicious_glaucoma/image/0003.jpg: 1",
        ]
    );
    let sides: Vec<_> = listing.candidates.iter().map(|found| found.owner_split).collect();
    let (train, test) = (Some(Side::Train), Some(Side::Test));
    assert_eq!(sides, [test, None, train, None, train, test]);
    assert!(reason(&listing, "gone.png").contains("the file is missing"));
    assert!(reason(&listing, "twice.png").contains("x/twice.png, y/twice.png"));
    assert!(reason(&listing, "a.png").contains("names images/a.png twice"));
    assert!(reason(&listing, "images/unnamed.png").contains("does not name it"));
    let root = tree(&["images/a.png"], &[("data.json", "{\"train\": 3}")]);
    assert!(failure("ddad", root.path()).contains("data.json is not the data.json of DDAD"));
}

#[test]
fn one_name_matches_itself_in_either_form_of_its_accents() {
    let (composed, apart) = ("\u{d6}dem", "O\u{308}dem");
    let file = format!("train_images/{apart}.png");
    let root = tree(&[&file], &[("train.csv", &format!("id_code,diagnosis\n{composed},2\n"))]);
    let listing = list("aptos", root.path());
    assert_eq!((findings(&listing), listing.refused.len()), (vec![format!("{file}: 2")], 1));
    assert_eq!(listing.refused[0].path, "train.csv");

    let file = format!("images/{apart}.png");
    let division = format!(r#"{{"train": {{"0": ["{composed}.png"]}}, "test": {{}}}}"#);
    let root = tree(&[&file], &[("data.json", &division)]);
    let listing = list("ddad", root.path());
    assert_eq!((findings(&listing), listing.refused.len()), (vec![format!("{file}: 0")], 1));
    assert_eq!(listing.refused[0].path, "data.json");
    // Both forms may lie side by side: then it is not told which is meant, and neither is lost.
    let root = tree(&[&file, &format!("images/{composed}.png")], &[("data.json", &division)]);
    let listing = list("ddad", root.path());
    assert!(reason(&listing, &format!("{composed}.png")).contains("several pictures could be meant"));
    assert_eq!(listing.refused.len(), 4);

    let (picture, mask) = (format!("test/{apart}/1.png"), format!("ground_truth/{composed}/1_mask.png"));
    let root = tree(&["train/good/1.png", &picture, &mask], &[]);
    let listing = list("mvtec", root.path());
    assert_eq!(findings(&listing)[0], format!("{picture}: {composed}"));
    assert_eq!(listing.candidates[0].mask, Some(Lesions::Masks(mask)));
}

#[test]
fn doubtful_masks_are_one_remark_with_their_count_and_the_first_names() {
    let mut files = vec!["train/good/1.png".to_owned()];
    for number in 0..7 {
        files.push(format!("test/bad/{number}.png"));
        files.extend(["seg", "mask"].map(|word| format!("ground_truth/bad/{number}_{word}.png")));
    }
    let root = tree(&files.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let listing = list("mvtec", root.path());
    let said: Vec<&String> = listing.differences.iter().filter(|said| said.contains("several")).collect();
    let [one] = said[..] else { panic!("{said:?}") };
    assert!(
        one.starts_with("7 pictures have several masks, of which none is used: test/bad/0.png ("),
        "{one}"
    );
    assert!(one.contains("test/bad/4.png") && !one.contains("test/bad/5.png"), "{one}");
}
