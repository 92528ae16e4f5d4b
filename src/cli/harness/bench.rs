//! `bench`: episodes, fit, score, measure, report.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::bench_arguments::BenchArgs;
use super::bench_run::{announce, announce_maps, finish, write_plan};
use super::sequential::{self, Draws};
use super::{estimate, submit};
use crate::evaluate::plan::{self, Job, Retry, State};
use crate::evaluate::planned::Opened;
use crate::evaluate::run::{Outcome, Run};
use crate::evaluate::stop;
use crate::results::Identity;

/// Run methods on a curated benchmark and write the leaderboard report
///
/// Runs methods on the same episodes and pictures and writes a leaderboard report. Finished cells (method x
/// task x shots x draw x seed) are kept: run the command again to resume. Trivial controls are always included.
/// The phantom is generated and curated if it is missing.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    bench: BenchArgs,
    /// Retry all failed cells; those that failed for a full disk are retried in any case (by default they stay listed with their error)
    #[arg(long)]
    retry_failed: bool,
    /// Keep the maps of all test pictures, of the last epoch and the best one, for `curve`; says before how large they get
    #[arg(long)]
    keep_maps: bool,
    #[command(flatten)]
    sequential: sequential::Args,
    /// List the cells and estimate the time, without computing anything
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    estimate: estimate::Args,
    #[command(flatten)]
    consent: estimate::Consent,
    #[command(subcommand)]
    submit: Option<Submit>,
}

#[derive(clap::Subcommand)]
enum Submit {
    Submit(submit::Args),
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        if let Some(Submit::Submit(args)) = self.submit {
            return args.run();
        }
        ensure!(self.dry_run || self.estimate.speed.is_none(), "--speed is for `plan` and for --dry-run");
        stop::on_signals()?;
        if self.dry_run {
            let speed = self.estimate.read(&self.bench.compute)?;
            let (opened, folder, _) = self.bench.open()?;
            let stopped = self.sequential.stopped(&opened, &folder)?;
            announce(&opened, &folder, &stopped);
            list(&opened, &folder);
            return estimate::tell(&opened, (&folder, &stopped), speed.as_ref());
        }
        let device = self.bench.compute.open()?;
        let (opened, folder, threads) = self.bench.open()?;
        let stopped = self.sequential.stopped(&opened, &folder)?;
        announce(&opened, &folder, &stopped);
        let expected = estimate::before(&opened, (&folder, &stopped), device, &self.consent)?;
        if self.keep_maps {
            announce_maps(&opened, &folder, Retry::asked(self.retry_failed));
        }
        write_plan(&opened, &folder, &stopped)?;
        let run_with = |retry: Retry, skip: &(dyn Fn(&Identity) -> bool + Sync)| {
            let jobs: Vec<&Job> = opened.jobs.iter().collect();
            let run = opened.run(device, &folder, threads, retry);
            let expected = expected.as_deref();
            Run { keep_maps: self.keep_maps, skip, expected, ..run }.run_all(&jobs)
        };
        if self.sequential.stop_when_decided {
            let mut draws = Draws::new(&opened, &folder, stopped);
            let mut retry = Retry::asked(self.retry_failed);
            for look in draws.looks().to_vec() {
                let skip = draws.skip(look);
                to_the_end(retry, |retry| run_with(retry, &skip))?;
                retry = Retry::None;
                draws.look(look)?;
            }
        } else {
            to_the_end(Retry::asked(self.retry_failed), |retry| run_with(retry, &|_| false))?;
        }
        finish(&opened, &folder)
    }
}

/// Runs all there is to do. What is done elsewhere is done here; what was left there is taken up.
fn to_the_end(retry: Retry, run: impl Fn(Retry) -> Result<Outcome>) -> Result<()> {
    let mut elsewhere = run(retry)?.elsewhere;
    if elsewhere > 0 {
        log::info!(
            "waiting for {elsewhere} cells that other processes compute; if one dies, they are taken over"
        );
    }
    while elsewhere > 0 {
        std::thread::sleep(Duration::from_secs(1));
        elsewhere = run(Retry::None)?.elsewhere;
    }
    Ok(())
}

fn list(opened: &Opened, folder: &Path) {
    for i in opened.cells() {
        let state = match plan::state(folder, i) {
            State::ToDo => "to do",
            State::Done => "done",
            State::Failed | State::Lacked => "failed",
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
