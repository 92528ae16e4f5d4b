//! The harness in a build without libtorch: its commands and arguments say what they need.

use std::path::Path;

use anyhow::{Result, bail};

use super::common::use_threads;
use super::unavailable::NEEDS_LIBTORCH;
pub(super) use super::unavailable::Unavailable as Command;
use crate::audit::{self, Report};
use crate::manifest::Manifest;
use crate::report::studies::Run;
use crate::spec::Audit;

/// Without libtorch there is nothing to prepare.
///
/// # Errors
/// None.
pub(super) fn prepare() -> Result<()> {
    Ok(())
}

/// The network by whose features `audit` compares pictures.
#[derive(clap::Args)]
pub(super) struct EmbeddingArgs {
    /// Needs a build with libtorch
    #[arg(long, value_name = "NAME")]
    teacher: Vec<String>,
    /// Worker threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl EmbeddingArgs {
    /// Runs the gates over a curated benchmark.
    ///
    /// # Errors
    /// If a network is given; as [`audit::run`].
    pub(super) fn audit(&self, manifest: &Manifest, gates: &Audit, raw: Option<&Path>) -> Result<Report> {
        if let Some(teacher) = self.teacher.first() {
            bail!("--teacher {teacher} {NEEDS_LIBTORCH}");
        }
        use_threads(self.threads)?;
        audit::run(manifest, gates, raw, None)
    }
}

/// How `studies` trains SAMIL.
#[derive(clap::Args)]
pub(super) struct SamilArgs {
    /// Needs a build with libtorch
    #[arg(long)]
    samil: bool,
    /// Worker threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl SamilArgs {
    /// Sets the process up, before anything is read.
    ///
    /// # Errors
    /// No threads at all.
    pub(super) fn set_up(&self) -> Result<()> {
        use_threads(self.threads).map(drop)
    }

    /// Trains nothing.
    ///
    /// # Errors
    /// If that was asked for.
    pub(super) fn train(&self, _: &Run, _: &Manifest, _: usize) -> Result<()> {
        if self.samil {
            bail!("--samil {NEEDS_LIBTORCH}");
        }
        Ok(())
    }
}

/// Says for `doctor` that there is none.
pub(super) fn print_libtorch() {
    println!(
        "libtorch   not in this build (feature `torch` is off): build-dataset, report and episodes work, bench does not"
    );
}
