//! Maps that are kept, and the curve over them.

use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::results::{MAPS, read_run};

use crate::program::{self, command, succeeds, text};

/// A small auto-encoder, whose training takes seconds.
const BENCH: &str = "
name = 'kept'
spec = 'phantom'
size = 64
methods = ['ae']
tasks = ['lag']
shots = [2]
draws = 1
seeds = [1]
episode_seed = 1
teacher_seed = 1
[settings.ae]
hidden = 64
epochs = 3
batch = 4
";

#[test]
fn a_bench_keeps_maps_where_that_is_asked_for_and_a_curve_is_drawn_over_them() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    std::fs::write(home.join("kept.toml"), BENCH).expect("a definition");
    let bench = ["bench", "--bench", "kept.toml", "--device", "cpu", "--out", "run", "--keep-maps"];
    let output = command(home, &bench).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    // 64 pictures of 64 x 64 values of 4 bytes, of two epochs, for the auto-encoder and nine controls.
    assert!(text(&output).contains("maps of 10 cells are kept: at most 0.02 GB"), "{}", text(&output));
    let run = home.join("run");
    let cells = program::cells(&run);
    let cell = cells.iter().find(|cell| cell.cell.identity.method == "ae").expect("a cell");
    assert!(cell.folder.join(MAPS).exists());
    let stored = read_run(&run).expect("a run").into_iter().find(|cell| cell.cell.identity.method == "ae");
    let maps = stored.expect("a cell").maps().expect("maps").expect("they were kept");
    assert!(maps.last.count() == 64 && maps.best.is_some(), "of the last epoch and of the best one");
    let control = cells.iter().find(|cell| cell.cell.identity.method == "control-size").expect("a cell");
    assert!(!control.folder.join(MAPS).exists(), "it makes none");

    let said = succeeds(home, &["curve", "run"]);
    assert!(said.contains("under 60 combinations"), "{said}");
    let table = std::fs::read_to_string(run.join("curve/curve.csv")).expect("a table");
    let value = |choices: &str| -> f64 {
        let line =
            table.lines().find(|line| line.contains(choices)).unwrap_or_else(|| panic!("{choices}: {table}"));
        line.rsplit(',').nth(1).expect("an AUROC").parse().expect("a number")
    };
    // Its own score is no maximum of the map.
    for (choices, protocol) in [
        ("last epoch,sigma 4,mean", Protocol::CleanMean),
        ("last epoch,sigma 4,top 1 %", Protocol::CleanTop1),
    ] {
        let stored = cell.metric(protocol, Metric::ImageAuroc).expect("measured").value.expect("defined");
        assert!(
            (value(&format!(",{choices},last batch kept,maps as they are,")) - stored).abs() < 1e-12,
            "{choices}"
        );
    }
    every_picture_is_shown(home);
    let said = succeeds(home, &["verify", "run"]);
    assert!(said.contains("1 files of maps are what was written"), "{said}");
}

/// The page of pictures has each test picture once, as a file and as a row, and the maps that were kept.
fn every_picture_is_shown(home: &std::path::Path) {
    let said = succeeds(home, &["report", "run", "--pictures", "manifests/phantom"]);
    assert!(said.contains("pictures.html"), "{said}");
    let names = |folder: &str| {
        let entries = std::fs::read_dir(home.join("run/pictures").join(folder)).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    crate::browser::is_accessible(&home.join("run/pictures.html"));
    let page = std::fs::read_to_string(home.join("run/pictures.html")).expect("a page");
    let data =
        page.split("id=\"data\">").nth(1).and_then(|rest| rest.split("</script>").next()).expect("data");
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    let pictures = data["pictures"].as_array().expect("a list");
    assert_eq!((pictures.len(), names("picture").len()), (64, 64));
    let with_maps = data["methods"].as_array().expect("a list").iter().position(|m| m["name"] == "ae");
    let with_maps = with_maps.expect("a method");
    assert_eq!(names(&(with_maps + 1).to_string()), names("picture"));
    let cells = program::cells(&home.join("run"));
    let cell = cells.iter().find(|cell| cell.cell.identity.method == "ae").expect("a cell");
    for picture in pictures {
        let own = cell.scores.iter().find(|score| picture["id"] == score.image_id.as_str()).expect("a score");
        assert_eq!(picture["scores"][with_maps][0].as_f64(), own.under(Protocol::RANKED), "{picture}");
        assert_eq!(picture["label"].as_i64(), own.label.number(), "{picture}");
    }
    let other = medfsad::manifest::Manifest::read(&home.join("manifests/phantom")).expect("a manifest");
    assert!(pictures.iter().all(|p| other.rows.iter().any(|row| p["id"] == row.image_id.as_str())));
}
