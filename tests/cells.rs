//! Cells by other ways than one undisturbed process: planned and given out, killed, stopped, two at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use medfsad::metric::Metric;
use medfsad::protocol::Protocol;
use medfsad::random::Stream;
use medfsad::results::read_run;
use medfsad::table::Table;
use tempfile::TempDir;

use crate::program::{self, command, fails, succeeds, text};

mod failed;
mod kept_maps;
mod plans;
mod said;
mod sealed;
mod sequential;
mod target;
mod verify;

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
    let odd =
        |name: &String| [".draft-", ".lock", "training/", "features/"].iter().any(|part| name.contains(part));
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
    let output = command(home, &bench(&["plan", "--json"], "shared")).output().expect("the binary runs");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert!(told["jobs"] == 20 && told["cells_to_do"] == 40 && told["folder"] == "shared", "{told}");
    assert_eq!(told["cells_by_source"]["comparable_cells"], 40);
    let methods = told["methods"].as_array().expect("methods");
    assert_eq!(methods.iter().filter_map(|method| method["cells_to_do"].as_u64()).sum::<u64>(), 40);
    let hours = |value: &serde_json::Value| value.as_f64().filter(|hours| *hours > 0.0).expect("hours");
    let sum: f64 = methods.iter().map(|method| hours(&method["hours"])).sum();
    assert!((sum / hours(&told["hours_on_one_device"]) - 1.0).abs() < 1e-9, "{told}");
    assert!(hours(&told["longest_job"]["hours"]) <= sum && told["disk_bytes"].is_number(), "{told}");
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
    // As one that was killed while it wrote them leaves them.
    for shared in ["episodes.json", "episodes.parquet", "plan.json", "plan.parquet", "stopped.json"] {
        std::fs::write(run.join(format!("{shared}.draft-1-0")), "half").expect("a file");
    }
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

#[test]
fn a_program_is_named_on_the_command_line_alone() {
    let home = home_with_program("true");
    let plain = BENCH.split("[settings").next().expect("a definition");
    std::fs::write(home.path().join("short.toml"), plain).expect("a definition");
    let program = ["bench", "--method", "external:pen"];
    fails(home.path(), &bench(&program, "run"), &["external needs `command`", "--set command="]);
    let command = [&program[..], &["--set", "command=['sh', 'program.sh']"]].concat();
    succeeds(home.path(), &bench(&command, "run"));
    let board = std::fs::read_to_string(home.path().join("run/leaderboard.md")).expect("a leaderboard");
    assert!(board.contains("external:pen"), "{board}");
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
fn epochs_that_are_passed_over_leave_losses_and_the_last_one_is_observed() {
    let home = home();
    let home = home.path();
    let definition = BENCH.replace("tasks = ['rsna', 'lag']", "tasks = ['rsna']");
    let definition = definition.replace("epochs = 1", "epochs = 5").replace("draws = 2", "draws = 1");
    std::fs::write(home.join("short.toml"), definition).expect("a definition");
    succeeds(home, &bench(&["bench"], "each"));
    succeeds(home, &[bench(&["bench"], "some"), vec!["--observe-every", "2"]].concat());
    let trained = |run: &str| {
        let cells = program::cells(&home.join(run));
        cells.into_iter().find(|cell| cell.cell.identity.method == "d24fad").expect("a cell")
    };
    let (each, some) = (trained("each"), trained("some"));
    let curve = |cell: &medfsad::results::CellResult, quantity: &str| -> Vec<(u64, Option<f64>)> {
        let epochs = cell.epochs.iter().filter(|epoch| epoch.quantity == quantity);
        epochs.map(|epoch| (epoch.epoch, epoch.value)).collect()
    };
    assert_eq!(curve(&some, "loss"), curve(&each, "loss"));
    let observed: Vec<_> =
        curve(&each, "auroc-clean").into_iter().filter(|(epoch, _)| [2, 4, 5].contains(epoch)).collect();
    assert_eq!(curve(&some, "auroc-clean"), observed);
    let clean = |cell: &medfsad::results::CellResult| {
        cell.metric(Protocol::Clean, Metric::ImageAuroc).expect("a row").value
    };
    assert_eq!(clean(&some), clean(&each));
    // The published protocols choose among what was observed, and the cell says so.
    let published = some.metric(Protocol::Published, Metric::ImageAuroc).expect("a row");
    assert!([2, 4, 5].contains(&published.epoch.expect("an epoch")));
    assert_eq!(some.cell.identity.observed_every, Some(2));
    assert_eq!(each.cell.identity.observed_every, None);
    let seconds =
        |cell: &medfsad::results::CellResult| cell.cell.provenance.observe_seconds.expect("observed") > 0.0;
    assert!(seconds(&each) && seconds(&some));
    // What cells shared is gone with the last of them.
    assert!(!home.join("each/features").exists() && !home.join("each/training").exists());
}

#[test]
fn a_run_shares_features_until_all_cells_are_there() {
    let home = home();
    let home = home.path();
    let definition = BENCH.replace("methods = ['d24fad']", "methods = ['dn2', 'patchcore']");
    let settings = "[settings.dn2]\nbackbone = 'resnet18'\n[settings.patchcore]\nbackbone = 'resnet18'\n";
    let definition = definition.split("[settings.d24fad]").next().expect("a part").to_owned() + settings;
    std::fs::write(home.join("short.toml"), definition).expect("a definition");
    succeeds(home, &bench(&["plan"], "shared"));
    let table = Table::read(&home.join("shared/plan.parquet")).expect("a plan");
    let column = |name: &str| table.text_given(name).expect("a column");
    let (jobs, methods, tasks) = (column("job"), column("method"), column("task"));
    let job = |wanted: &str| {
        let mut all = methods.iter().zip(&tasks);
        let place = all.position(|(method, task)| method == wanted && task == "lag").expect("a job");
        jobs[place].as_str()
    };
    let kept = home.join("shared/features").join(medfsad::CODE_HASH);
    let n_kept = || std::fs::read_dir(&kept).map_or(0, Iterator::count);
    succeeds(home, &["run-cell", "shared", job("dn2")]);
    let after_first = n_kept();
    assert!(after_first > 0);
    succeeds(home, &["run-cell", "shared", job("patchcore")]);
    assert_eq!(n_kept(), after_first, "the second method asked the teacher again");
    succeeds(home, &bench(&["bench"], "shared"));
    assert_eq!(n_kept(), 0);
    // Without files, the same numbers.
    succeeds(home, &[bench(&["bench"], "alone"), vec!["--feature-disk", "0"]].concat());
    let metrics = |run: &str| std::fs::read(home.join(run).join("results/metrics.csv")).expect("metrics");
    assert_eq!(metrics("shared"), metrics("alone"));
}
