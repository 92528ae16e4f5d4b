//! Folders in, scores out: `train` and `score` as a practitioner uses them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use safetensors::SafeTensors;
use tempfile::TempDir;

use medfsad::decode::{self, dicom};
use medfsad::phantom;

use crate::program::{fails, succeeds};

fn scores(path: &Path) -> BTreeMap<String, f64> {
    let mut reader = csv::Reader::from_path(path).expect("a table");
    reader
        .records()
        .map(|row| row.expect("a row"))
        .map(|row| (row[0].to_owned(), row[1].parse().expect("a number")))
        .collect()
}

/// Copies `count` files of a phantom folder.
fn copy(from: &Path, to: &Path, skip: usize, count: usize) {
    std::fs::create_dir_all(to).expect("a folder");
    let mut names: Vec<_> = std::fs::read_dir(from)
        .expect("a phantom")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    for name in names.iter().skip(skip).take(count) {
        std::fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
}

/// A phantom's folders, and a model trained on two kinds of it.
fn home() -> TempDir {
    let home = TempDir::new().expect("a folder");
    let at = |name: &str| home.path().join(name);
    phantom::write(&at("raw"), 1).expect("a phantom");
    copy(&at("raw/LAG/non_glaucoma/image"), &at("eyes"), 0, 12);
    copy(&at("raw/Camelyon16/train/good"), &at("tissue"), 0, 12);
    copy(&at("raw/brain-tumor-mri-dataset/Training/notumor"), &at("support"), 0, 3);
    copy(&at("raw/brain-tumor-mri-dataset/Testing/notumor"), &at("query/healthy"), 0, 9);
    copy(&at("raw/brain-tumor-mri-dataset/Testing/glioma"), &at("query/ill"), 0, 9);
    copy(&at("raw/rsna-pneumonia-detection-challenge/stage_2_train_images"), &at("query"), 0, 1);
    std::fs::write(at("query/notes.txt"), "taken in spring").expect("a file");
    home
}

const TRAIN: &[&str] = &[
    "train",
    "--normal",
    "eyes",
    "--normal",
    "tissue",
    "--teacher",
    "random",
    "--backbone",
    "resnet18",
    "--size",
    "64",
    "--shots",
    "2",
    "--epochs",
    "1",
    "--batch",
    "8",
    "--threads",
    "1",
];
const SCORE: &[&str] = &[
    "score",
    "--backbone",
    "resnet18",
    "--teacher",
    "model.teacher.safetensors",
    "--checkpoint",
    "model.safetensors",
    "--size",
    "64",
    "--threads",
    "1",
];

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [base, more].concat()
}

