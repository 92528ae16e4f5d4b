//! `bench submit`: the cells of a bench as processes of their own, on this machine or on a cluster.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::bench_arguments::BenchArgs;
use super::bench_run::{announce, write_plan};
use super::shell::quoted;
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
    /// Further option of sbatch for the jobs, such as --gres=gpu:1; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
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
    /// As a Slurm job array, followed by a job that collects the results
    Slurm,
}

impl Args {
    pub(super) fn run(self) -> Result<()> {
        ensure!(self.jobs >= 1, "--jobs must be at least 1");
        ensure!(self.sbatch.is_empty() || self.engine == Engine::Slurm, "--sbatch is for --engine slurm");
        let (opened, folder, _) = self.bench.open()?;
        announce(&opened, &folder);
        self.bench.announce_device();
        write_plan(&opened, &folder)?;
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
            Engine::Slurm => self.slurm(&script, &jobs),
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

    fn slurm(&self, script: &Script, jobs: &[String]) -> Result<()> {
        let folder = script.folder.join("jobs");
        files::write_whole(&folder.join("list.txt"), (jobs.join("\n") + "\n").as_bytes())?;
        let array = folder.join("array.sh");
        files::write_whole(&array, script.array()?.as_bytes())?;
        let collect = folder.join("collect.sh");
        files::write_whole(&collect, script.collecting()?.as_bytes())?;
        let log = |name: &str| format!("--output={}", folder.join(name).display());
        let mut first = Command::new("sbatch");
        first.args(["--parsable", "--requeue", "--job-name=medfsad"]);
        first.arg(format!("--array=1-{}%{}", jobs.len(), self.jobs)).arg(log("%A_%a.log"));
        first.args(&self.sbatch).arg(&array);
        if self.dry_run {
            println!("{first:?}\nsbatch --dependency=afterany:<its number> {}", collect.display());
            return Ok(());
        }
        let number = submitted(&mut first)?;
        let mut second = Command::new("sbatch");
        second.args(["--parsable", "--job-name=medfsad-collect"]);
        second.arg(format!("--dependency=afterany:{number}")).arg(log("collect.log")).arg(&collect);
        let after = submitted(&mut second)?;
        println!(
            "submitted array {number} of {} jobs, and job {after}, which collects when they have ended; see squeue",
            jobs.len()
        );
        Ok(())
    }
}

/// The number that sbatch gives.
fn submitted(sbatch: &mut Command) -> Result<String> {
    let output = sbatch.output().context("cannot run sbatch; is this a machine of the cluster?")?;
    if !output.status.success() {
        bail!("sbatch failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // With several clusters, their name follows a semicolon.
    Ok(text.trim().split(';').next().unwrap_or_default().to_owned())
}

/// How this program is called again.
struct Script {
    program: PathBuf,
    folder: PathBuf,
    retry_failed: bool,
}

impl Script {
    fn job(&self, job: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("run-cell").arg(&self.folder).arg(job).args(["--threads", "1"]);
        if self.retry_failed {
            command.arg("--retry-failed");
        }
        command
    }

    fn line(&self, job: &str) -> Result<String> {
        let retry = if self.retry_failed { " --retry-failed" } else { "" };
        let (program, folder) = (quoted(&self.program)?, quoted(&self.folder)?);
        Ok(format!("{program} run-cell {folder} {job} --threads 1{retry}"))
    }

    fn array(&self) -> Result<String> {
        let mut text =
            "#!/bin/bash\n# One job of the plan for each number of the array.\nset -euo pipefail\n"
                .to_owned();
        let list = quoted(&self.folder.join("jobs/list.txt"))?;
        let _ = writeln!(text, "job=$(sed -n \"${{SLURM_ARRAY_TASK_ID}}p\" {list})");
        Ok(text + "exec " + &self.line("\"$job\"")? + "\n")
    }

    fn collecting(&self) -> Result<String> {
        Ok(format!("#!/bin/bash\nexec {} collect {}\n", quoted(&self.program)?, quoted(&self.folder)?))
    }

    fn collect(&self) -> Result<()> {
        let mut command = Command::new(&self.program);
        let status = command.arg("collect").arg(&self.folder).status().context("collecting")?;
        ensure!(status.success(), "`collect` failed; see above");
        Ok(())
    }
}
