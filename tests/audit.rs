//! What an audit must find, and what it must not.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat};
use medfsad::audit::embedding::{Embedder, Threshold};
use medfsad::audit::near::{Fingerprint, Limit};
use medfsad::audit::transformed::{KINDS, transformed};
use medfsad::audit::{Gate, Outcome, Report, run};
use medfsad::curate::{Request, build};
use medfsad::decode::{decode, dicom, resize};
use medfsad::files;
use medfsad::manifest::{Manifest, Rejected, Row, Split};
use medfsad::pixels::Pixels;
use medfsad::pseudonym::Key;
use medfsad::spec::{Audit, Duplicates, Level, OwnerSplit, Spec};
use medfsad::table::Record;
use tempfile::TempDir;

use crate::shared::shared;

mod all_pairs;
mod remedy;

fn gate<'a>(report: &'a Report, name: &str) -> &'a Gate {
    report.gates.iter().find(|gate| gate.name == name).unwrap_or_else(|| panic!("no gate {name}"))
}

/// Whether a finding of the gate names both files.
fn names(gate: &Gate, a: &str, b: &str) -> bool {
    gate.findings.iter().any(|finding| {
        let paths: Vec<&str> = finding.pictures.iter().map(|picture| picture.source_path.as_str()).collect();
        paths.iter().any(|path| path.ends_with(a)) && paths.iter().any(|path| path.ends_with(b))
    })
}

