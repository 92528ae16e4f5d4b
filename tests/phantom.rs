//! The phantom: same bytes for any number of threads, owners' layouts, files that decode.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use dicom_pixeldata::PixelDecoder;
use image::GrayImage;
use medfsad::files;
use medfsad::phantom::{self, Counts, Settings};
use medfsad::spec::{Spec, Task};

mod exposure;

const FOLDERS: [(&str, &str); 5] = [
    ("his", "Camelyon16"),
    ("lag", "LAG"),
    ("aptos", "aptos2019"),
    ("rsna", "rsna-pneumonia-detection-challenge"),
    ("brain_tumor", "brain-tumor-mri-dataset"),
];

fn few(seed: u64) -> Settings {
    let few = Counts { train_normal: 5, test_normal: 4, anomalous: 8, other: 3 };
    Settings { seed, his: few, lag: few, aptos: few, rsna: few, brain_tumor: few, ..Settings::default() }
}

fn drawn() -> Result<tempfile::TempDir> {
    let root = tempfile::tempdir()?;
    phantom::write_with(root.path(), &few(7))?;
    Ok(root)
}

/// The content of every file, by path.
fn fingerprints(root: &Path) -> Result<BTreeMap<String, String>> {
    let print = |path: String| {
        let print = files::fingerprint(&files::read(&root.join(&path))?);
        Ok((path, print))
    };
    files::walk(root)?.into_iter().map(print).collect()
}

/// Paths of the pictures of one task, below its folder.
fn pictures(root: &Path, folder: &str) -> Result<Vec<String>> {
    let all = files::walk(&root.join(folder))?;
    Ok(all.into_iter().filter(|path| !path.ends_with(".csv")).collect())
}

/// Width and height of a picture that must decode.
fn decoded(path: &Path) -> Result<(u32, u32)> {
    if path.extension().is_some_and(|extension| extension == "dcm") {
        let film = dicom_object::open_file(path)?;
        let pixels = film.decode_pixel_data()?;
        return Ok((pixels.columns(), pixels.rows()));
    }
    let picture = image::open(path).with_context(|| path.display().to_string())?;
    Ok((picture.width(), picture.height()))
}

fn mask(root: &Path, task: &str, picture: &str) -> Option<GrayImage> {
    let path = root.join("lesion_masks").join(task).join(picture).with_extension("png");
    path.exists().then(|| image::open(path).expect("the mask decodes").into_luma8())
}

/// Rows of a label table without its header.
fn rows(root: &Path, table: &str) -> Result<Vec<Vec<String>>> {
    let mut reader = csv::Reader::from_path(root.join(table))?;
    reader.records().map(|row| Ok(row?.iter().map(str::to_owned).collect())).collect()
}

fn ids_of(paths: &[String]) -> BTreeSet<String> {
    let id = |path: &String| Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    paths.iter().filter_map(id).collect()
}

/// The finding of each id, told by the label table.
fn findings(root: &Path, table: &str) -> Result<BTreeMap<String, String>> {
    Ok(rows(root, table)?.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect())
}

#[test]
fn same_seed_gives_the_same_bytes_for_any_number_of_threads() -> Result<()> {
    let [one, two, again] = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    for (root, threads, seed) in [(&one, 1, 7), (&two, 2, 7), (&again, 2, 8)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        pool.install(|| phantom::write_with(root.path(), &few(seed)))?;
    }
    let first = fingerprints(one.path())?;
    assert_eq!(first, fingerprints(two.path())?);
    assert_ne!(first, fingerprints(again.path())?, "another seed draws other pictures");
    phantom::write_with(one.path(), &few(7))?;
    assert_eq!(first, fingerprints(one.path())?, "writing again changes nothing");
    Ok(())
}

#[test]
fn folders_and_names_are_the_owners() -> Result<()> {
    let root = drawn()?;
    let mut counts = BTreeMap::new();
    for (_, folder) in FOLDERS {
        for path in pictures(root.path(), folder)? {
            let (parent, name) = path.rsplit_once('/').context("a picture in a folder")?;
            if folder.starts_with("brain") {
                let (side, class) = parent.split_once('/').context("side and class")?;
                assert!(name.starts_with(&format!("{}-{}_", &side[..2], &class[..2])), "{path}");
            }
            *counts.entry(format!("{folder}/{parent}")).or_insert(0) += 1;
        }
    }
    let counts: Vec<(&str, i32)> = counts.iter().map(|(path, count)| (path.as_str(), *count)).collect();
    let expected = [
        ("Camelyon16/test/Ungood", 8),
        ("Camelyon16/test/good", 4),
        ("Camelyon16/train/good", 5),
        ("LAG/non_glaucoma/image", 9),
        ("LAG/suspicious_glaucoma/image", 8),
        ("aptos2019/train_images", 17),
        ("brain-tumor-mri-dataset/Testing/glioma", 2),
        ("brain-tumor-mri-dataset/Testing/meningioma", 2),
        ("brain-tumor-mri-dataset/Testing/notumor", 4),
        ("brain-tumor-mri-dataset/Testing/pituitary", 1),
        ("brain-tumor-mri-dataset/Training/glioma", 2),
        ("brain-tumor-mri-dataset/Training/meningioma", 2),
        ("brain-tumor-mri-dataset/Training/notumor", 5),
        ("brain-tumor-mri-dataset/Training/pituitary", 2),
        ("rsna-pneumonia-detection-challenge/stage_2_train_images", 20),
    ];
    assert_eq!(counts, expected);
    Ok(())
}

