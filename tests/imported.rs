//! Scores of another program: checked, imported whole or not at all, and from then on like any others.

use std::path::{Path, PathBuf};
use std::process::Command;

use medfsad::episode::{Episodes, HeldOut};
use medfsad::ids::TaskName;
use medfsad::imported::Import;
use medfsad::imported::lines::read;
use medfsad::imported::matched::{Defaults, Given, Place, Scores, matched};
use medfsad::manifest::{Label, Manifest, Split};
use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::regime::Regime;
use tempfile::TempDir;

use crate::made_up;
use crate::program::{cells, command, fails, succeeds, text};
use crate::shared::leave_out;

mod maps;

const SHOTS: Defaults = Defaults { method: Some("mine"), shots: Some(2) };

/// Scores of all test pictures of a made-up manifest, by path: `change` may leave lines out or add some.
fn written(manifest: &Manifest, folder: &Path, change: impl Fn(&mut Vec<String>)) -> PathBuf {
    let line = |row: &medfsad::manifest::Row| format!("raw/{},{}", row.source_path, row.file_bytes);
    let tested = manifest.rows.iter().filter(|row| row.split == Split::Test);
    let mut lines: Vec<String> = tested.map(line).collect();
    change(&mut lines);
    let path = folder.join("scores.csv");
    std::fs::write(&path, format!("path,score\n{}\n", lines.join("\n"))).expect("a table");
    path
}

#[test]
fn every_fault_of_a_table_is_named_and_nothing_is_taken() {
    let manifest = made_up::manifest(&[("his", "breast", 3), ("lag", "eye", 4)]);
    let folder = TempDir::new().expect("a folder");
    let judged = |change: &dyn Fn(&mut Vec<String>)| {
        let lines = read(&written(&manifest, folder.path(), change)).expect("lines");
        matched(&lines, &SHOTS, &manifest)
    };
    let found = judged(&|_| ()).expect("all is well");
    assert_eq!(found.len(), 2);
    assert!(found.values().all(|given| given.scores.len() == 9 && given.maps.is_empty()));

    let error = judged(&|lines| {
        lines.remove(0);
        lines[0] = lines[0].replace(",1004", ",nan");
        let twice = lines[3].clone();
        lines.extend([twice, "his/999.png,1".to_owned(), "his/000.png,1".to_owned()]);
    });
    let error = format!("{:#}", error.expect_err("faults"));
    for words in [
        "nothing was imported",
        "1 pictures that the benchmark does not have: `his/999.png`",
        "1 pictures that are not for testing: `his/000.png`",
        "1 pictures that are scored twice: `raw/his/007.png`",
        "1 scores that are no finite number: that of `raw/his/004.png` (line 2)",
        "1 test pictures without a score: `his/003.png` (mine on his, 2 shots)",
    ] {
        assert!(error.contains(words), "{words} in {error}");
    }
    // A whole task may be left out; half of one may not.
    let of_one = judged(&|lines| lines.retain(|line| line.starts_with("raw/his"))).expect("one task");
    assert_eq!(of_one.len(), 1);
}

#[test]
fn an_id_and_a_path_must_name_the_same_picture() {
    let manifest = made_up::manifest(&[("his", "breast", 3)]);
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("scores.csv");
    // The columns of the `queries.csv` that `episodes export --lists` writes, and a score.
    let of = |change: &dyn Fn(usize, [String; 4]) -> [String; 4]| {
        let tested = manifest.rows.iter().filter(|row| row.split == Split::Test);
        let entries = tested.map(|row| {
            [row.task.to_string(), row.image_id.to_string(), row.source_path.clone(), row.frame.to_string()]
        });
        let lines: Vec<String> =
            entries.enumerate().map(|(index, entries)| change(index, entries).join(",") + ",0.5").collect();
        std::fs::write(&path, format!("task,image_id,path,frame,score\n{}\n", lines.join("\n")))
            .expect("a table");
        matched(&read(&path).expect("lines"), &SHOTS, &manifest)
    };
    assert_eq!(of(&|_, entries| entries).expect("all is well").len(), 1);
    let shifted = of(&|index, [task, id, path, frame]| {
        [task, id, if index == 0 { "his/004.png".to_owned() } else { path }, frame]
    });
    let error = format!("{:#}", shifted.expect_err("two pictures"));
    assert!(
        error.contains("1 lines whose `image_id` and whose `path` or `frame` name two pictures"),
        "{error}"
    );
    let other_frame = of(&|index, [task, id, path, frame]| {
        [task, id, path, if index < 2 { "7".to_owned() } else { frame }]
    });
    let error = format!("{:#}", other_frame.expect_err("frames that are not there"));
    assert!(error.contains("2 lines whose `image_id`"), "{error}");
}

