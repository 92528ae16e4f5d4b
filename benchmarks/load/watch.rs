//! A process seen from outside: its memory, its open files, its time.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;

const MIB: f64 = 1024.0;

/// Draws the report of a run, and says what it took.
pub(super) fn report(program: &Path, run: &Path) -> Result<()> {
    let out = tempfile::tempdir().context("a folder for the report")?;
    let mut command = Command::new(program);
    command.arg("report").arg(run).arg("--out").arg(out.path()).stdout(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    let (status, peak) = peak(&mut child)?;
    ensure!(status.success(), "the report ended with {status}");
    let cells = fs::read_dir(run.join("cells"))?.count();
    let seconds = started.elapsed().as_secs_f64();
    println!("{cells} cells: {seconds:.1} s, {peak:.0} MiB at most");
    Ok(())
}

/// Waits for a process; how it ended, and the most MiB of memory that it had.
pub(super) fn peak(child: &mut Child) -> Result<(ExitStatus, f64)> {
    let (status, mib, _) = cost(child)?;
    Ok((status, mib))
}

/// As [`peak`], and the seconds that it kept processors busy.
pub(super) fn cost(child: &mut Child) -> Result<(ExitStatus, f64, f64)> {
    let (mut peak, mut busy) = (0, 0.0);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, peak as f64 / MIB, busy));
        }
        peak = peak.max(state(child).map_or(0, |state| state.peak_kib));
        busy = busy_seconds(child).map_or(busy, |seconds| seconds.max(busy));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// In the process and the system for it, as far as it has come.
fn busy_seconds(child: &Child) -> Option<f64> {
    /// A second, as the system counts them for programs, whatever the processor.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    // The name, in brackets, may hold spaces; time is in the 14th and 15th field.
    let after = stat.rsplit_once(')')?.1;
    let mut fields = after.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS)
}

/// What the system says of a process at one moment.
struct State {
    peak_kib: u64,
    resident_kib: u64,
    n_files: usize,
}

fn state(child: &Child) -> Option<State> {
    let folder = Path::new("/proc").join(child.id().to_string());
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(State {
        peak_kib: of("VmHWM:")?,
        resident_kib: of("VmRSS:")?,
        n_files: fs::read_dir(folder.join("fd")).ok()?.count(),
    })
}

/// One look at a bench that runs.
struct Look {
    cells: usize,
    mib: f64,
    files: usize,
}

/// A bench of at least `n_cells` cells of a few methods on tiny pictures, one after the other in one process.
pub(super) fn soak(program: &Path, folder: &Path, n_cells: usize) -> Result<()> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let methods = ["dn2", "patchcore", "padim", "control-random", "control-mean-intensity"];
    let (n_tasks, n_shots) = (5, 2);
    let draws = n_cells.div_ceil(methods.len() * n_tasks * n_shots);
    let definition = format!(
        "name = 'soak'\nspec = 'phantom'\nsize = 64\nmethods = {methods:?}\nshots = [2, 4]\ndraws = {draws}\n\
         seeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n[settings.dn2]\nbackbone = 'resnet18'\n\
         [settings.patchcore]\nbackbone = 'resnet18'\n[settings.padim]\nbackbone = 'resnet18'\n"
    );
    fs::write(folder.join("soak.toml"), definition)?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder).env("MEDFSAD_CACHE", folder.join("cache"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().with_context(|| format!("starting {}", program.display()))
    };
    let bench = ["bench", "--bench", "soak.toml", "--device", "cpu", "--teacher", "random", "--out", "run"];
    let mut child = run(&bench)?;
    let mut looks: Vec<Look> = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let cells = fs::read_dir(folder.join("run/cells")).map_or(0, Iterator::count);
        if let Some(State { resident_kib, n_files, .. }) = state(&child) {
            looks.push(Look { cells, mib: resident_kib as f64 / MIB, files: n_files });
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    ensure!(status.success(), "the bench ended with {status}");
    told(&looks, &folder)
}

/// Compares the middle of the run with its last quarter, where everything has long been loaded.
fn told(looks: &[Look], folder: &Path) -> Result<()> {
    let last = looks.last().context("the bench was over at once")?.cells;
    let between = |low: f64, high: f64, of: fn(&Look) -> f64| {
        let range = (low * last as f64)..(high * last as f64);
        let within = looks.iter().filter(|look| range.contains(&(look.cells as f64)));
        within.map(of).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut csv = "cells,resident_mib,open_files\n".to_owned();
    looks.iter().for_each(|look| csv += &format!("{},{:.1},{}\n", look.cells, look.mib, look.files));
    fs::write(folder.join("soak.csv"), csv)?;
    for (name, of) in
        [("resident MiB", (|look| look.mib) as fn(&Look) -> f64), ("open files", |look| look.files as f64)]
    {
        let (middle, end) = (between(0.25, 0.5, of), between(0.75, 1.0, of));
        let change = 100.0 * (end / middle - 1.0);
        ensure!(change < 5.0, "{name} grew from {middle:.0} to {end:.0}");
        println!(
            "{last} cells, {name}: {middle:.0} in the second quarter, {end:.0} in the last: {change:+.1} %"
        );
    }
    draw(looks, &folder.join("soak.svg"))
}

fn draw(looks: &[Look], path: &Path) -> Result<()> {
    let cells = looks.iter().map(|look| look.cells).max().unwrap_or(1);
    let mib = looks.iter().map(|look| look.mib).fold(1.0, f64::max);
    let area = SVGBackend::new(path, (720, 320)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(0..cells, 0.0..1.1 * mib)?;
    chart.configure_mesh().x_desc("cells done").y_desc("resident memory, MiB").draw()?;
    chart.draw_series(LineSeries::new(looks.iter().map(|look| (look.cells, look.mib)), &BLUE))?;
    area.present()?;
    Ok(())
}
