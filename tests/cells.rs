//! Cells by other ways than one undisturbed process: planned and given out, killed, stopped, two at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::random::Stream;
use medfsad::results::{CellResult, Lacked, read_run};
use medfsad::table::Table;
use tempfile::TempDir;

use crate::program::{self, command, succeeds, text};

/// 40 cells in 20 jobs, two of which train.
const BENCH: &str = "
name = 'short'
spec = 'phantom'
size = 64
methods = ['d24fad']
tasks = ['rsna', 'lag']
shots = [2]
draws = 2
seeds = [1]
episode_seed = 1
teacher_seed = 1
[settings.d24fad]
backbone = 'resnet18'
epochs = 1
batch = 16
learning_rate = 1e-3
";

fn home() -> TempDir {
    let home = TempDir::new().expect("a folder");
    std::fs::write(home.path().join("short.toml"), BENCH).expect("a definition");
    home
}

fn bench<'a>(words: &[&'a str], out: &'a str) -> Vec<&'a str> {
    [words, &["--bench", "short.toml", "--teacher", "random", "--device", "cpu", "--out", out]].concat()
}

fn metrics(home: &Path, run: &str) -> String {
    std::fs::read_to_string(home.join(run).join("results/metrics.csv")).expect("a table")
}

/// Every file of a run, to look for what should not be there.
fn leftovers(run: &Path) -> Vec<String> {
    let files = medfsad::files::walk(run).expect("a folder");
    let odd = |name: &String| [".draft-", ".lock", "training/"].iter().any(|part| name.contains(part));
    files.into_iter().filter(odd).collect()
}

/// When each cell was started.
fn starts(run: &Path) -> BTreeMap<String, std::time::SystemTime> {
    let cells = std::fs::read_dir(run.join("cells")).into_iter().flatten();
    let cells = cells.map(|entry| entry.expect("an entry").path().join("cell.json"));
    let stamp = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    cells.filter_map(|path| Some((path.display().to_string(), stamp(&path)?))).collect()
}

#[test]
fn planned_cells_give_what_one_process_gives() {
    let home = home();
    let home = home.path();
    let whole = succeeds(home, &bench(&["bench"], "whole"));
    assert!(
        whole.contains("40 cells, 0 already done") && leftovers(&home.join("whole")).is_empty(),
        "{whole}"
    );
    let said = succeeds(home, &bench(&["plan"], "shared"));
    assert!(
        said.contains("20 jobs planned")
            && said.contains("40 cells to do; 40 estimated from comparable cells"),
        "{said}"
    );
    let plan = Table::read(&home.join("shared/plan.parquet")).expect("a plan");
    let column = |name: &str| plan.text_given(name).expect("a column");
    let (cells, jobs, methods) = (column("cell"), column("job"), column("method"));
    assert_eq!(plan.height(), 40);
    // The finished run beside it says what cells like these take.
    assert!(
        plan.real("expected_score_seconds").unwrap().iter().all(|seconds| seconds.is_some_and(|s| s >= 0.0))
    );

    // One cell's name stands for its job; a second call finds it done.
    let trained = methods.iter().position(|method| method == "d24fad").expect("a cell");
    assert!(succeeds(home, &["run-cell", "shared", &cells[trained]]).contains("1 jobs, 0 cells failed"));
    let before = starts(&home.join("shared"));
    assert_eq!(before.len(), 2, "a job is both draws");
    succeeds(home, &["run-cell", "shared", &jobs[trained][..8]]);
    assert_eq!(starts(&home.join("shared")), before);
    // What is missing is said, after the report is drawn.
    let output = command(home, &["collect", "shared"]).output().expect("the binary runs");
    assert!(
        !output.status.success() && text(&output).contains("38 of 40 cells are not there"),
        "{}",
        text(&output)
    );
    let output = command(home, &["run-cell", "shared", "zzz"]).output().expect("the binary runs");
    assert!(text(&output).contains("no cell or job `zzz`"), "{}", text(&output));

    // The rest by processes of their own.
    let said = succeeds(home, &bench(&["bench", "submit", "--engine", "local", "--jobs", "2"], "shared"));
    assert!(said.contains("19 jobs to run"), "{said}");
    assert_eq!(metrics(home, "shared"), metrics(home, "whole"));
    let after = starts(&home.join("shared"));
    assert!(before.iter().all(|(cell, at)| after[cell] == *at), "a finished cell was computed again");
    assert!(leftovers(&home.join("shared")).is_empty(), "{:?}", leftovers(&home.join("shared")));
    let said = succeeds(home, &bench(&["bench", "submit", "--engine", "slurm", "--dry-run"], "third"));
    assert!(said.contains("--array=1-20%1") && home.join("third/jobs/array.sh").exists(), "{said}");
}

