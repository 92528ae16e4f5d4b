//! `bench submit`: the cells of a bench as processes of their own, on this machine or on a cluster.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::bench_arguments::BenchArgs;
use super::bench_run::{announce, write_plan};
use super::script::Script;
use super::slurm;
use crate::evaluate::plan::{Job, Retry};
use crate::files;

/// Distribute the cells of a bench over processes: on this machine, with GNU parallel or with Slurm
///
/// Plans a bench, submits its jobs, each as a process of its own, and collects the results. A job is all cells
/// that share one training. Finished jobs are not submitted again.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    bench: BenchArgs,
    /// Where the jobs run
    #[arg(long, value_enum)]
    engine: Engine,
    /// Jobs run in parallel
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Further option of sbatch for all jobs, also the one that collects, such as --account=lab; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// `MaxArraySize` of the cluster (`scontrol show config`), one more than the most jobs of one array. More jobs
    /// than that are split into several arrays, each of which waits for the one before
    #[arg(long, value_name = "N", default_value_t = slurm::MAX_ARRAY_SIZE)]
    max_array_size: usize,
    /// Retry all failed cells; those that failed for a full disk are retried in any case
    #[arg(long)]
    retry_failed: bool,
    /// Write the scripts and print the commands, without running them
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    /// On this machine, --jobs at a time
    Local,
    /// With GNU parallel, here or on the machines that its own options name (PARALLEL)
    Parallel,
    /// As Slurm job arrays, followed by a job that collects the results
    Slurm,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        ensure!(self.jobs >= 1, "--jobs must be at least 1");
        ensure!(self.max_array_size >= 2, "--max-array-size must be at least 2");
        ensure!(self.sbatch.is_empty() || self.engine == Engine::Slurm, "--sbatch is for --engine slurm");
        let (opened, folder, _) = self.bench.open()?;
        announce(&opened, &folder, &[]);
        self.bench.announce_device();
        write_plan(&opened, &folder, &[])?;
        let folder = std::path::absolute(&folder).context("the run's folder")?;
        let is_wanted = |job: &&Job| !job.wanted(&folder, Retry::asked(self.retry_failed)).is_empty();
        let jobs: Vec<String> = opened.jobs.iter().filter(is_wanted).map(Job::name).collect();
        let program = std::env::current_exe().context("finding this program")?;
        let script = Script { program, folder, retry_failed: self.retry_failed };
        if jobs.is_empty() {
            println!("all jobs are finished; collecting");
            return script.collect();
        }
        println!("{} jobs to run", jobs.len());
        match self.engine {
            Engine::Local => self.local(&script, &jobs),
            Engine::Parallel => self.parallel(&script, &jobs),
            Engine::Slurm => slurm::Order {
                script: &script,
                jobs: &jobs,
                at_once: self.jobs,
                max_array_size: self.max_array_size,
                options: &self.sbatch,
            }
            .submit(self.dry_run),
        }
    }

    fn local(&self, script: &Script, jobs: &[String]) -> Result<()> {
        if self.dry_run {
            for job in jobs {
                println!("{}", script.line(job)?);
            }
            return Ok(());
        }
        for part in jobs.chunks(self.jobs) {
            let start = |job: &String| script.job(job).spawn().context("starting a job");
            let running = part.iter().map(start).collect::<Result<Vec<_>>>()?;
            for mut job in running {
                // A failed cell is a row, and `collect` tells.
                job.wait()?;
            }
        }
        script.collect()
    }

    fn parallel(&self, script: &Script, jobs: &[String]) -> Result<()> {
        let list = script.folder.join("jobs/commands.txt");
        let lines: Vec<String> = jobs.iter().map(|job| script.line(job)).collect::<Result<_>>()?;
        files::write_whole(&list, (lines.join("\n") + "\n").as_bytes())?;
        let log = script.folder.join("jobs/parallel.log");
        let mut command = Command::new("parallel");
        command
            .arg("--jobs")
            .arg(self.jobs.to_string())
            .arg("--joblog")
            .arg(&log)
            .arg("--arg-file")
            .arg(&list);
        if self.dry_run {
            println!("{command:?}");
            return Ok(());
        }
        // Its exit status counts failed jobs; `collect` says which cells that were.
        let status = command.stdin(Stdio::null()).status();
        status.context("cannot run GNU parallel; install it (Debian: parallel), or use --engine local")?;
        script.collect()
    }
}