fn audit(spec: &Spec, raw: &Path, out: &Path) -> Report {
    build(&Request { spec, raw, out, partial: false, key: &Key::PUBLIC }).unwrap();
    run(&Manifest::read(out).unwrap(), &spec.audit, Some(raw), None).unwrap()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The tiles of the reference data, taken by the owner's folders to the letter.
fn tiles() -> Option<(Spec, TempDir)> {
    let folder = shared("realmini/raw/Camelyon16")?;
    let raw = tempfile::tempdir().unwrap();
    for path in files::walk(&folder).unwrap() {
        files::write_unsynced(
            &raw.path().join("Camelyon16").join(&path),
            &std::fs::read(folder.join(&path)).unwrap(),
        )
        .unwrap();
    }
    let mut spec = Spec::load("mini").unwrap();
    spec.tasks.truncate(1);
    let task = &mut spec.tasks[0];
    (task.owner_split, task.duplicates) = (OwnerSplit::Exact, Duplicates::Group);
    (task.train_normal, task.test_normal, task.anomalous[0].count) = (None, None, None);
    Some((spec, raw))
}

#[test]
fn a_copy_a_turned_a_re_encoded_and_a_patient_planted_across_sides_are_all_named() {
    let Some((spec, raw)) = tiles() else { return };
    let out = tempfile::tempdir().unwrap();
    let clean = audit(&spec, raw.path(), out.path());
    for name in ["patients", "copies", "near-copies", "label-conflicts"] {
        assert_eq!(gate(&clean, name).outcome(), Outcome::Pass, "{name}: {:#?}", gate(&clean, name).findings);
    }
    let tested: Vec<String> = files::walk(&raw.path().join("Camelyon16/test/good")).unwrap();
    let read = |index: usize| {
        let bytes = std::fs::read(raw.path().join("Camelyon16/test/good").join(&tested[index])).unwrap();
        (tested[index].clone(), bytes)
    };
    let plant = |name: &str, bytes: &[u8]| {
        files::write_unsynced(&raw.path().join("Camelyon16/train/good").join(name), bytes).unwrap();
    };
    let (copied, bytes) = read(3);
    plant("copy.png", &bytes);
    let (turned, bytes) = read(11);
    let picture = image::load_from_memory(&bytes).unwrap();
    plant("turned.png", &encoded(&picture.rotate90(), ImageFormat::Png));
    let (re_encoded, bytes) = read(27);
    plant("re-encoded.jpg", &encoded(&image::load_from_memory(&bytes).unwrap(), ImageFormat::Jpeg));
    // A training tile by its name, of the patient whose tiles test.
    let patient = tested[0].split('_').next().unwrap();
    let trained = files::walk(&raw.path().join("Camelyon16/train/good")).unwrap().remove(0);
    let other = format!("{patient}_idx5_x1_y1_class0.png");
    std::fs::rename(
        raw.path().join("Camelyon16/train/good").join(trained),
        raw.path().join("Camelyon16/train/good").join(&other),
    )
    .unwrap();

    let report = audit(&spec, raw.path(), out.path());
    assert!(report.fails());
    assert!(names(gate(&report, "copies"), "train/good/copy.png", &copied));
    assert!(names(gate(&report, "near-copies"), "train/good/turned.png", &turned));
    assert!(names(gate(&report, "near-copies"), "train/good/re-encoded.jpg", &re_encoded));
    let patients = gate(&report, "patients");
    assert_eq!(patients.findings.len(), 1);
    assert!(patients.findings[0].pictures.iter().any(|picture| picture.source_path.ends_with(&other)));
    assert_eq!(gate(&report, "near-copies").findings.len(), 2);

    // Exact copies are found in the manifest alone.
    std::fs::remove_dir_all(out.path().join("pixels")).unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    let exact = run(&manifest, &spec.audit.clone().only(&["copies".to_owned()]), None, None).unwrap();
    assert!(names(gate(&exact, "copies"), "train/good/copy.png", &copied));
    let run_gates = exact.gates.iter().filter(|gate| gate.outcome() != Outcome::LeftOut);
    assert_eq!(run_gates.map(|gate| gate.name.as_str()).collect::<Vec<_>>(), ["copies"]);
    assert_eq!(exact.gates.iter().map(|gate| gate.name.as_str()).collect::<Vec<_>>(), Audit::GATES);
    assert!(run(&manifest, &spec.audit, None, None).is_err(), "near copies are sought in pixel stores");
}

/// Pictures of every task of the reference data, standardised.
fn pictures() -> Vec<(String, Vec<Pixels>)> {
    let Some(raw) = shared("realmini/raw") else { return Vec::new() };
    let folders = [
        "Camelyon16/train/good",
        "LAG/non_glaucoma/image",
        "aptos2019/train_images",
        "rsna-pneumonia-detection-challenge/stage_2_train_images",
        "brain-tumor-mri-dataset/Training/glioma",
    ];
    let read = |folder: &&str| {
        let paths = files::walk(&raw.join(folder)).unwrap();
        let picture =
            |path: &String| decode(&std::fs::read(raw.join(folder).join(path)).unwrap(), 0).unwrap();
        ((*folder).to_owned(), paths.iter().take(40).map(|path| picture(path).pixels).collect())
    };
    folders.iter().map(read).collect()
}

fn fingerprint(pixels: &Pixels) -> Fingerprint {
    Fingerprint::of(&resize::lanczos(pixels, 128, 128))
}

#[test]
fn copies_are_told_from_strangers_at_the_default_thresholds() {
    let thresholds = Audit::default();
    let (mut n_copies, mut n_found, mut n_unrelated, mut n_false) = (0, 0, 0, 0);
    for (folder, pictures) in pictures() {
        let fingerprints: Vec<Fingerprint> = pictures.iter().map(fingerprint).collect();
        let limit = Limit::of(&fingerprints.iter().collect::<Vec<_>>(), &thresholds).correlation;
        let is_near = |a: &Fingerprint, b: &Fingerprint| a.compare(b, thresholds.near_bits, limit).is_some();
        let mut found = KINDS.map(|kind| (kind, 0));
        for (picture, own) in pictures.iter().zip(&fingerprints) {
            for (place, copy) in transformed(picture).unwrap().iter().enumerate() {
                let near = is_near(own, &fingerprint(copy));
                found[place].1 += usize::from(near);
                n_copies += 1;
                n_found += usize::from(near);
            }
        }
        let mut unrelated = 0;
        for (place, a) in fingerprints.iter().enumerate() {
            let near = fingerprints[..place].iter().filter(|b| is_near(a, b)).count();
            unrelated += near;
            n_unrelated += place;
        }
        n_false += unrelated;
        println!(
            "{folder}: from {limit:.3}, of {} found {found:?}; {unrelated} pairs of unrelated pictures",
            fingerprints.len()
        );
    }
    println!("{n_found} of {n_copies} copies, {n_false} of {n_unrelated} unrelated pictures");
    assert!(n_found * 100 >= n_copies * 95, "{n_found} of {n_copies} copies found");
    assert!(
        n_false * 100 <= n_unrelated * 5,
        "{n_false} of {n_unrelated} unrelated pictures taken for copies"
    );
}

#[test]
fn the_reference_data_report_their_copies_and_shortcuts() {
    let Some(raw) = shared("realmini/raw") else { return };
    let out = tempfile::tempdir().unwrap();
    let report = audit(&Spec::load("mini").unwrap(), &raw, out.path());
    let notes = &gate(&report, "copies").notes;
    let copies = "13 byte-identical extra copies of brain_tumor notumor were left out while curating";
    assert!(notes.iter().any(|note| note == copies), "{notes:#?}");
    assert_eq!(gate(&report, "shortcuts").outcome(), Outcome::Warn);
    let size = report.shortcuts.iter().find(|s| s.task == "lag" && s.what.starts_with("size")).unwrap();
    assert!(size.auroc.is_some_and(|auroc| (auroc - 0.5).abs() > 0.2), "{size:?}");
    let page = medfsad::report::audit::page(&report, &Manifest::read(out.path()).unwrap()).unwrap();
    assert!(page.contains("data:image/png;base64,") && page.contains("13 byte-identical extra copies"));
}

#[test]
fn labels_that_contradict_fail_and_a_gate_that_is_off_says_so() {
    let Some((spec, raw)) = tiles() else { return };
    let out = tempfile::tempdir().unwrap();
    build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
        .unwrap();
    let mut manifest = Manifest::read(out.path()).unwrap();
    let is = |split| move |row: &&mut Row| row.split == split && row.finding == "good";
    let pixels = manifest.rows.iter_mut().find(is(Split::Test)).unwrap().pixel_hash.clone();
    let ill = manifest.rows.iter_mut().find(|row| row.finding == "Ungood").unwrap();
    ill.pixel_hash = pixels;
    let thresholds = Audit { near_copies: Level::Off, ..Audit::default() };
    let report = run(&manifest, &thresholds, None, None).unwrap();
    assert_eq!(gate(&report, "label-conflicts").outcome(), Outcome::Fail);
    assert_eq!(gate(&report, "near-copies").outcome(), Outcome::LeftOut);
    assert!(gate(&report, "privacy").left_out.as_deref().is_some_and(|why| why.contains("--raw")));
    assert!(Rejected::read(&out.path().join("rejected.parquet")).is_ok());
}

#[test]
fn personal_fields_and_comments_are_named_without_their_values() {
    let raw = tempfile::tempdir().unwrap();
    let picture = DynamicImage::ImageRgb8(image::RgbImage::from_fn(40, 33, |x, y| {
        image::Rgb([x as u8 * 5, y as u8 * 7, (x * y) as u8])
    }));
    let mut jpeg = encoded(&picture, ImageFormat::Jpeg);
    jpeg.splice(2..2, [&[0xff, 0xfe, 0, 8][..], b"Miller"].concat());
    files::write_unsynced(&raw.path().join("a/good/1.jpg"), &jpeg).unwrap();
    files::write_unsynced(&raw.path().join("a/good/2.png"), &encoded(&picture.rotate90(), ImageFormat::Png))
        .unwrap();
    let text = "name = \"p\"\nversion = 1\ntitle = \"p\"\nseed = 1\nsizes = [32]\n[[task]]\nname = \"a\"\n\
        organ = \"a\"\nmodality = \"a\"\nanomaly = \"a\"\nsource = \"folders\"\nfolder = \"a\"\n\
        normal = [\"good\"]\ntrain_normal = 2\nanomalous = []\n";
    let out = tempfile::tempdir().unwrap();
    let report = audit(&Spec::parse(text).unwrap(), raw.path(), out.path());
    let privacy = gate(&report, "privacy");
    assert_eq!(privacy.outcome(), Outcome::Warn);
    assert_eq!(privacy.findings.len(), 1);
    assert_eq!(privacy.findings[0].what, "carries a JPEG comment");
    assert!(!serde_json::to_string(&report).unwrap().contains("Miller"));
}

#[test]
fn films_that_name_a_person_and_files_that_cannot_be_looked_at_are_findings() {
    let Some(zoo) = shared("realmini/formats/dicom") else { return };
    let personal = dicom::personal(&zoo.join("images/CT_small.dcm")).unwrap();
    assert!(personal.fields.iter().any(|field| field.name == "PatientName"), "{personal:?}");
    assert!(dicom::personal(&zoo.join("no_such_file.dcm")).is_err());
    let raw = shared("realmini/raw").unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut spec = Spec::load("mini").unwrap();
    spec.tasks.truncate(1);
    build(&Request { spec: &spec, raw: &raw, out: out.path(), partial: false, key: &Key::PUBLIC }).unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let report = run(&manifest, &spec.audit, Some(elsewhere.path()), None).unwrap();
    let privacy = gate(&report, "privacy");
    assert_eq!(privacy.findings.len(), manifest.rows.len());
    assert!(privacy.findings[0].what.starts_with("could not be looked at"));
}

#[test]
fn views_are_read_from_films() {
    let Some(raw) = shared("realmini/raw/rsna-pneumonia-detection-challenge") else { return };
    let films = files::walk(&raw).unwrap();
    let views: Vec<String> = films
        .iter()
        .filter(|path| path.ends_with(".dcm"))
        .filter_map(|path| dicom::view_position(&raw.join(path)).unwrap())
        .collect();
    assert!(!views.is_empty() && views.iter().all(|view| view == "AP" || view == "PA"), "{views:?}");
}

#[test]
fn the_threshold_has_the_greatest_youden_index() {
    let threshold = Threshold::between(&[0.1, 0.2, 0.6, 0.55], &[0.5, 0.7, 0.9, 0.8]).unwrap();
    assert_eq!(threshold, Threshold { cosine: 0.7, sensitivity: 0.75, specificity: 1.0 });
    let apart = Threshold::between(&[0.1], &[0.9, 0.4]).unwrap();
    assert_eq!(apart, Threshold { cosine: 0.4, sensitivity: 1.0, specificity: 1.0 });
    assert!(Threshold::between(&[], &[0.9]).is_none() && Threshold::between(&[0.1], &[]).is_none());
}

/// Grey values of an 8 x 8 picture: hardly a network, but one whose neighbours are known.
fn grey(pictures: &[Pixels]) -> anyhow::Result<Vec<Vec<f32>>> {
    let vector = |picture: &Pixels| {
        let small = resize::lanczos(&picture.to_grey(), 8, 8);
        small.samples().iter().map(|&value| f32::from(value) - 100.0).collect()
    };
    Ok(pictures.iter().map(vector).collect())
}

#[test]
fn neighbours_are_found_where_the_hash_may_not_look() {
    let Some((spec, raw)) = tiles() else { return };
    let tested = files::walk(&raw.path().join("Camelyon16/test/good")).unwrap().remove(5);
    let bytes = std::fs::read(raw.path().join("Camelyon16/test/good").join(&tested)).unwrap();
    let copy = encoded(&image::load_from_memory(&bytes).unwrap(), ImageFormat::Jpeg);
    files::write_unsynced(&raw.path().join("Camelyon16/train/good/copy.jpg"), &copy).unwrap();
    let out = tempfile::tempdir().unwrap();
    build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
        .unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    let embedder = Embedder { teacher: "grey values".to_owned(), embed: &grey };
    // No bit may differ, so the hash finds no JPEG.
    let thresholds = Audit { near_bits: 0, ..Audit::default() };
    let report = run(&manifest, &thresholds, None, Some(&embedder)).unwrap();
    assert_eq!(gate(&report, "near-copies").outcome(), Outcome::Pass);
    let neighbours = gate(&report, "embedding-neighbours");
    assert_eq!(neighbours.outcome(), Outcome::Fail);
    assert!(names(neighbours, "train/good/copy.jpg", &tested), "{:#?}", neighbours.findings);
    // What the hash has found is not named twice.
    let report = run(&manifest, &Audit::default(), None, Some(&embedder)).unwrap();
    assert!(names(gate(&report, "near-copies"), "train/good/copy.jpg", &tested));
    assert!(!names(gate(&report, "embedding-neighbours"), "train/good/copy.jpg", &tested));
    let without = run(&manifest, &Audit::default(), None, None).unwrap();
    assert_eq!(gate(&without, "embedding-neighbours").outcome(), Outcome::LeftOut);
}

#[cfg(feature = "torch")]
#[test]
fn features_of_a_picture_do_not_depend_on_its_batch() {
    use medfsad::evaluate::embed;
    use medfsad::network::Backbone;
    use medfsad::network::origin::Origin;

    let Some((spec, raw)) = tiles() else { return };
    let out = tempfile::tempdir().unwrap();
    build(&Request { spec: &spec, raw: raw.path(), out: out.path(), partial: false, key: &Key::PUBLIC })
        .unwrap();
    let manifest = Manifest::read(out.path()).unwrap();
    let origin = Origin::Random { seed: 3, cache: None };
    let teacher = embed::teacher(&manifest, Backbone::Resnet18, &origin, tch::Device::Cpu).unwrap();
    let pictures: Vec<Pixels> =
        pictures().iter().map(|(_, pictures)| resize::lanczos(&pictures[0], 64, 64).to_rgb()).collect();
    let together = embed::vectors(&teacher, &pictures).unwrap();
    for (picture, vector) in pictures.iter().zip(&together) {
        let alone = embed::vectors(&teacher, std::slice::from_ref(picture)).unwrap().remove(0);
        assert_eq!(alone.len(), 512);
        // libtorch chooses its kernels by the batch and the processor; they round differently.
        let rounding = 1e-5 * vector.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= rounding;
        assert!(alone.iter().zip(vector).all(is_near), "{alone:?} is not {vector:?}");
    }
    assert_ne!(together[0], together[1]);
}
