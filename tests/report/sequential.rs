//! Draws that are left out once a method is told from the best one.

use std::collections::BTreeSet;
use std::fs;

use medfsad::report;
use medfsad::report::sequential::{self, Told};
use medfsad::results::{Stopped, StoredCell, missing, planned, read_run};

use super::made_up::{SHOTS, run_of};

/// Far above the others, and two that are alike.
const METHODS: [(&str, &str, f64); 4] =
    [("dn2", "R1", 0.90), ("gde", "R1", 0.60), ("spade", "R1", 0.62), ("control-random", "R0", 0.50)];

#[test]
fn only_what_is_told_from_the_best_method_needs_no_more_draws() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS);
    let told = |run, look| sequential::told_apart(run, look, 4, |_| true).expect("a run");
    // The best one stays, and a control is no method.
    let apart = |method: &str, shots| Told { method: method.to_owned(), shots, from: "dn2".to_owned() };
    let expected: Vec<Told> =
        SHOTS.iter().flat_map(|&shots| ["spade", "gde"].map(|method| apart(method, shots))).collect();
    assert_eq!(told(&run, 2), expected);
    // With two draws stored of three, nothing can be said of three.
    assert_eq!(told(&run, 3), []);
    // Cells that are not planned are no part of it.
    let is_best = |stored: &StoredCell| stored.cell.identity.method == "dn2";
    let cells = read_run(&run).expect("a run").into_iter().filter(is_best);
    let best: BTreeSet<_> = cells.map(|stored| stored.cell.id).collect();
    let others = sequential::told_apart(&run, 2, 4, |id| !best.contains(id)).expect("a run");
    assert_eq!(others, []);
    // Of two that are alike, neither is told apart.
    let alike = run_of(&folder.path().join("alike"), &METHODS[1..3]);
    assert_eq!(told(&alike, 2), []);
}

#[test]
fn a_row_says_when_it_was_stopped_and_its_other_draws_are_not_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS);
    let plan = serde_json::json!({
        "definition": { "methods": ["dn2", "gde", "spade", "control-random"], "shots": SHOTS, "draws": 2, "seeds": [1],
            "tasks": super::made_up::TASKS, "size": 128, "episode_seed": 1 }
    });
    fs::write(run.join("plan.json"), plan.to_string()).expect("a plan");
    for cell in read_run(&run).expect("a run") {
        let id = &cell.cell.identity;
        if (id.method.as_str(), id.shots, id.draw) == ("gde", 2, 1) {
            fs::remove_dir_all(&cell.folder).expect("a cell");
        }
    }
    let n_missing = || {
        let places = planned(&run).expect("a plan").expect("it names its tasks");
        missing(&run, &places, &read_run(&run).expect("a run")).len()
    };
    assert_eq!(n_missing(), 5);
    let gde = Stopped {
        method: "gde".to_owned(),
        shots: 2,
        draws: 1,
        from: "dn2".to_owned(),
        planned: String::new(),
    };
    Stopped::write(&run, std::slice::from_ref(&gde)).expect("written");
    assert_eq!(Stopped::read(&run).expect("read"), [gde]);
    assert_eq!(n_missing(), 0);
    let out = folder.path().join("report");
    report::write(&run, &out).expect("a report");
    let board = fs::read_to_string(out.join("leaderboard.md")).expect("a leaderboard");
    let row = board.lines().find(|line| line.starts_with("| – | gde ")).expect("a row without a group");
    assert!(row.contains("not ranked: stopped after 1 draw, told from dn2"), "{row}");
    assert!(!board.contains("planned cells are missing"), "{board}");
    // At other shots it has all its draws, and is ranked.
    assert!(
        board.lines().any(|line| line.contains("| gde ") && line.contains("| 4 | 2 | 1 | R1 |")),
        "{board}"
    );
}
