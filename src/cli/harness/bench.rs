//! `bench`: episodes, fit, score, measure, report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::selection::Selection;
use super::{estimate, submit};
use crate::evaluate::plan::{self, Group, State};
use crate::evaluate::planned::{Opened, Planned, Tally};
use crate::evaluate::stop;
use crate::{files, report};

/// Runs every method on the same episodes and pictures and writes a leaderboard report. Finished cells
/// (method x task x shots x draw x seed) are kept and skipped, so a stopped run goes on where it was.
/// Trivial controls are always on the board. The phantom is drawn and curated if it is not there yet.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Compute failed cells again; they are rows with their error otherwise
    #[arg(long)]
    retry_failed: bool,
    /// Show what would run, and stop
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    estimate: estimate::Args,
    #[command(subcommand)]
    submit: Option<Submit>,
}

#[derive(clap::Subcommand)]
enum Submit {
    /// Hand the cells to an engine: processes on this machine, GNU parallel, or Slurm
    Submit(submit::Args),
}

impl Args {
    pub fn run(self) -> Result<()> {
        if let Some(Submit::Submit(args)) = self.submit {
            return args.run();
        }
        ensure!(self.dry_run || self.estimate.speed.is_none(), "--speed is for `plan` and for --dry-run");
        stop::on_signals()?;
        let (opened, folder, threads) = self.selection.open()?;
        announce(&opened, &folder);
        if self.dry_run {
            let speed = self.estimate.read(&opened.planned)?;
            list(&opened, &folder);
            return estimate::tell(&opened, &folder, speed.as_ref());
        }
        write_plan(&opened, &folder)?;
        let groups: Vec<&Group> = opened.groups.iter().collect();
        let device = opened.planned.device.open(opened.planned.precision)?;
        let run = opened.run(device, &folder, threads, self.retry_failed);
        let mut elsewhere = run.run_all(&groups)?.elsewhere;
        if elsewhere > 0 {
            eprintln!(
                "waiting for {elsewhere} cells that other processes compute; if one dies, they are taken over"
            );
        }
        // What is done elsewhere is done here; what was left there is taken up.
        while elsewhere > 0 {
            std::thread::sleep(Duration::from_secs(1));
            elsewhere = opened.run(device, &folder, threads, false).run_all(&groups)?.elsewhere;
        }
        finish(&opened, &folder)
    }
}

/// Says how much there is to do.
pub fn announce(opened: &Opened, folder: &Path) {
    let Tally { done, failed, .. } = opened.tally(folder);
    let failed = if failed > 0 { format!(", {failed} failed before") } else { String::new() };
    let Planned { definition, device, precision, .. } = &opened.planned;
    let n_cells = opened.cells().count();
    eprintln!(
        "{}: {n_cells} cells, {done} already done{failed}, on {device} ({})",
        definition.name,
        precision.name()
    );
}

/// Writes the plan; says what it set aside.
pub fn write_plan(opened: &Opened, folder: &Path) -> Result<()> {
    let n_aside = opened.write(folder)?;
    if n_aside > 0 {
        let aside = folder.join("cells-stale");
        eprintln!("{n_aside} failed cells or cells of other code or data set aside in {}", aside.display());
    }
    Ok(())
}

fn list(opened: &Opened, folder: &Path) {
    for i in opened.cells() {
        let state = match plan::state(folder, i) {
            State::ToDo => "to do",
            State::Done => "done",
            State::Failed => "failed",
        };
        println!(
            "{} {state:<6} {} {} {}-shot draw {} seed {}",
            i.id(),
            i.method,
            i.task,
            i.shots,
            i.draw,
            i.seed
        );
    }
}

/// Draws the report from what there is.
///
/// # Errors
/// If cells failed or are missing, after the report is drawn.
pub fn finish(opened: &Opened, folder: &Path) -> Result<()> {
    let index: PathBuf = {
        let _writing = stop::writing();
        report::write(folder, folder)?
    };
    print_board(folder)?;
    let metrics = files::read(&folder.join("results/metrics.csv"))?;
    println!("metrics: {} (hash over metrics.csv)", files::fingerprint(&metrics));
    println!("report: {}", std::path::absolute(&index).unwrap_or(index).display());
    opened.tidy_up(folder)?;
    let Tally { failed, to_do: missing, .. } = opened.tally(folder);
    let all = opened.cells().count();
    ensure!(
        failed == 0,
        "{failed} of {all} cells failed; the report lists them with their errors, and --retry-failed runs them again"
    );
    ensure!(missing == 0, "{missing} of {all} cells are not there yet");
    Ok(())
}

/// The first table of the report, so that the terminal shows it too.
fn print_board(folder: &Path) -> Result<()> {
    let text = files::read_text(&folder.join("leaderboard.md"))?;
    let table: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    println!("{}", table.join("\n"));
    Ok(())
}
