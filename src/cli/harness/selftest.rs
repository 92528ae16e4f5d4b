//! `selftest`: whether a device computes correctly, and how fast.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::cli::common::use_threads;
use crate::evaluate::device::Wanted;
use crate::evaluate::memory;
use crate::files;
use crate::network::card::Card;
use crate::network::precision::Precision;
use crate::selftest::{self, Fault, Options, Part};

/// Check that a device computes correctly, and time it
///
/// Checks a device against the published implementation, double precision and a CPU, in every precision that it
/// supports, and times it. Needs no other files: weights and pictures follow a formula. Each line shows an
/// error and its tolerance; exits with 1 if one is exceeded.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: Wanted,
    /// Smaller networks and fewer checks: about a minute on two cores
    #[arg(long)]
    quick: bool,
    /// Only these parts, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,
    /// Introduce an error on purpose, to see that it is found
    #[arg(long, value_enum)]
    fault: Option<Fault>,
    /// CPU threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Record of all checks, updated after each part
    #[arg(long, value_name = "FILE", default_value = "selftest.json")]
    out: PathBuf,
    /// Write the reference scores of the methods, computed on a CPU, and stop; for developers who change a
    /// method
    #[arg(long, value_name = "FILE")]
    store_scores: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self) -> Result<()> {
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        tch::set_num_threads(threads as i32);
        if let Some(path) = self.store_scores {
            return files::write_whole(&path, selftest::stored_scores()?.as_bytes());
        }
        let device = self.device.open(Precision::F32)?;
        println!("medfsad {} ({}) on {device:?}, {threads} threads", crate::VERSION, crate::GIT_REVISION);
        if let Some(card) = Card::of(device) {
            println!(
                "{}: compute capability {}, {} multiprocessors, {:.1} GiB; CUDA {}, cuDNN {}",
                card.name,
                card.capability,
                card.multiprocessors,
                card.memory as f64 / f64::from(1u32 << 30),
                card.driver,
                card.cudnn
            );
        }
        let out = Some(self.out.clone());
        let options = Options { device, quick: self.quick, fault: self.fault, out, parts: self.part };
        let record = selftest::run(&options)?;
        let failed: Vec<&str> =
            record.checks.iter().filter(|check| !check.passed).map(|check| check.what.as_str()).collect();
        println!(
            "\n{} checks, {} failed, {:.0} s; written to {}",
            record.checks.len(),
            failed.len(),
            record.seconds,
            self.out.display()
        );
        ensure!(record.passed, "this device failed: {}", failed.join("; "));
        Ok(())
    }
}
