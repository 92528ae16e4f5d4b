//! `compare` as a guard: what it cannot compare does not pass.

use std::path::{Path, PathBuf};

use medfsad::report::{Comparison, compare_runs};
use medfsad::results::CellResult;
use tempfile::TempDir;

use super::made_up::{METHODS, run_of};
use crate::program::cells;

/// A copy of a run with each cell changed, or left out where `change` says so.
fn changed(run: &Path, name: &str, change: impl Fn(&mut CellResult) -> bool) -> PathBuf {
    let copy = run.with_file_name(name);
    for mut cell in cells(run) {
        if change(&mut cell) {
            cell.cell.id = cell.cell.identity.id();
            cell.folder = copy.join("cells").join(&cell.cell.id);
            cell.write().expect("a cell");
        }
    }
    copy
}

fn run() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS[..1]);
    (folder, run)
}

fn compared(first: &Path, second: &Path) -> Comparison {
    compare_runs(first, second, [None, None]).expect("a comparison")
}

/// That nothing is judged, for the reason in `words`.
fn is_unjudged(first: &Path, second: &Path, words: &str) {
    let comparison = compared(first, second);
    assert!(!comparison.unjudged.is_empty());
    assert!(comparison.unjudged.iter().all(|why| why.contains(words)), "{:?}", comparison.unjudged);
    assert!(!comparison.table.markdown(None).contains("not told apart"));
}

#[test]
fn equal_runs_are_compared_and_pass() {
    let (_folder, run) = run();
    let comparison = compared(&run, &run);
    assert!(comparison.unjudged.is_empty() && comparison.regressions == 0, "{:?}", comparison.unjudged);
}

#[test]
fn failures_of_the_first_do_not_pass() {
    let (_folder, run) = run();
    let all = changed(&run, "all", |cell| {
        cell.cell.error = Some("no memory".to_owned());
        true
    });
    is_unjudged(&all, &run, "10 cells failed in the first that did not in the second");
    let one = changed(&run, "one", |cell| {
        let identity = &cell.cell.identity;
        cell.cell.error =
            (identity.task.as_str() == "his" && identity.draw == 0).then(|| "no memory".to_owned());
        true
    });
    is_unjudged(&one, &run, "1 cells failed");
}

#[test]
fn other_manifests_tasks_and_supports_do_not_pass() {
    let (_folder, run) = run();
    let manifest = changed(&run, "manifest", |cell| {
        cell.cell.identity.manifest_hash = "another".to_owned();
        true
    });
    is_unjudged(&manifest, &run, "different manifests");
    let tasks = changed(&run, "tasks", |cell| cell.cell.identity.task.as_str() != "lag");
    is_unjudged(&tasks, &run, "no draw of lag ran in both");
    let episodes = changed(&run, "episodes", |cell| {
        cell.cell.identity.episode_seed = medfsad::results::Seed(7);
        true
    });
    is_unjudged(&episodes, &run, "drawn by different seeds");
    let pictures = changed(&run, "pictures", |cell| cell.scores.pop().is_some());
    is_unjudged(&pictures, &run, "different pictures");
    let shots = changed(&run, "shots", |cell| cell.cell.identity.shots < 8);
    assert_eq!(compared(&shots, &run).unjudged, ["d24fad at 8 shots: the first has no such cell"]);
}

#[test]
fn a_method_that_the_first_lacks_does_not_pass() {
    let (folder, run) = run();
    let more = run_of(&folder.path().join("more"), &METHODS[..2]);
    assert_eq!(compared(&run, &more).unjudged, ["patchcore: the first lacks it"]);
    // What the second lacks is nothing to guard.
    assert!(compared(&more, &run).unjudged.is_empty());
}

#[test]
fn methods_are_paired_by_settings_and_not_by_number() {
    let (_folder, run) = run();
    let other = "{\"k\":2}";
    let second = changed(&run, "second", |cell| {
        cell.cell.identity.settings = other.to_owned();
        true
    });
    is_unjudged(&run, &second, "with other settings only");
    // Two set-ups in the first, which get numbers; the second has the one that was lowered here.
    let first = changed(&second, "first", |cell| {
        cell.metrics.iter_mut().for_each(|row| row.value = row.value.map(|value| value - 0.2));
        true
    });
    changed(&run, "first", |_| true);
    let markdown = compared(&first, &second).table.markdown(None);
    let line = markdown
        .lines()
        .find(|line| line.contains("| 2 | 2 of 2 and 2 | 10 of 10 and 10 |"))
        .expect("a line");
    assert!(line.contains("| 0.610 | 0.810 | -0.200 "), "{line}");
    assert_eq!(markdown.lines().filter(|line| line.starts_with("| d24fad")).count(), 3);
}

#[test]
fn only_what_both_have_is_compared_and_counted() {
    let (_folder, run) = run();
    let fewer = changed(&run, "fewer", |cell| cell.cell.identity.draw == 0);
    let comparison = compared(&fewer, &run);
    assert!(comparison.unjudged.is_empty(), "{:?}", comparison.unjudged);
    // The first draw alone has 0.80 in both; the second run's own mean is 0.81.
    let markdown = comparison.table.markdown(None);
    assert!(markdown.contains("| 2 | 1 of 1 and 2 | 5 of 5 and 10 | 0.800 | 0.800 | +0.000 "), "{markdown}");
    // 2 / 2^5 = 0.0625 at best, whatever the five differences.
    assert!(markdown.contains(" | 5 pairs: no test can reach 0.05 | "), "{markdown}");
    let whole = compared(&run, &run).table.markdown(None);
    assert!(
        whole.contains("| 2 of 2 and 2 | 10 of 10 and 10 |") && !whole.contains("no test can"),
        "{whole}"
    );
}

#[test]
fn a_small_p_value_is_never_nothing_and_power_is_said() {
    let (folder, run) = run();
    let weaker = run_of(&folder.path().join("weaker"), &METHODS[2..3]);
    let methods = [Some("d24fad"), Some("control-random")];
    let markdown = compare_runs(&run, &weaker, methods).expect("a comparison").table.markdown(None);
    let line =
        markdown.lines().find(|line| line.contains("| 2 of 2 and 2 | 10 of 10 and 10 |")).expect("a line");
    let entries: Vec<&str> = line.split(" | ").collect();
    // Draws differ by 0.3 throughout, so that all ten pairs have one sign; the scores' own AUROC differs by more.
    assert!(entries[8].parse::<f64>().is_ok_and(|size| (0.01..0.2).contains(&size)), "{line}");
    assert_eq!(entries[9], "0.002");
    assert!(entries[10].starts_with("&lt; 0.001 ("), "{line}");
    assert!(entries[11].starts_with("better"), "{line}");
}
