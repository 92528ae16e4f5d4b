//! `verify`: stored numbers follow from stored scores, or are named.

use medfsad::metric::Metric;
use medfsad::trivia::Stored;
use tempfile::TempDir;

use super::CONTROLS;
use crate::program::{self, command, succeeds, text};

#[test]
fn verify_computes_stored_numbers_again() {
    let home = TempDir::new().expect("a folder");
    let home = home.path();
    std::fs::write(home.join("controls.toml"), CONTROLS).expect("a definition");
    let bench = ["bench", "--bench", "controls.toml", "--device", "cpu", "--out", "run"];
    succeeds(home, &bench);
    let said = succeeds(home, &["verify", "run"]);
    for words in
        ["9 cells are what was written, 0 of them failed", "9 cells used them", "are what the cells give"]
    {
        assert!(said.contains(words), "{said}");
    }
    let fails = |arguments: &[&str], words: &[&str]| {
        let output = command(home, arguments).output().expect("the binary runs");
        assert!(!output.status.success(), "{}", text(&output));
        words.iter().for_each(|word| assert!(text(&output).contains(word), "{word} in {}", text(&output)));
    };

    // Edited, and sealed as if it had been computed so: the scores say otherwise.
    let cells = || program::cells(&home.join("run"));
    let whole = cells().into_iter().next().expect("a cell");
    let mut forged = whole.clone();
    let place = forged.metrics.iter().position(|row| row.metric == Metric::ImageAuroc).expect("an AUROC");
    forged.metrics[place].value = Some(0.999);
    forged.write().expect("a cell");
    fails(
        &["verify", "run"],
        &["DOES NOT HOLD", whole.cell.id.as_str(), "image-auroc", "stored as 0.999", "leaderboard.md"],
    );
    whole.write().expect("the cell as it was");
    succeeds(home, &["verify", "run"]);

    // Edited and not sealed: the cell has failed, and is computed again where that is asked for.
    std::fs::copy(whole.folder.join("metrics.parquet"), whole.folder.join("scores.parquet"))
        .expect("a table");
    fails(&["verify", "run"], &["scores.parquet is not what was written"]);
    fails(&["episodes", "verify", "run", "--manifest", "manifests/phantom"], &["is not what was written"]);
    fails(&bench, &["9 cells, 8 already done", "1 of 9 cells failed"]);
    succeeds(home, &[&bench[..], &["--retry-failed"]].concat());
    assert!(cells().iter().any(|cell| cell.scores == whole.scores && cell.metrics == whole.metrics));
    succeeds(home, &["verify", "run"]);

    // Trivia that are not the pictures', sealed as if they were.
    let run = home.join("run");
    let looked_at = Stored::read(&run).expect("trivia").expect("the bench looked at its pictures");
    let of_cell = looked_at.of_task("lag").len();
    assert!(of_cell == whole.scores.len() && of_cell < looked_at.rows.len(), "all test pictures are there");
    let mut other = looked_at.clone();
    other.rows[0].file_bytes += 1;
    other.write(&run).expect("trivia");
    fails(&["verify", "run"], &["DOES NOT HOLD: trivial numbers", "not what the pictures give"]);
    looked_at.write(&run).expect("trivia as they were");
    succeeds(home, &["verify", "run"]);

    fails(
        &["verify", "run", "--manifest", "elsewhere"],
        &["DOES NOT HOLD: manifest and episodes", "elsewhere"],
    );
}