#[test]
fn a_model_is_trained_kept_and_scores_each_picture_by_itself() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    succeeds(home.path(), &with(TRAIN, &["--out", "model.safetensors"]));
    succeeds(home.path(), &with(TRAIN, &["--out", "again.safetensors"]));
    let bytes = |name: &str| std::fs::read(at(name)).expect("a file");
    assert!(bytes("model.safetensors") == bytes("again.safetensors"), "the same seed gave another model");
    let model = bytes("model.safetensors");
    let names = SafeTensors::deserialize(&model).expect("safetensors");
    assert!(
        names.tensor("decoder.layer1.0.conv1.weight").is_ok() && names.tensor("weight.proj_in3.bias").is_ok()
    );

    let all = with(SCORE, &["--support", "support", "--query", "query"]);
    succeeds(home.path(), &with(&all, &["--out", "scores.csv", "--maps", "maps", "--secondary-capture"]));
    a_film_has_a_secondary_capture(home.path());
    let together = scores(&at("scores.csv"));
    assert_eq!(together.len(), 19);
    assert!(std::fs::read_to_string(at("scores.rejected.csv")).expect("a table").contains("notes.txt"));
    // Maps are raw, of the stated size, one for each picture, and each has its heatmap.
    let maps = bytes("maps/maps.safetensors");
    let maps = SafeTensors::deserialize(&maps).expect("safetensors");
    assert_eq!(maps.len(), 19);
    for name in together.keys() {
        assert_eq!(maps.tensor(name).expect("a map").shape(), [64, 64]);
        assert!(at(&format!("maps/{name}.png")).is_file());
    }

    a_reader_can_decide_by_the_table(&home.path().join("scores.csv"), 3);
    crate::browser::is_accessible(&home.path().join("scores.html"));
    let page = std::fs::read_to_string(at("scores.html")).expect("a page");
    assert!(page.matches("<figure class=\"card").count() == 19 && page.contains("random teacher"), "{page}");
    let (heatmap, picture) = ("maps/ill/", "query/ill/");
    for name in together.keys().filter_map(|name| name.strip_prefix("ill/")) {
        let size = |path: String| image::image_dimensions(at(&path)).expect("a picture");
        assert_eq!(size(format!("{heatmap}{name}.png")), size(format!("{picture}{name}")), "{name}");
    }

    // A picture alone has the score that it has among others, and supports in another order change nothing.
    copy(&at("query/ill"), &at("alone"), 4, 1);
    std::fs::create_dir(at("turned")).expect("a folder");
    let mut supports: Vec<_> =
        std::fs::read_dir(at("support")).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    supports.sort();
    for (place, path) in supports.iter().rev().enumerate() {
        std::fs::copy(path, at("turned").join(format!("{place}.jpg"))).expect("a copy");
    }
    succeeds(home.path(), &with(SCORE, &["--support", "turned", "--query", "alone", "--out", "alone.csv"]));
    for (name, score) in scores(&at("alone.csv")) {
        let among = together[&format!("ill/{name}")];
        assert!(
            (score - among).abs() <= 1e-5 * among.abs().max(1.0),
            "{name}: {score} alone, {among} among others"
        );
    }
    // A second run without bad files says nothing of bad files.
    std::fs::remove_file(at("query/notes.txt")).expect("it is there");
    succeeds(home.path(), &with(&all, &["--out", "scores.csv"]));
    assert!(!at("scores.rejected.csv").exists());
    assert_eq!(scores(&at("scores.csv")), together);
    explanations_agree_with_scores(home.path(), &together);

    // The checkpoint knows its teacher, which lies beside it; a second training does not overwrite it unasked.
    let alone: Vec<&str> = all.iter().copied().filter(|word| !word.contains("teacher")).collect();
    let said = succeeds(home.path(), &with(&alone, &["--out", "beside.csv"]));
    assert!(said.contains("which lies beside the checkpoint"), "{said}");
    assert_eq!(scores(&at("beside.csv")), together);
    fails(home.path(), &with(TRAIN, &["--out", "model.safetensors"]), &["model.safetensors", "--force"]);
}

