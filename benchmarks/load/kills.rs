//! Programs that are killed at random moments and started again, until they are done: what they leave must be what an
//! undisturbed run leaves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use medfsad::files;
use medfsad::random::Stream;
use medfsad::results::read_run;

/// A program's arguments, and what it leaves that must be the same.
pub(super) struct Work {
    pub name: &'static str,
    pub arguments: &'static [&'static str],
    pub left: fn(&Path) -> Result<BTreeMap<String, String>>,
}

/// Methods that train.
const TRAIN: [&str; 3] = ["d24fad", "rd4ad", "ae"];

/// What is killed, in an order in which each finds what it needs.
pub(super) const WORKS: [Work; 3] = [
    Work {
        name: "build-dataset",
        arguments: &["build-dataset", "--spec", "phantom", "--raw", "../raw"],
        left: curated,
    },
    Work {
        name: "bench",
        arguments: &[
            "bench",
            "--bench",
            "../kills.toml",
            "--manifest",
            "manifests/phantom",
            "--device",
            "cpu",
            "--teacher",
            "random",
            "--out",
            "run",
        ],
        left: run,
    },
    Work { name: "report", arguments: &["report", "run", "--out", "report"], left: report },
];

/// A folder in `folder` where every kind of work ran undisturbed.
pub(super) fn calm(program: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    fs::write(folder.join("kills.toml"), definition())?;
    whole(program, &folder, &folder, &["phantom", "--out", "raw"])?;
    let calm = folder.join("calm");
    fs::create_dir_all(&calm)?;
    WORKS.iter().try_for_each(|work| whole(program, &folder, &calm, work.arguments).map(drop))?;
    Ok(calm)
}

/// Runs a program to its end, and says how long it took.
fn whole(program: &Path, home: &Path, place: &Path, arguments: &[&str]) -> Result<Duration> {
    let started = Instant::now();
    let status = command(program, home, place, arguments).status()?;
    ensure!(status.success(), "{arguments:?} failed in {}", place.display());
    Ok(started.elapsed())
}

/// Kills each kind of work, `n_kills` times in all, and says what came of it.
pub(super) fn all(program: &Path, folder: &Path, n_kills: usize) -> Result<()> {
    let calm = calm(program, folder)?;
    let home = calm.parent().context("a folder in a folder")?;
    let [killed, timed] = ["killed", "timed"].map(|name| home.join(name));
    fs::create_dir_all(&killed)?;
    fs::create_dir_all(&timed)?;
    let mut stream = Stream::new(1, "kills", 0);
    for Work { name, arguments, left } in WORKS {
        let took = whole(program, home, &timed, arguments)?;
        let n = n_kills.div_ceil(WORKS.len());
        let mut n_killed = 0;
        for _ in 0..n {
            let mut child = command(program, home, &killed, arguments).spawn()?;
            std::thread::sleep(took.mul_f64(0.5 * stream.unit()));
            child.kill().context("killing it")?;
            n_killed += usize::from(child.wait()?.signal() == Some(9));
        }
        ensure!(2 * n_killed >= n, "{name}: only {n_killed} of {n} were killed before they were done");
        whole(program, home, &killed, arguments)?;
        let (expected, found) = (left(&calm)?, left(&killed)?);
        let differ: Vec<&String> =
            expected.keys().filter(|name| expected.get(*name) != found.get(*name)).collect();
        ensure!(differ.is_empty() && expected.len() == found.len(), "{name}: {differ:?} differ");
        println!(
            "{name}: killed {n_killed} times of {n}, gone on with, {} things as in an undisturbed run",
            found.len()
        );
    }
    Ok(())
}

/// Two tasks, a draw or two, and little training.
fn definition() -> String {
    format!(
        "name = 'kills'\nspec = 'phantom'\nsize = 64\nmethods = {:?}\ntasks = ['his', 'rsna']\nshots = [2]\n\
         draws = 2\nseeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n\
         [settings.d24fad]\nbackbone = 'resnet18'\nepochs = 1\nbatch = 8\n\
         [settings.rd4ad]\nbackbone = 'resnet18'\nsteps = 6\n[settings.ae]\nepochs = 5\n",
        [&TRAIN[..], &["dn2", "control-random"]].concat()
    )
}

fn command(program: &Path, home: &Path, place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    environment(&mut command, home).args(arguments).current_dir(place);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// With nothing of the user's own.
pub(super) fn environment<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env("MEDFSAD_CACHE", home.join("cache")).env("XDG_CONFIG_HOME", home.join("config"))
}

/// Files of a folder by their hashes.
fn hashes(folder: PathBuf, keep: impl Fn(&str) -> bool) -> Result<BTreeMap<String, String>> {
    let names = files::walk(&folder)?.into_iter().filter(|name| keep(name));
    names.map(|name| Ok((name.clone(), files::fingerprint_file(&folder.join(&name))?))).collect()
}

fn curated(place: &Path) -> Result<BTreeMap<String, String>> {
    hashes(place.join("manifests/phantom"), |name| {
        name.ends_with(".parquet") || name.ends_with(".safetensors")
    })
}

/// Cells by what they found; seconds and bytes of memory differ from run to run.
fn run(place: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for cell in read_run(&place.join("run"))? {
        ensure!(cell.cell.error.is_none(), "cell {} failed", cell.cell.id);
        for name in ["scores.parquet", "metrics.parquet", "epochs.parquet"] {
            let hash = cell.seal.files.get(name).context("a table without a hash")?;
            found.insert(format!("{} {name}", cell.cell.id), hash.to_owned());
        }
    }
    Ok(found)
}

/// Only what seconds do not get into.
fn report(place: &Path) -> Result<BTreeMap<String, String>> {
    let same = |name: &str| {
        ["scores.parquet", "metrics.parquet", "metrics.csv", "epochs.parquet"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    hashes(place.join("report"), same)
}
