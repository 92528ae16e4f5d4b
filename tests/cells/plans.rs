//! Plans for other machines: for a card without one, and for a cluster whose arrays are short.

use std::path::Path;

use medfsad::results::read_run;
use medfsad::table::Table;
use tempfile::TempDir;

use super::{CONTROLS, bench, home};
use crate::program::{command, succeeds, text};

#[test]
fn a_plan_for_a_card_is_made_without_one_and_refuses_the_cpu() {
    let home = home();
    let home = home.path();
    let short = ["--bench", "short.toml", "--teacher", "random"];
    let plan = ["--device", "cuda", "--precision", "tf32", "--out", "card"];
    let plan = [&["plan"][..], &short, &plan].concat();
    assert!(succeeds(home, &plan).contains("on cuda (tf32)"));
    let ids = |run: &str| {
        let plan = Table::read(&home.join(run).join("plan.parquet")).expect("a plan");
        plan.text_given("cell").expect("a column")
    };
    succeeds(home, &bench(&["plan"], "cpu"));
    assert!(ids("card").iter().all(|id| !ids("cpu").contains(id)), "a device class is part of a cell's name");
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = command(home, arguments).output().expect("the binary runs");
        let text = text(&output);
        assert!(!output.status.success(), "{arguments:?}: {text}");
        words
            .iter()
            .for_each(|word| assert!(text.contains(word), "{arguments:?} does not say `{word}`: {text}"));
    };
    let id = &ids("card")[0];
    refused(&["run-cell", "card", id, "--device", "cpu"], &["card", "for cuda-tf32", "plan anew"]);
    // On a machine with a card these would be computed.
    if !Path::new("/proc/driver/nvidia/version").exists() {
        refused(&["run-cell", "card", id], &["for cuda-tf32", "no NVIDIA driver"]);
        refused(&["run-cell", "card", id, "--device", "cuda:1"], &["for cuda-tf32", "no NVIDIA driver"]);
        let submit = ["bench", "submit", "--engine", "slurm", "--dry-run", "--device", "cuda"];
        assert!(succeeds(home, &[&submit[..], &short, &["--out", "slurm"]].concat()).contains("sbatch"));
    }
    // What a plan is for stands in it, whatever `auto` was decided to be.
    succeeds(home, &[&["plan"][..], &short, &["--out", "auto"]].concat());
    let planned = std::fs::read_to_string(home.join("auto/plan.json")).expect("a plan");
    assert!(!planned.contains("\"auto\""), "{planned}");
}

/// Stands in for Slurm's: runs each task of an array at once, and notes how it was called.
const SBATCH: &str = r#"#!/bin/bash
echo "$@" >>calls
test $(wc -l <calls) -lt "${FAILS_AT:-99}" || { echo 'Invalid job array specification' >&2; exit 1; }
for argument in "$@"; do
    case $argument in
    --array=1-*) last=${argument#--array=1-} last=${last%\%*} ;;
    */array.sh) script=$argument offset=${@: -1} ;;
    */collect.sh) bash "$argument" >&2 ;;
    esac
done
for ((task = 1; task <= ${last:-0}; task++)); do SLURM_ARRAY_TASK_ID=$task bash "$script" "$offset" >&2; done
echo "7$(wc -l <calls);here"
"#;

#[cfg(unix)]
#[test]
fn more_jobs_than_an_array_holds_are_split_into_several_and_none_is_lost() {
    use std::os::unix::fs::PermissionsExt;

    let home = TempDir::new().expect("a folder");
    let home = home.path();
    std::fs::write(home.join("controls.toml"), CONTROLS).expect("a definition");
    std::fs::create_dir(home.join("bin")).expect("a folder");
    std::fs::write(home.join("bin/sbatch"), SBATCH).expect("a script");
    std::fs::set_permissions(home.join("bin/sbatch"), PermissionsExt::from_mode(0o755)).expect("it may run");
    let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").expect("a path"));
    let submit = |more: &[&str]| {
        let base = ["bench", "submit", "--engine", "slurm", "--bench", "controls.toml", "--device", "cpu"];
        let mut submit = command(home, &[&base[..], &["--out", "run", "--jobs", "3"], more].concat());
        submit.env("PATH", &path);
        submit
    };
    let calls = || std::fs::read_to_string(home.join("calls")).expect("calls");

    // The second array is refused: what is submitted is named.
    let output =
        submit(&["--max-array-size", "5", "--retry-failed"]).env("FAILS_AT", "2").output().expect("it runs");
    let said = text(&output);
    assert!(
        !output.status.success() && said.contains("scancel 71") && said.contains("--max-array-size"),
        "{said}"
    );
    assert_eq!(read_run(&home.join("run")).expect("results").len(), 4);
    std::fs::remove_file(home.join("calls")).expect("calls");
    std::fs::remove_dir_all(home.join("run")).expect("a run");

    let said = submit(&["--max-array-size", "5", "--dry-run"]).output().expect("it runs");
    assert!(
        !home.join("calls").exists() && text(&said).matches("--array=1-").count() == 3,
        "{}",
        text(&said)
    );
    let said = submit(&["--max-array-size", "5"]).output().expect("it runs");
    assert!(said.status.success(), "{}", text(&said));
    let sizes: Vec<String> = calls()
        .lines()
        .map(|call| {
            call.split("--array=").skip(1).map(|rest| rest.split(' ').next().unwrap_or_default()).collect()
        })
        .collect();
    assert_eq!(sizes, ["1-4%3", "1-4%3", "1-1%3", ""]);
    assert!(
        calls().lines().nth(1).is_some_and(|call| call.contains("--dependency=afterany:71")),
        "{}",
        calls()
    );
    assert!(calls().lines().nth(3).is_some_and(|call| call.contains("--dependency=afterany:71:72:73")));
    assert!(text(&said).contains("arrays 71, 72, 73 of 9 jobs"), "{}", text(&said));
    let cells = read_run(&home.join("run")).expect("results");
    assert!(cells.len() == 9 && cells.iter().all(|cell| cell.cell.error.is_none()));
    assert!(home.join("run/index.html").exists());
}
