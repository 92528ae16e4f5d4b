//! Programs end in time, with all that they started, and leave no folder behind, however this process ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use medfsad::method::batches::predict;
use medfsad::method::{Fitted, Prediction, find};
use tempfile::TempDir;

use super::{context, pictures};
use crate::program::{command, text};

/// Starts another process in the background, which writes its number to `$PIDS`, beside the program's own.
const FORKS: &str = "echo $$ >>\"$PIDS\"\nsh -c 'echo $$ >>\"$PIDS\"; exec sleep 600' &\n";

/// Gives every query the score 1.
const ANSWERS: &str =
    "cd \"$1\" && { echo picture_id,score; tail -n +2 queries.csv | sed 's/,.*/,1/'; } >scores.csv\n";

fn alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in brackets; a zombie has ended.
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

/// The numbers of the two processes, once both are known.
fn pids(file: &Path) -> Vec<String> {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let pids: Vec<String> = text.lines().map(str::to_owned).collect();
        if pids.len() >= 2 {
            return pids;
        }
        assert!(started.elapsed() < Duration::from_secs(600), "the program was not started");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn all_end(pids: &[String], within: u64) {
    let started = Instant::now();
    while pids.iter().any(|pid| alive(pid)) {
        assert!(started.elapsed() < Duration::from_secs(within), "of {pids:?} some live on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn program(folder: &Path, body: &str) {
    std::fs::write(
        folder.join("program.sh"),
        body.replace("$PIDS", &folder.join("pids").display().to_string()),
    )
    .expect("a program");
}

fn fitted(folder: &TempDir, timeout_s: u64) -> Box<dyn Fitted> {
    let program = folder.path().join("program.sh");
    let settings = format!("command = ['sh', '{}']\ntimeout_s = {timeout_s}", program.display());
    let built = (find("external:mine").expect("known").build)(toml::from_str(&settings).expect("TOML"));
    let built = built.expect("settings").method;
    built.fit(&[], &context(folder, 2), &mut medfsad::method::Unobserved).expect("a fitted method")
}

#[test]
fn what_a_program_started_ends_with_it() {
    let folder = TempDir::new().expect("a folder");
    program(
        folder.path(),
        &format!("{FORKS}while test $(wc -l <\"$PIDS\") -lt 2; do sleep 0.05; done\n{ANSWERS}"),
    );
    let fitted = fitted(&folder, 60);
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let scored = predict(&*fitted, &*detector, &pictures("query", 3)).expect("scores");
    assert!(matches!(scored, Prediction::Scores(scores) if scores == [1.0; 3]));
    all_end(&pids(&folder.path().join("pids")), 5);
}

#[test]
fn a_program_that_heeds_no_signal_is_killed_after_its_time() {
    let folder = TempDir::new().expect("a folder");
    program(folder.path(), &format!("trap '' TERM\n{FORKS}while :; do sleep 1; done\n"));
    let fitted = fitted(&folder, 2);
    let detector = fitted.adapt(&pictures("support", 2)).expect("a detector");
    let started = Instant::now();
    let error =
        format!("{:#}", predict(&*fitted, &*detector, &pictures("query", 3)).err().expect("an error"));
    assert!(error.contains("over 2 s") && error.contains("timeout_s"), "{error}");
    assert!(started.elapsed() > Duration::from_secs(6), "it was given no time to end by itself");
    all_end(&pids(&folder.path().join("pids")), 5);
}

/// A bench whose program never ends, with the folder that all its temporary files lie in.
fn endless_bench(home: &Path, body: &str) -> Child {
    program(home, body);
    let definition = "name = 'endless'\nspec = 'phantom'\nsize = 64\nmethods = ['external:endless']\ntasks = ['lag']\n\
        shots = [2]\ndraws = 1\nseeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n\
        [settings.'external:endless']\ncommand = ['sh', 'program.sh']\ntimeout_s = 300\n";
    std::fs::write(home.join("endless.toml"), definition).expect("a definition");
    std::fs::create_dir(home.join("scratch")).expect("a folder");
    let mut bench = command(home, &["bench", "--bench", "endless.toml", "--device", "cpu", "--out", "run"]);
    bench.env("TMPDIR", home.join("scratch")).stdout(Stdio::null()).stderr(Stdio::null());
    bench.spawn().expect("it starts")
}

fn scratch(home: &Path) -> usize {
    std::fs::read_dir(home.join("scratch")).expect("a folder").count()
}

fn ends_with_all_that_it_started(signal: &str, body: &str) {
    let home = TempDir::new().expect("a folder");
    let home = home.path();
    let mut bench = endless_bench(home, body);
    let pids = pids(&home.join("pids"));
    assert!(pids.iter().all(|pid| alive(pid)) && scratch(home) > 0, "{pids:?}");
    let id = bench.id().to_string();
    let output = Command::new("kill").args([signal, &id]).output().expect("kill runs");
    assert!(output.status.success(), "{}", text(&output));
    bench.wait().expect("it ends");
    all_end(&pids, 20);
    let started = Instant::now();
    while scratch(home) > 0 {
        assert!(started.elapsed() < Duration::from_secs(5), "{signal} leaves {} folders", scratch(home));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_bench_takes_its_program_with_it() {
    ends_with_all_that_it_started("-KILL", &format!("{FORKS}while :; do sleep 1; done\n"));
}

#[test]
fn a_stopped_bench_takes_a_program_with_it_that_heeds_no_signal() {
    ends_with_all_that_it_started("-TERM", &format!("trap '' TERM\n{FORKS}while :; do sleep 1; done\n"));
}