fn start(home: &Path, out: &str) -> Child {
    let mut command = command(home, &bench(&["bench"], out));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

fn signal(process: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &process.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
}

/// A lock that names this process.
fn own_lock(run: &Path, process: &Child) -> Option<String> {
    let own = format!("\"process\":{}", process.id());
    let entries = std::fs::read_dir(run.join("jobs")).into_iter().flatten().flatten();
    let mut texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts.find(|text| text.contains(&own))
}

#[test]
fn a_bench_killed_or_stopped_at_random_goes_on_to_the_same_numbers() {
    let home = home();
    let home = home.path();
    succeeds(home, &bench(&["bench"], "whole"));
    let run = home.join("killed");
    let mut stream = Stream::new(1, "moments of kills", 0);
    let mut seen = BTreeMap::new();
    let (mut n_killed, mut n_stopped) = (0, 0);
    for index in 0..8 {
        let mut process = start(home, "killed");
        let is_gentle = index % 2 == 1;
        if is_gentle {
            // It listens before it takes its first lock.
            while process.try_wait().expect("a process").is_none() && own_lock(&run, &process).is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::thread::sleep(Duration::from_millis(stream.below(1500) as u64));
        if process.try_wait().expect("a process").is_none() {
            signal(&process, if is_gentle { "-TERM" } else { "-KILL" });
            let code = process.wait().expect("a process").code();
            if is_gentle {
                // It may have come to its end just before.
                assert!([Some(143), Some(0)].contains(&code), "SIGTERM ends it with {code:?}");
                assert_eq!(own_lock(&run, &process), None, "it gave back its locks");
                n_stopped += usize::from(code == Some(143));
            }
            n_killed += usize::from(!is_gentle);
        }
        // A finished cell is never computed again.
        let now = starts(&run);
        assert!(seen.iter().all(|(cell, at)| now.get(cell) == Some(at)), "after {index} kills");
        seen = now;
    }
    assert!(n_killed >= 1 && n_stopped >= 1, "{n_killed} killed, {n_stopped} stopped");
    succeeds(home, &bench(&["bench"], "killed"));
    assert_eq!(metrics(home, "killed"), metrics(home, "whole"));
    assert!(leftovers(&home.join("killed")).is_empty(), "{:?}", leftovers(&home.join("killed")));
}

#[test]
fn two_processes_share_the_cells_of_one_run() {
    let home = home();
    let home = home.path();
    let (mut first, mut second) = (start(home, "both"), start(home, "both"));
    let codes = [first.wait().expect("a process").code(), second.wait().expect("a process").code()];
    assert_eq!(codes, [Some(0); 2], "each waits for what the other computes");
    let cells = read_run(&home.join("both")).expect("results");
    assert_eq!(cells.len(), 40);
    assert!(leftovers(&home.join("both")).is_empty(), "{:?}", leftovers(&home.join("both")));
}

/// A home whose bench runs a shell program, which gives every query the score 1 once `before` has succeeded.
fn home_with_program(before: &str) -> TempDir {
    let home = home();
    let program = format!(
        "{before}\ncd \"$1\" && {{ echo picture_id,score; tail -n +2 queries.csv | cut -d, -f1 | sed 's/$/,1/'; }} >scores.csv\n"
    );
    std::fs::write(home.path().join("program.sh"), program).expect("a program");
    let definition =
        BENCH.replace("['d24fad']", "['external:pen']").split("[settings").next().unwrap().to_owned()
            + "[settings.'external:pen']\ncommand = ['sh', 'program.sh']\n";
    std::fs::write(home.path().join("short.toml"), definition).expect("a definition");
    home
}

/// A process that numbers its processes anew, as one in a container does, finds no number of another's.
#[cfg(target_os = "linux")]
#[test]
fn two_processes_that_do_not_see_each_other_share_the_cells_of_one_run() {
    let home = home_with_program("echo $$ >>runs; sleep 1");
    let home = home.path();
    let runs = || std::fs::read_to_string(home.join("runs")).expect("a list").lines().count();
    succeeds(home, &bench(&["bench"], "alone"));
    let alone = runs();
    let apart = ["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"];
    let mut probe = Command::new("unshare");
    if !probe.args(apart).arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        crate::shared::leave_out("a process in a namespace of its own: this machine lets no user make one");
        return;
    }
    let whole = command(home, &bench(&["bench"], "both"));
    let mut contained = Command::new("unshare");
    contained.args(apart).arg(whole.get_program()).args(whole.get_args()).current_dir(home);
    contained.envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut first = start(home, "both");
    let mut second = contained.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let codes = [first.wait().expect("a process").code(), second.wait().expect("a process").code()];
    assert_eq!(codes, [Some(0); 2]);
    assert_eq!(runs() - alone, alone, "a cell was computed twice");
}

#[test]
fn failed_cells_are_rows_until_they_are_asked_for_again() {
    // Fails while a file is missing, then does not.
    let home = home_with_program("test -e \"$MEDFSAD_TEST\" || { echo out of ink >&2; exit 3; }");
    let home = home.path();
    let run = |more: &[&str]| {
        let mut command = command(home, &[&bench(&["bench"], "run")[..], more].concat());
        command.env("MEDFSAD_TEST", home.join("ink")).output().expect("the binary runs")
    };
    let output = run(&[]);
    assert!(!output.status.success() && text(&output).contains("4 of 40 cells failed"), "{}", text(&output));
    std::fs::write(home.join("ink"), "").expect("a file");
    let output = run(&[]);
    assert!(text(&output).contains("36 already done, 4 failed before"), "{}", text(&output));
    assert!(text(&output).contains("4 of 40 cells failed"), "{}", text(&output));
    let output = run(&["--retry-failed"]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_cell_that_lacked_room_is_computed_again_without_being_asked_for() {
    let home = home_with_program("");
    let home = home.path();
    succeeds(home, &bench(&["bench"], "run"));
    let cells = || program::cells(&home.join("run"));
    let is_program = |cell: &CellResult| cell.cell.identity.method == "external:pen";
    let mut programs: Vec<CellResult> = cells().into_iter().filter(is_program).collect();
    for (cell, lacked) in programs.iter_mut().zip([Some(Lacked::Room), None]) {
        cell.cell.error = Some("of another language".to_owned());
        cell.cell.lacked = lacked;
        cell.write().expect("a cell");
    }
    let output = command(home, &bench(&["bench"], "run")).output().expect("the binary runs");
    assert!(text(&output).contains("38 already done, 2 failed before"), "{}", text(&output));
    assert!(!output.status.success() && text(&output).contains("1 of 40 cells failed"), "{}", text(&output));
    let failed: Vec<CellResult> = cells().into_iter().filter(|cell| cell.cell.error.is_some()).collect();
    assert_eq!((failed.len(), &failed[0].cell.id), (1, &programs[1].cell.id));
}

/// The command where the disk of temporary files has 64 KiB, too few for the pictures that a program is given.
#[cfg(target_os = "linux")]
fn with_a_full_disk(home: &Path, arguments: &[&str]) -> Option<Command> {
    let apart = ["--user", "--map-root-user", "--mount"];
    let scratch = home.join("scratch");
    std::fs::create_dir_all(&scratch).expect("a folder");
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$TMPDIR\"";
    let mut probe = Command::new("unshare");
    probe.args(apart).args(["sh", "-c", mount]).env("TMPDIR", &scratch).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        crate::shared::leave_out("a full disk: this machine lets no user mount one");
        return None;
    }
    let whole = command(home, arguments);
    let mut small = Command::new("unshare");
    small.args(apart).args(["sh", "-c", &format!("{mount} && exec \"$@\""), "sh"]);
    small.arg(whole.get_program()).args(whole.get_args()).current_dir(home);
    small.envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TMPDIR", &scratch);
    Some(small)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_cells_until_there_is_room() {
    let home = home_with_program("");
    let home = home.path();
    let Some(mut small) = with_a_full_disk(home, &bench(&["bench"], "run")) else { return };
    let output = small.output().expect("the binary runs");
    let said = "4 of 40 cells failed because a disk or a quota is full; make room";
    assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
    let cells = program::cells(&home.join("run"));
    let lacked = |cell: &&CellResult| cell.cell.lacked == Some(Lacked::Room) && cell.cell.error.is_some();
    assert_eq!(cells.iter().filter(lacked).count(), 4);
    succeeds(home, &bench(&["bench"], "run"));
}

#[test]
fn source_tasks_choose_an_epoch_without_the_target() {
    let home = home();
    let home = home.path();
    let definition = BENCH.replace("tasks = ['rsna', 'lag']", "tasks = ['rsna']\nepoch_by_sources = true");
    let definition = definition.replace("epochs = 1", "epochs = 3").replace("draws = 2", "draws = 1");
    std::fs::write(home.join("short.toml"), definition).expect("a definition");
    succeeds(home, &bench(&["bench"], "run"));
    let cells = program::cells(&home.join("run"));
    let trained = cells.iter().find(|cell| cell.cell.identity.method == "d24fad").expect("a cell");
    let curve = |quantity: &str| -> Vec<f64> {
        let epochs = trained.epochs.iter().filter(|epoch| epoch.quantity == quantity);
        epochs.map(|epoch| epoch.value.expect("defined")).collect()
    };
    let (sources, target) = (curve("auroc-source-tasks"), curve("auroc-clean"));
    assert_eq!((sources.len(), target.len()), (3, 3));
    let mut best = 0;
    for epoch in 1..3 {
        if sources[epoch] > sources[best] {
            best = epoch;
        }
    }
    let chosen = trained.metric(Protocol::CleanSource, Metric::ImageAuroc).expect("a row");
    assert_eq!((chosen.epoch, chosen.value), (Some(best as u64 + 1), Some(target[best])));
    assert!(trained.scores.iter().all(|score| score.under(Protocol::CleanSource).is_some()));
    // What nothing was chosen for has no such protocol.
    let control = cells.iter().find(|cell| cell.cell.identity.method == "control-random").expect("a cell");
    assert!(
        control.metric(Protocol::CleanSource, Metric::ImageAuroc).is_none()
            && !control.cell.identity.epoch_by_sources
    );
}

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

/// Controls alone: no network, so that it takes seconds.
const CONTROLS: &str = "
name = 'controls'
spec = 'phantom'
size = 64
methods = ['control-pixel-mean']
tasks = ['lag']
shots = [2]
draws = 1
seeds = [1]
episode_seed = 1
teacher_seed = 1
";

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

    fails(
        &["verify", "run", "--manifest", "elsewhere"],
        &["DOES NOT HOLD: manifest and episodes", "elsewhere"],
    );
}