#[test]
fn every_file_decodes_and_none_is_square() -> Result<()> {
    let root = drawn()?;
    for (task, folder) in FOLDERS {
        for path in pictures(root.path(), folder)? {
            let (width, height) = decoded(&root.path().join(folder).join(&path))?;
            assert_ne!(width, height, "{path}");
            assert!(130 <= width.min(height) && width.max(height) <= 240, "{path}: {width} x {height}");
            if let Some(mask) = mask(root.path(), task, &path) {
                assert_eq!(mask.dimensions(), (width, height), "the mask of {path}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_ill_have_masks_and_the_healthy_none() -> Result<()> {
    let root = drawn()?;
    let grades = findings(root.path(), "aptos2019/train.csv")?;
    let classes =
        findings(root.path(), "rsna-pneumonia-detection-challenge/stage_2_detailed_class_info.csv")?;
    for (task, folder) in FOLDERS {
        for path in pictures(root.path(), folder)? {
            let id = ids_of(std::slice::from_ref(&path)).pop_first().unwrap_or_default();
            let ill = match task {
                "aptos" => grades[&id] != "0",
                "rsna" => classes[&id] == "Lung Opacity",
                _ => !["/good/", "non_glaucoma/", "/notumor/"].iter().any(|part| path.contains(part)),
            };
            let mask = mask(root.path(), task, &path);
            assert_eq!(mask.is_some(), ill, "{task}: {path}");
            let Some(mask) = mask else { continue };
            assert!(mask.as_raw().iter().all(|&mark| mark == 0 || mark == 255), "{path}");
            let marked = mask.as_raw().iter().filter(|&&mark| mark == 255).count();
            let share = marked as f64 / mask.as_raw().len() as f64;
            assert!((0.003..0.4).contains(&share), "{task}: the mask of {path} covers {share:.4}");
        }
    }
    Ok(())
}

#[test]
fn label_tables_name_the_pictures_and_boxes_hold_the_lesions() -> Result<()> {
    let root = drawn()?;
    let root = root.path();
    let grades = findings(root, "aptos2019/train.csv")?;
    assert_eq!(grades.keys().cloned().collect::<BTreeSet<_>>(), ids_of(&pictures(root, "aptos2019")?));
    assert_eq!(grades.values().filter(|grade| *grade == "4").count(), 2, "grades are spread evenly");

    let rsna = "rsna-pneumonia-detection-challenge";
    let boxes = rows(root, &format!("{rsna}/stage_2_train_labels.csv"))?;
    let classes = rows(root, &format!("{rsna}/stage_2_detailed_class_info.csv"))?;
    let ids: BTreeSet<String> = boxes.iter().map(|row| row[0].clone()).collect();
    assert_eq!(ids, ids_of(&pictures(root, rsna)?));
    assert_eq!(boxes.len(), classes.len(), "one row per box in either table");
    for (row, class) in boxes.iter().zip(&classes) {
        assert_eq!(row[0], class[0]);
        assert_eq!(row[5] == "1", class[1] == "Lung Opacity", "{row:?}");
        assert_eq!(row[1].is_empty(), row[5] == "0", "{row:?}");
    }
    let ill = boxes.iter().filter(|row| row[5] == "1").map(|row| row[0].as_str());
    for id in ill.collect::<BTreeSet<_>>() {
        let mask = mask(root, "rsna", &format!("stage_2_train_images/{id}.dcm")).context("a mask")?;
        for (x, y, _) in mask.enumerate_pixels().filter(|(_, _, mark)| mark[0] == 255) {
            assert!(boxes.iter().any(|row| row[0] == id && inside(row, x, y)), "{id}: {x}, {y}");
        }
    }
    Ok(())
}

/// Whether the box of `row` (`patientId,x,y,width,height,Target`) holds the pixel.
fn inside(row: &[String], x: u32, y: u32) -> bool {
    let side = |column: usize| row[column].parse::<f64>().unwrap_or(f64::NAN);
    let within = |at: u32, from: f64, length: f64| from <= f64::from(at) && f64::from(at) < from + length;
    within(x, side(1), side(3)) && within(y, side(2), side(4))
}

#[test]
fn films_carry_what_adapters_read() -> Result<()> {
    let root = drawn()?;
    let folder = "rsna-pneumonia-detection-challenge";
    let mut kinds = BTreeSet::new();
    for path in pictures(root.path(), folder)? {
        let film = dicom_object::open_file(root.path().join(folder).join(&path))?;
        let text = |name: &str| -> Result<String> { Ok(film.element_by_name(name)?.to_str()?.into_owned()) };
        assert_eq!(BTreeSet::from([text("PatientID")?]), ids_of(std::slice::from_ref(&path)));
        assert!(["AP", "PA"].contains(&text("ViewPosition")?.as_str()));
        assert!(text("SOPInstanceUID")?.starts_with("2.25."));
        kinds.insert(film.meta().transfer_syntax().trim_end_matches('\0').to_owned());
        kinds.insert(text("PhotometricInterpretation")?);
    }
    let expected = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "MONOCHROME1", "MONOCHROME2"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
fn the_default_counts_supply_the_spec() -> Result<()> {
    let counts = Counts::default();
    for task in &Spec::load("phantom")?.tasks {
        let Task { train_normal, test_normal, anomalous, .. } = task;
        assert!(train_normal.is_some_and(|wanted| wanted <= counts.train_normal), "{}", task.name);
        assert!(test_normal.is_some_and(|wanted| wanted <= counts.test_normal), "{}", task.name);
        let share = counts.anomalous / anomalous.len();
        assert!(anomalous.iter().all(|quota| quota.count.is_some_and(|wanted| wanted <= share)));
    }
    Ok(())
}
