//! Methods that are given more of the target than normals: what they get, and what their rows say.

use std::path::Path;

use medfsad::results::CellResult;

use crate::program::{cells, command, succeeds, text};

/// One task with a validation split and one without.
const SPEC: &str = "
name = 'divided'
version = 1
title = 'one task with a validation split'
seed = 1
sizes = [64]
[[task]]
name = 'lag'
organ = 'eye'
modality = 'fundus photography'
anomaly = 'glaucoma'
source = 'lag'
folder = 'LAG'
normal = ['non_glaucoma']
train_normal = 12
val_normal = 4
test_normal = 8
[[task.anomalous]]
findings = ['suspicious_glaucoma']
val = 4
count = 8
[[task]]
name = 'aptos'
organ = 'eye'
modality = 'fundus photography'
anomaly = 'diabetic retinopathy'
source = 'aptos'
folder = 'aptos2019'
normal = ['0']
train_normal = 12
test_normal = 8
[[task.anomalous]]
findings = ['1', '2', '3', '4']
count = 8
";

const BENCH: &str = "
name = 'divided'
spec = 'divided'
size = 64
methods = ['mvfa', 'sagan', 'sagan:transductive', 'dn2']
shots = [2]
draws = 2
[settings.dn2]
backbone = 'resnet18'
[settings.mvfa]
clip = 'clip_tiny16'
side = 64
epochs = 1
batch = 16
[settings.sagan]
input = 32
layers = 5
width = 4
blocks = 1
steps = 2
epoch_steps = 1
batch = 4
[settings.'sagan:transductive']
pool = 'test'
input = 32
layers = 5
width = 4
blocks = 1
steps = 2
epoch_steps = 1
batch = 4
";

/// A method's cells of a task.
fn of<'a>(cells: &'a [CellResult], method: &str, task: &str) -> Vec<&'a CellResult> {
    let is_one = |cell: &&CellResult| {
        let id = &cell.cell.identity;
        (id.method.as_str(), id.task.as_str()) == (method, task)
    };
    let found: Vec<&CellResult> = cells.iter().filter(is_one).collect();
    assert_eq!(found.len(), 2, "{method} {task}");
    found
}

#[test]
fn anomalies_and_unlabelled_pictures_come_from_the_validation_split() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    std::fs::write(home.join("divided.toml"), SPEC).expect("a spec");
    std::fs::write(home.join("bench.toml"), BENCH).expect("a definition");
    succeeds(home, &["phantom", "--out", "raw"]);
    succeeds(home, &["build-dataset", "--spec", "divided.toml", "--raw", "raw"]);
    let bench = ["bench", "--bench", "bench.toml", "--teacher", "random", "--device", "cpu", "--out", "run"];
    let output = command(home, &bench).output().expect("it runs");
    // The task without a validation split is no reason to leave out the other one.
    assert!(!output.status.success() && text(&output).contains("4 of 52 cells failed"), "{}", text(&output));
    let run = home.join("run");
    let cells = cells(&run);
    for (method, regime) in [("mvfa", "R4"), ("sagan", "R6"), ("sagan:transductive", "R6T"), ("dn2", "R1")] {
        for cell in of(&cells, method, "lag") {
            assert_eq!(cell.cell.error, None, "{method}");
            assert_eq!(cell.cell.provenance.regime.name(), regime);
            assert_eq!(cell.scores.len(), 16, "every test picture is scored");
        }
    }
    for (method, lack) in [
        ("mvfa", "mvfa is given 2 anomalies of `aptos` and its validation split has 0"),
        ("sagan", "`aptos` has no val pictures to be an unlabelled pool"),
    ] {
        for cell in of(&cells, method, "aptos") {
            let error = cell.cell.error.as_deref().expect("an error");
            assert!(error.contains(lack) && error.contains("`val`"), "{error}");
        }
    }
    assert!(of(&cells, "sagan:transductive", "aptos").iter().all(|cell| cell.cell.error.is_none()));
    unranked(&run);
}

/// Rows that were given more say so and have no group.
fn unranked(run: &Path) {
    let board = std::fs::read_to_string(run.join("leaderboard.csv")).expect("a table");
    let row = |method: &str| {
        let is_one =
            |line: &&str| line.contains(&format!(",{method},")) || line.starts_with(&format!("{method},"));
        board.lines().find(is_one).unwrap_or_else(|| panic!("{method}: {board}"))
    };
    let because = "uses the test pictures as an unlabelled target pool: transductive";
    assert!(row("sagan:transductive").contains(because), "{board}");
    assert!(!row("dn2").contains("uses") && row("dn2").contains("R1"), "{board}");
}
