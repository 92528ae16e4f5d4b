//! Jobs handed to Slurm: arrays that the cluster takes, one after the other, and a job that collects.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::script::Script;
use crate::cli::shell::quoted;
use crate::files;

/// Slurm's own default of `MaxArraySize`.
pub(super) const MAX_ARRAY_SIZE: usize = 1001;

/// What is asked of a cluster.
pub(super) struct Order<'a> {
    pub script: &'a Script,
    pub jobs: &'a [String],
    /// Jobs run in parallel.
    pub at_once: usize,
    /// One more than the greatest number in an array.
    pub max_array_size: usize,
    /// Further options of sbatch for the arrays.
    pub options: &'a [String],
}

/// The scripts as they lie in the run's folder.
struct Scripts {
    array: PathBuf,
    collect: PathBuf,
}

impl Order<'_> {
    /// Writes the scripts and hands them over, or with `dry_run` says how.
    pub(super) fn submit(&self, dry_run: bool) -> Result<()> {
        let scripts = self.write()?;
        let mut numbers = Vec::new();
        for (part, jobs) in self.jobs.chunks(self.per_array()).enumerate() {
            let mut array = self.array(&scripts.array, part, jobs.len(), numbers.last());
            numbers.push(self.handed_over(&mut array, dry_run, &numbers, "<the number of this array>")?);
        }
        let mut collect = self.collecting(&scripts.collect, &numbers);
        let after = self.handed_over(&mut collect, dry_run, &numbers, "<its number>")?;
        if !dry_run {
            let (arrays, s) = (numbers.join(", "), if numbers.len() == 1 { "" } else { "s" });
            println!(
                "submitted array{s} {arrays} of {} jobs, and job {after}, which collects when they have ended; see squeue",
                self.jobs.len()
            );
        }
        Ok(())
    }

    fn per_array(&self) -> usize {
        self.max_array_size - 1
    }

    /// A list of its own for every set of jobs, since tasks of an earlier call may still have theirs to read.
    fn write(&self) -> Result<Scripts> {
        let folder = self.script.folder.join("jobs");
        let list = self.jobs.join("\n") + "\n";
        let path = folder.join(format!("list-{}.txt", &files::fingerprint(list.as_bytes())[..16]));
        files::write_whole(&path, list.as_bytes())?;
        let scripts = Scripts { array: folder.join("array.sh"), collect: folder.join("collect.sh") };
        let array = format!(
            "#!/bin/bash\n# The job of the plan for a number of the array and of those before, which the first argument counts.\n\
             set -euo pipefail\njob=$(sed -n \"$((SLURM_ARRAY_TASK_ID + $1))p\" {})\nexec {}\n",
            quoted(&path)?,
            self.script.line("\"${job:?}\"")?
        );
        files::write_whole(&scripts.array, array.as_bytes())?;
        let (program, run) = (quoted(&self.script.program)?, quoted(&self.script.folder)?);
        let collect = format!("#!/bin/bash\nexec {program} collect {run}\n");
        files::write_whole(&scripts.collect, collect.as_bytes())?;
        Ok(scripts)
    }

    /// The array of a part of the jobs. It waits for the one before, so that no more jobs run at once than was asked for.
    fn array(&self, script: &Path, part: usize, n_jobs: usize, before: Option<&String>) -> Command {
        let mut sbatch = Command::new("sbatch");
        sbatch.args(["--parsable", "--requeue", "--job-name=medfsad"]);
        sbatch.arg(format!("--array=1-{n_jobs}%{}", self.at_once)).arg(self.log("%A_%a.log"));
        sbatch.args(self.options);
        if let Some(before) = before {
            sbatch.arg(format!("--dependency=afterany:{before}"));
        }
        sbatch.arg(script).arg((part * self.per_array()).to_string());
        sbatch
    }

    fn collecting(&self, script: &Path, arrays: &[String]) -> Command {
        let mut sbatch = Command::new("sbatch");
        // An account or a partition is asked of every job; the others cost little.
        sbatch.args(["--parsable", "--job-name=medfsad-collect"]).args(self.options);
        sbatch.arg(format!("--dependency=afterany:{}", arrays.join(":")));
        sbatch.arg(self.log("collect.log")).arg(script);
        sbatch
    }

    fn log(&self, name: &str) -> String {
        format!("--output={}", self.script.folder.join("jobs").join(name).display())
    }

    /// The number that sbatch gives; `stand_in`, and the command is printed, where it is not to be called.
    fn handed_over(
        &self,
        sbatch: &mut Command,
        dry_run: bool,
        before: &[String],
        stand_in: &str,
    ) -> Result<String> {
        if dry_run {
            println!("{sbatch:?}");
            return Ok(stand_in.to_owned());
        }
        submitted(sbatch).with_context(|| {
            let size =
                format!("for a cluster whose MaxArraySize is {} (--max-array-size)", self.max_array_size);
            match before {
                [] => format!("nothing is submitted {size}"),
                _ => {
                    format!("not all is submitted {size}; `scancel {}` takes back what is", before.join(" "))
                }
            }
        })
    }
}

fn submitted(sbatch: &mut Command) -> Result<String> {
    let output = sbatch.output().context("cannot run sbatch; is this a machine of the cluster?")?;
    if !output.status.success() {
        bail!("sbatch failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // With several clusters, their name follows a semicolon.
    Ok(text.trim().split(';').next().unwrap_or_default().to_owned())
}