#[test]
fn labels_are_held_against_the_manifest() {
    let manifest = made_up::manifest(&[("his", "breast", 3)]);
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("scores.csv");
    let of = |flip: bool| {
        let tested = manifest.rows.iter().filter(|row| row.split == Split::Test);
        let lines: Vec<String> = tested
            .map(|row| format!("{},0.5,{}", row.image_id, i64::from((row.label == Label::Anomalous) != flip)))
            .collect();
        std::fs::write(&path, format!("image_id,score,label\n{}\n", lines.join("\n"))).expect("a table");
        matched(&read(&path).expect("lines"), &SHOTS, &manifest)
    };
    of(false).expect("its labels are right");
    let error = format!("{:#}", of(true).expect_err("labels turned round"));
    assert!(error.contains("9 labels that are not the manifest's"), "{error}");
}

/// A home with a curated phantom and two support draws in `run`.
fn home() -> TempDir {
    let home = TempDir::new().expect("a folder");
    succeeds(home.path(), &["build-dataset"]);
    let draw = ["episodes", "draw", "--draws", "2", "--out", "run"];
    succeeds(home.path(), &draw);
    home
}

#[test]
fn what_a_python_program_scored_is_measured_reported_and_verified() {
    if Command::new("python3").arg("--version").output().is_err() {
        return leave_out("python3");
    }
    let home = home();
    let home = home.path();
    let said =
        succeeds(home, &["episodes", "export", "run", "--lists", "lists", "--manifest", "manifests/phantom"]);
    let raw = said.split("paths are below ").nth(1).expect("the raw folder").trim();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("benchmarks/imported/finished_scores.py");
    let mut python = Command::new("python3");
    python.current_dir(home).arg(example).args(["lists", raw, "2", "mine.csv"]);
    assert!(python.status().expect("python3 runs").success());

    let import = ["import-scores", "mine.csv", "--method", "mine", "--bench", "run", "--regime", "R1"];
    let import = [&import[..], &["--manifest", "manifests/phantom"]].concat();
    std::fs::write(home.join("board.toml"), "name = 'elsewhere'").expect("a definition");
    let by_definition: Vec<&str> =
        import.iter().map(|&word| if word == "run" { "board.toml" } else { word }).collect();
    fails(home, &by_definition, &["reports/elsewhere holds no episodes"]);
    std::fs::write(home.join("board.toml"), "").expect("a definition");
    fails(home, &by_definition, &["reports/board holds no episodes"]);
    std::fs::write(home.join("board.toml"), "name = 3").expect("a definition");
    fails(home, &by_definition, &["board.toml: its `name` is no text"]);
    assert!(succeeds(home, &import).contains("10 cells imported"));
    let imported = cells(&home.join("run"));
    assert_eq!(imported.len(), 10);
    for cell in &imported {
        let auroc = cell.metric(Protocol::RANKED, Metric::RANKED).expect("measured");
        assert!(auroc.value.is_some() && auroc.low.is_some(), "{auroc:?}");
        assert_eq!(cell.scores.len() as u64, auroc.n_normal + auroc.n_anomalous);
    }
    succeeds(home, &["report", "run"]);
    let board = std::fs::read_to_string(home.join("run/leaderboard.md")).expect("a leaderboard");
    assert!(
        board.contains("| A | imported:mine (not run here) | 2 | 2 | 1 | R1 (stated) | unknown |"),
        "{board}"
    );
    assert!(
        board.contains("Imported, not run here: imported:mine (imported, not run here: mine.csv, SHA-256 ")
    );
    for title in ["Leaderboard", "Protocol gap", "How sure is the order?", "Other measures"] {
        let table = board.split(&format!("## {title}\n")).nth(1).expect(title);
        let table = table.split("\n## ").next().expect("a table");
        assert!(table.contains("imported:mine (not run here)"), "{title}: {table}");
    }
    assert!(board.contains("| control-joint |"), "trivia are looked at, too");
    let said = succeeds(home, &["verify", "run", "--manifest", "manifests/phantom"]);
    assert!(said.contains("10 cells used them") && said.contains("trivial numbers"), "{said}");
    assert!(said.contains("not checked: how the scores of 10 imported cells came about"), "{said}");
}

