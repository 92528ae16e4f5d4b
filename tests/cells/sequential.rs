//! Draws that are scored look by look.

use std::collections::BTreeMap;
use std::path::Path;

use medfsad::files;
use medfsad::manifest::{Label, Manifest};
use medfsad::results::Stopped;

use crate::program::{cells, command, succeeds, text};

/// A program that knows which pictures are anomalous, and one that scores noise.
const BENCH: &str = "
name = 'looks'
spec = 'phantom'
size = 64
methods = ['external:sees', 'external:guesses']
tasks = ['rsna', 'lag']
shots = [2]
draws = 4
seeds = [1]
episode_seed = 1
teacher_seed = 1
[settings.'external:sees']
command = ['python3', 'sees.py']
[settings.'external:guesses']
command = ['python3', 'guesses.py']
";

/// How many draws of each method are stored.
fn draws(run: &Path) -> BTreeMap<String, usize> {
    let mut draws = BTreeMap::new();
    for cell in cells(run) {
        *draws.entry(cell.cell.identity.method.clone()).or_default() += 1;
    }
    draws
}

/// Scores by a hash of the pixels; those that a table names are 1 higher.
const PROGRAM: &str = r#"
import csv, hashlib, json, sys
from pathlib import Path

folder, table = Path(sys.argv[1]), set(json.loads(Path("TABLE").read_text()))
with open(folder / "scores.csv", "w", newline="") as out, open(folder / "queries.csv", newline="") as queries:
    writer = csv.writer(out)
    writer.writerow(["picture_id", "score"])
    for row in csv.DictReader(queries):
        pixels = Path(row["path"]).read_bytes().split(b"\n", 3)[3]
        name = hashlib.sha256(b"".join(pixels[channel::3] for channel in range(3))).hexdigest()
        noise = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
        writer.writerow([row["picture_id"], noise + (name in table)])
"#;

/// Both programs, the one with a table of the anomalous pictures, as a test alone can have it.
fn programs(home: &Path) {
    let manifest = Manifest::read(&home.join("manifests/phantom")).expect("a manifest");
    let mut anomalous = Vec::new();
    for name in ["rsna", "lag"] {
        let task = manifest.task(name).expect("a task");
        let store = task.store(64).expect("a store");
        let rows = task.rows.iter().filter(|row| row.label == Label::Anomalous);
        anomalous.extend(rows.map(|row| files::sha256(store.picture(&row.pixel_hash).expect("a picture"))));
    }
    for (program, table) in [("sees", anomalous), ("guesses", Vec::new())] {
        let path = home.join(format!("{program}.json"));
        std::fs::write(&path, serde_json::to_string(&table).expect("JSON")).expect("a table");
        let code = PROGRAM.replace("TABLE", &path.display().to_string());
        std::fs::write(home.join(format!("{program}.py")), code).expect("a program");
    }
}

#[test]
fn a_method_that_is_told_from_the_best_one_gets_no_further_draws() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    std::fs::write(home.join("looks.toml"), BENCH).expect("a definition");
    succeeds(home, &["build-dataset", "--spec", "phantom"]);
    programs(home);
    let bench = ["bench", "--bench", "looks.toml", "--device", "cpu", "--out", "run"];
    let looking = [&bench[..], &["--stop-when-decided"]].concat();
    let output = command(home, &looking).output().expect("it runs");
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let words = "external:guesses at 2 shots needs no more than 3 draws: it is told from external:sees";
    assert!(said.contains(words), "{said}");
    let run = home.join("run");
    let stopped = Stopped::read(&run).expect("a list");
    let [Stopped { method, shots: 2, draws: 3, from, .. }] = &stopped[..] else { panic!("{stopped:?}") };
    assert_eq!((method.as_str(), from.as_str()), ("external:guesses", "external:sees"));
    // Of two tasks; the best method and the controls have all four.
    let stored = draws(&run);
    assert_eq!((stored["external:sees"], stored["external:guesses"], stored["control-random"]), (8, 6, 8));
    let board = std::fs::read_to_string(run.join("leaderboard.md")).expect("a leaderboard");
    assert!(board.contains("not ranked: stopped after 3 draws, told from external:sees"), "{board}");
    assert!(!board.contains("planned cells are missing"), "{board}");
    // Nothing is left to do, nothing to estimate, and nothing is decided anew.
    let again = text(&command(home, &looking).output().expect("it runs"));
    assert!(!again.contains("a stopped run goes on where it was"), "{again}");
    assert_eq!(draws(&run), stored);
    succeeds(home, &["verify", "run"]);
    // A bench of all draws counts those that were left out; asking changes nothing.
    let asked = text(&command(home, &[&bench[..], &["--dry-run"]].concat()).output().expect("it runs"));
    assert!(asked.contains("2 cells to do"), "{asked}");
    let asked = text(&command(home, &[&looking[..], &["--dry-run"]].concat()).output().expect("it runs"));
    assert!(asked.contains("0 cells to do"), "{asked}");
    assert_eq!(Stopped::read(&run).expect("a list"), stopped);
    // What was decided for other cells is decided anew.
    let stale = Stopped { planned: "other cells".to_owned(), draws: 1, ..stopped[0].clone() };
    Stopped::write(&run, &[stale]).expect("written");
    succeeds(home, &looking);
    assert_eq!((draws(&run), Stopped::read(&run).expect("a list")), (stored, stopped));
    // Without the option all draws are scored.
    succeeds(home, &bench);
    assert_eq!(draws(&run)["external:guesses"], 8);
    assert_eq!(Stopped::read(&run).expect("none"), []);
}
