//! What rows rest on: a method does not rise because its worse draws are gone.

use std::fs;
use std::path::Path;

use medfsad::report;
use medfsad::results::{StoredCell, read_run};

use super::made_up::{METHODS, SHOTS, TASKS, run_of};

/// The report of a run, as Markdown.
fn board(run: &Path) -> String {
    let out = run.with_file_name("report");
    report::write(run, &out).expect("a report");
    fs::read_to_string(out.join("leaderboard.md")).expect("a leaderboard")
}

/// What a bench of all those methods, tasks, shots and draws writes of its plan.
fn plan(run: &Path) {
    let methods: Vec<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
    let plan = serde_json::json!({
        "definition": { "methods": methods, "tasks": TASKS, "shots": SHOTS, "draws": 2, "seeds": [1], "size": 128,
            "episode_seed": 1 }
    });
    fs::write(run.join("plan.json"), plan.to_string()).expect("a plan");
}

/// Removes a method's cells of its lower draw, at 2 shots, in some tasks.
fn remove_worse_draws(run: &Path, method: &str, tasks: &[&str]) {
    for cell in read_run(run).expect("a run") {
        let id = &cell.cell.identity;
        if (id.method.as_str(), id.shots, id.draw) == (method, 2, 0) && tasks.contains(&id.task.as_str()) {
            fs::remove_dir_all(&cell.folder).expect("a cell");
        }
    }
}

fn line<'a>(board: &'a str, start: &str) -> &'a str {
    board.lines().find(|line| line.starts_with(start)).expect("a row")
}

#[test]
fn a_method_whose_worse_draws_are_gone_is_not_ranked() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS);
    plan(&run);
    let whole = board(&run);
    assert!(line(&whole, "| B | control-border control | 2 |").contains("| 0.530 ["), "{whole}");
    assert!(!whole.contains("Missing cells") && !whole.contains("planned cells"), "{whole}");

    remove_worse_draws(&run, "control-border", &TASKS);
    let board = board(&run);
    // Its mean has risen, and it stands last.
    let row = line(
        &board,
        "| – | control-border control not ranked: lacks aptos draw 0 seed 1 and 4 more | 2 | 1 |",
    );
    assert!(row.contains("| 0.540 ["), "{row}");
    let of_two_shots =
        |line: &&str| [" | 2 | 2 | 1 | R", " | 2 | 1 | 1 | R"].iter().any(|row| line.contains(row));
    let last = board.lines().rfind(of_two_shots).expect("rows");
    assert!(last.contains("control-border"), "{last}");
    // Over the draw that both have: 0.82 less 0.54, and not 0.81, the mean of two draws, less 0.54.
    let row = line(&board, "| control-border | 2 | R1 | – | – | – | +0.280 [");
    assert!(row.contains("] 1 of 2 and 1 draws | 0."), "{row}");
    for words in [
        "5 of 120 planned cells are missing, not computed yet or removed: of control-border.",
        "not ranked with them (* in figures): control-border at 2 shots",
        "## Missing cells",
        "| control-border | 2 | 5 | aptos draw 0 seed 1, brain_tumor draw 0 seed 1,",
    ] {
        assert!(board.contains(words), "{words} in {board}");
    }
}

#[test]
fn a_method_that_lacks_one_cell_of_one_task_is_not_ranked_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[..2]);
    remove_worse_draws(&run, "patchcore", &["rsna"]);
    // As earlier programs wrote it where all tasks were meant.
    let old = r#"{"definition":{"methods":["d24fad"],"tasks":[],"shots":[2],"draws":2,"seeds":[1],
        "size":128,"episode_seed":1}}"#;
    fs::write(run.join("plan.json"), old).expect("a plan");
    let board = board(&run);
    line(&board, "| – | patchcore random teacher not ranked: lacks rsna draw 0 seed 1 | 2 | 2 | 1 |");
    assert!(board.contains("cannot be told where no plan.json names"), "{board}");
}

#[test]
fn methods_that_see_anomalies_or_unlabelled_pictures_of_the_target_have_no_rank() {
    let folder = tempfile::tempdir().expect("a folder");
    for (regime, because) in [
        ("R4", "is given anomalies of the target"),
        ("R6", "uses an unlabelled target pool"),
        ("R6T", "uses the test pictures as an unlabelled target pool: transductive"),
    ] {
        let best = ("external:more", regime, 0.99);
        let run = run_of(&folder.path().join(regime), &[METHODS[0], METHODS[1], best]);
        let board = board(&run);
        let row = line(&board, "| – | external:more");
        assert!(row.contains(&format!("not ranked: {because} | 2 | 2 | 1 | {regime} |")), "{row}");
        // It has the highest mean, stands below the others, and is not called the best.
        let place = |start: &str| board.lines().position(|line| line.starts_with(start)).expect("a row");
        assert!(place("| – | external:more") > place(&format!("| A | {}", METHODS[0].0)), "{board}");
        assert!(!board.contains("Best: external:more"), "{board}");
    }
}

#[test]
fn a_cell_of_pictures_of_another_size_does_not_stand_for_a_missing_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[..1]);
    plan(&run);
    let text = fs::read_to_string(run.join("plan.json")).expect("a plan");
    fs::write(run.join("plan.json"), text.replace("\"size\":128", "\"size\":256")).expect("a plan");
    assert!(board(&run).contains("120 of 120 planned cells are missing"));
}

#[test]
fn a_cell_of_other_settings_in_another_run_does_not_stand_for_a_missing_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(&folder.path().join("one"), &METHODS);
    plan(&run);
    remove_worse_draws(&run, "control-border", &TASKS);
    let joined = |other: &Path| medfsad::results::missing(&run, &planned(&run), &read_all(&[&run, other]));
    // A copy of the whole run has what is missing here ...
    let other = run_of(&folder.path().join("other"), &METHODS);
    assert!(joined(&other).is_empty());
    // ... and one with other settings does not.
    let changed: Vec<StoredCell> = read_all(&[&run, &other])
        .into_iter()
        .map(|mut stored| {
            if stored.folder.starts_with(&other) {
                stored.cell.identity.settings = "{\"other\":1}".to_owned();
            }
            stored
        })
        .collect();
    assert_eq!(medfsad::results::missing(&run, &planned(&run), &changed).len(), 5);
}

fn planned(run: &Path) -> std::collections::BTreeSet<medfsad::results::Place> {
    medfsad::results::planned(run).expect("a plan").expect("one that names its tasks")
}

fn read_all(runs: &[&Path]) -> Vec<StoredCell> {
    runs.iter().flat_map(|run| read_run(run).expect("a run")).collect()
}
