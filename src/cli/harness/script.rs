//! This program called again, for one job or to collect, here or in a script.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cli::shell::quoted;

/// How this program is called again.
pub(super) struct Script {
    pub program: PathBuf,
    pub folder: PathBuf,
    pub retry_failed: bool,
}

impl Script {
    /// Computes a job.
    pub(super) fn job(&self, job: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("run-cell").arg(&self.folder).arg(job).args(["--threads", "1"]);
        if self.retry_failed {
            command.arg("--retry-failed");
        }
        command
    }

    /// The same, as a shell reads it.
    pub(super) fn line(&self, job: &str) -> Result<String> {
        let retry = if self.retry_failed { " --retry-failed" } else { "" };
        let (program, folder) = (quoted(&self.program)?, quoted(&self.folder)?);
        Ok(format!("{program} run-cell {folder} {job} --threads 1{retry}"))
    }

    /// Draws the report.
    pub(super) fn collect(&self) -> Result<()> {
        let mut command = Command::new(&self.program);
        let status = command.arg("collect").arg(&self.folder).status().context("collecting")?;
        ensure!(status.success(), "`collect` failed; see above");
        Ok(())
    }
}