/// A table whose column `draw` has gaps may be read as two places that are one cell.
fn refuses_places_that_are_one_cell(home: &Path, manifest: &Manifest) {
    let run = home.join("run");
    let episodes = Episodes::read(&run).expect("episodes");
    let scores: Scores = manifest.select("lag", Split::Test).map(|row| (row.image_id.clone(), 0.5)).collect();
    let place =
        |draw| Place { method: "mine".to_owned(), task: TaskName::new("lag"), shots: 2, draw, seed: None };
    let import = Import {
        file: &home.join("first.csv"),
        manifest,
        episodes: &episodes,
        bench: "run".to_owned(),
        run: &run,
        regime: Regime::Supports,
        held_out: HeldOut::None,
        size: manifest.smallest_size().expect("a size"),
        draws: vec![0],
        seeds: vec![1],
        command: String::new(),
        replace: true,
    };
    let given = Given { scores, ..Given::default() };
    let found = [(place(None), given.clone()), (place(Some(0)), given)].into();
    let error = format!("{:#}", import.write(&found).expect_err("twice draw 0"));
    assert!(
        error.contains("`mine on lag, 2 shots` and `mine on lag, 2 shots, draw 0` are one cell"),
        "{error}"
    );
}

#[test]
fn an_import_is_whole_and_is_replaced_only_where_that_is_asked_for() {
    let home = home();
    let home = home.path();
    let manifest = Manifest::read(&home.join("manifests/phantom")).expect("a manifest");
    let write = |name: &str, draws: &[usize], factor: f64| {
        let mut text = "image_id,score,draw\n".to_owned();
        for row in manifest.select("lag", Split::Test) {
            draws.iter().for_each(|draw| {
                text += &format!("{},{},{draw}\n", row.image_id, factor * row.file_bytes as f64);
            });
        }
        std::fs::write(home.join(name), text).expect("a table");
    };
    let import = |name: &str, more: &[&str]| {
        let fixed =
            ["import-scores", name, "--bench", "run", "--manifest", "manifests/phantom", "--method", "mine"];
        command(home, &[&fixed[..], &["--regime", "R1", "--shots", "2"], more].concat())
            .output()
            .expect("it runs")
    };
    let cells_there = || std::fs::read_dir(home.join("run/cells")).map_or(0, Iterator::count);

    write("beyond.csv", &[0, 2], 1.0);
    let output = import("beyond.csv", &[]);
    assert!(!output.status.success() && text(&output).contains("draw 2 of lag"), "{}", text(&output));
    assert_eq!(cells_there(), 0, "draw 0 was not imported by itself");

    write("first.csv", &[0, 1], 1.0);
    assert!(import("first.csv", &[]).status.success());
    assert!(import("first.csv", &[]).status.success(), "the same again changes nothing");
    write("other.csv", &[0, 1], -1.0);
    let output = import("other.csv", &[]);
    assert!(!output.status.success() && text(&output).contains("--replace"), "{}", text(&output));
    assert!(import("other.csv", &["--replace"]).status.success());
    assert_eq!(cells_there(), 2);
    // Another regime's cells may have other ids, and would stand beside them.
    let as_r2 = |more: &[&str]| {
        let fixed = ["import-scores", "other.csv", "--bench", "run", "--manifest", "manifests/phantom"];
        let given = ["--method", "mine", "--regime", "R2", "--shots", "2"];
        command(home, &[&fixed[..], &given, more].concat()).output().expect("it runs")
    };
    let output = as_r2(&[]);
    let said = text(&output);
    assert!(
        !output.status.success() && said.contains("under regime R1, not R2") && said.contains("--replace"),
        "{said}"
    );
    assert!(as_r2(&["--replace"]).status.success());
    assert_eq!(cells_there(), 2);
    assert!(cells(&home.join("run")).iter().all(|cell| cell.cell.provenance.regime == Regime::OtherNormals));
    assert!(import("other.csv", &["--replace"]).status.success());

    refuses_places_that_are_one_cell(home, &manifest);
    assert_eq!(cells_there(), 2);

    // Without draws, a method that is given supports cannot be told which; one that is given none stands for all.
    let table = std::fs::read_to_string(home.join("first.csv")).expect("a table");
    let table: Vec<&str> = table.lines().filter(|line| !line.ends_with(",1")).collect();
    let table =
        table.iter().map(|line| line.rsplit_once(',').expect("columns").0).collect::<Vec<_>>().join("\n");
    std::fs::write(home.join("one.csv"), table).expect("a table");
    let output = import("one.csv", &["--replace"]);
    assert!(!output.status.success() && text(&output).contains("--all-draws"), "{}", text(&output));
    let output = import("one.csv", &["--replace", "--all-draws"]);
    assert!(!output.status.success() && text(&output).contains("R0, R5, R6, R6T"), "{}", text(&output));
}
