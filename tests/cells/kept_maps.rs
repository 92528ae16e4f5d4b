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
    let said = succeeds(home, &["verify", "run"]);
    assert!(said.contains("1 files of maps are what was written"), "{said}");
}