/// Ranks, p-values and flags agree with the scores and the threshold.
fn a_reader_can_decide_by_the_table(path: &Path, references: usize) {
    let mut reader = csv::Reader::from_path(path).expect("a table");
    let head: Vec<String> = reader.headers().expect("a head").iter().map(str::to_owned).collect();
    assert_eq!(head, ["file", "score", "p_value", "rank", "threshold", "flagged"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let number = |row: &csv::StringRecord, at: usize| row[at].parse::<f64>().expect("a number");
    assert!(["true", "false"].iter().all(|word| rows.iter().any(|row| &row[5] == *word)), "{rows:?}");
    for row in &rows {
        let higher = rows.iter().filter(|other| number(other, 1) > number(row, 1)).count();
        assert_eq!(row[3], (higher + 1).to_string());
        assert_eq!(row[5], (number(row, 1) > number(row, 4)).to_string());
        let reach = number(row, 2) * (references + 1) as f64;
        assert!((reach - reach.round()).abs() < 1e-9 && (1.0..=references as f64 + 1.0).contains(&reach));
        assert_eq!(&row[5] == "true", reach.round() == 1.0, "flagged is what no reference reaches");
    }
}

/// Explanations of the same model: the same scores, weights that sum to 1, scales that sum to the map.
fn explanations_agree_with_scores(home: &Path, scores: &BTreeMap<String, f64>) {
    let masks = home.join("masks/ill");
    std::fs::create_dir_all(&masks).expect("a folder");
    let ill = scores.keys().find(|name| name.starts_with("ill/")).expect("one is ill");
    let mask = image::GrayImage::from_fn(40, 40, |x, _| image::Luma([if x < 20 { 255 } else { 0 }]));
    let path = masks.join(ill.trim_start_matches("ill/")).with_extension("png");
    mask.save(path).expect("a mask");
    let mut arguments = SCORE.to_vec();
    arguments[0] = "explain";
    let more = ["--support", "support", "--query", "query", "--masks", "masks", "--quality", "--out", "why"];
    let said = succeeds(home, &with(&arguments, &more));
    assert!(said.contains("1 masks") && said.contains("pointing game"), "{said}");
    let rows = |name: &str| -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(home.join("why").join(name)).expect("a table");
        reader.deserialize().map(|row| row.expect("a row")).collect()
    };
    let number = |row: &BTreeMap<String, String>, name: &str| row[name].parse::<f64>().expect("a number");
    let explained = rows("explanations.csv");
    assert_eq!(explained.len(), scores.len());
    for row in &explained {
        let (ours, score) = (number(row, "score"), scores[&row["file"]]);
        assert!((ours - score).abs() <= 1e-5, "{}: explained {ours}, scored {score}", row["file"]);
        let shares: f64 = (1..=3).map(|scale| number(row, &format!("scale{scale}_at_peak"))).sum();
        assert!((shares - score).abs() <= 1e-5, "{}: the scales add {shares} to {score}", row["file"]);
        assert!(number(row, "nearest_cosine") <= 1.0 + 1e-6 && row["nearest_reference"].starts_with("Tr-no"));
        assert!(number(row, "deletion") > 0.0 && number(row, "untrained_spearman").abs() <= 1.0);
        assert_eq!(row["energy"].is_empty(), &row["file"] != ill, "only one has a mask");
    }
    let mut sums = BTreeMap::<(String, String), f64>::new();
    for row in rows("weights.csv") {
        *sums.entry((row["file"].clone(), row["scale"].clone())).or_default() += number(&row, "weight");
    }
    assert_eq!(sums.len(), 3 * scores.len());
    assert!(sums.values().all(|sum| (sum - 1.0).abs() < 1e-5));
    crate::browser::is_accessible(&home.join("why/index.html"));
    let page = std::fs::read_to_string(home.join("why/index.html")).expect("a page");
    assert!(page.contains(ill.as_str()) && !page.contains("://"), "a page that asks nobody");
}

/// Trains with `arguments` and kills the process at every new state that it keeps, each time a little later, until
/// it ends by itself; returns the number of kills. After the first, `out` is there, as it is where a process was killed between
/// its last two steps.
fn killed_again_and_again(home: &Path, arguments: &[&str], state: &Path, out: &Path) -> usize {
    let changed = || std::fs::metadata(state).and_then(|meta| meta.modified()).ok();
    for n_kills in 0..40u64 {
        let (before, mut seen) = (changed(), None);
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfsad"));
        command.current_dir(home).args(arguments).env("MEDFSAD_CACHE", home.join("cache"));
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        loop {
            if let Some(status) = process.try_wait().expect("a process") {
                assert!(status.success(), "after {n_kills} kills it failed");
                return n_kills as usize;
            }
            if seen.is_none() && changed().is_some_and(|now| Some(now) != before) {
                seen = Some(Instant::now());
            }
            if seen.is_some_and(|seen: Instant| seen.elapsed().as_millis() as u64 >= n_kills * 13 % 90) {
                process.kill().expect("a process");
                process.wait().expect("a process");
                std::fs::write(out, "older").expect("a file");
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    panic!("it never came to its end");
}

#[test]
fn a_training_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    let mut base = TRAIN.to_vec();
    let epochs = base.iter().position(|word| *word == "--epochs").expect("epochs") + 1;
    base[epochs] = "2";
    succeeds(home.path(), &with(&base, &["--out", "whole.safetensors"]));
    let kept = with(&base, &["--out", "killed.safetensors", "--keep-every", "0", "--set", "redrawn=false"]);
    let (state, out) = (at("killed.unfinished.safetensors"), at("killed.safetensors"));
    let n_kills = killed_again_and_again(home.path(), &kept, &state, &out);
    assert!(n_kills >= 3, "killed {n_kills} times only");
    let bytes = |name: &str| std::fs::read(at(name)).expect("a file");
    assert!(bytes("whole.safetensors") == bytes("killed.safetensors"), "the weights differ");
    assert!(bytes("whole.training.csv") == bytes("killed.training.csv"), "the losses differ");
    let left: Vec<String> = std::fs::read_dir(home.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("unfinished"))
        .collect();
    assert!(left.is_empty(), "{left:?} are left");
    fails(home.path(), &kept, &["killed.safetensors is there already", "--force"]);
}

/// The only DICOM picture among the queries: the capture shows its heatmap, in its study.
fn a_film_has_a_secondary_capture(home: &Path) {
    let names = |ending: &str| -> Vec<String> {
        let names = std::fs::read_dir(home.join("maps")).expect("maps").map(|entry| entry.expect("an entry"));
        let names = names.map(|entry| entry.file_name().into_string().expect("UTF-8"));
        names.filter(|name| name.ends_with(ending)).collect()
    };
    let captures = names(".capture.dcm");
    let [capture] = &captures[..] else { panic!("{captures:?}") };
    let film = capture.strip_suffix(".capture.dcm").expect("a name");
    let (film, heatmap) = (home.join("query").join(film), home.join(format!("maps/{film}.png")));
    let capture = home.join("maps").join(capture);
    let read =
        |path: &Path| decode::decode(&std::fs::read(path).expect("a file"), 0).expect("a picture").pixels;
    assert_eq!(read(&capture), read(&heatmap));
    let (of, from) = (dicom::belongs(&capture).expect("a header"), dicom::belongs(&film).expect("a header"));
    assert!(from.patient.is_some() && of.patient.is_none());
    assert!(of.study == from.study && of.series != from.series, "{of:?} {from:?}");
}

#[test]
fn the_state_of_another_training_is_not_taken_up() {
    let home = home();
    std::fs::write(home.path().join("model.unfinished.safetensors"), "no state").expect("a file");
    fails(home.path(), &with(TRAIN, &["--out", "model.safetensors"]), &["model.unfinished.safetensors"]);
}

#[test]
fn what_does_not_fit_together_is_refused_by_name() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    succeeds(home.path(), &with(TRAIN, &["--out", "model.safetensors"]));
    let all = with(SCORE, &["--support", "support", "--query", "query", "--out", "s.csv"]);
    fails(home.path(), &with(&all, &["--protocol", "published"]), &["clean-top1"]);
    let without = with(&all, &["--maps", "m", "--secondary-capture"]);
    let without: Vec<&str> =
        without.iter().map(|&one| if one == "query" { "query/ill" } else { one }).collect();
    fails(home.path(), &without, &["--secondary-capture", "query/ill holds no DICOM"]);
    let mut other = all.clone();
    other[2] = "resnet34";
    fails(home.path(), &other, &["trained with backbone = \"resnet18\""]);
    fails(home.path(), &with(&all, &["--set", "scaling='cosine'"]), &["trained with scaling"]);
    let mut other = all.clone();
    other[8] = "96";
    fails(home.path(), &other, &["64 pixels"]);
    // Another teacher.
    let mut training = TRAIN.to_vec();
    training.extend(["--out", "second.safetensors", "--seed", "2"]);
    succeeds(home.path(), &training);
    let mut other = all.clone();
    other[4] = "second.teacher.safetensors";
    fails(home.path(), &other, &["another teacher"]);
    // A reference that cannot be read is no small matter.
    std::fs::write(at("support/broken.png"), "no picture").expect("a file");
    fails(home.path(), &all, &["--support", "broken.png"]);
    fails(
        home.path(),
        &["score", "--support", "eyes", "--query", "query", "--out", "s.csv", "--teacher", "random"],
        &["train"],
    );
    fails(
        home.path(),
        &with(TRAIN, &["--out", "x.safetensors", "--normal", "nowhere"]),
        &["--normal", "no file or folder nowhere"],
    );
}

#[test]
fn methods_that_learn_from_references_need_no_checkpoint() {
    let home = home();
    let arguments = [
        "score",
        "--method",
        "patchcore",
        "--set",
        "backbone = 'resnet18'",
        "--teacher",
        "random",
        "--support",
        "support",
        "--query",
        "query",
        "--size",
        "64",
        "--out",
        "s.csv",
    ];
    assert!(succeeds(home.path(), &arguments).contains("random teacher"));
    assert_eq!(scores(&home.path().join("s.csv")).len(), 19);
    let mut regad = arguments.to_vec();
    regad[2] = "regad";
    fails(home.path(), &regad, &["bench"]);
}
