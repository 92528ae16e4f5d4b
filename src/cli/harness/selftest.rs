//! `selftest`: does this device compute what it should, and how fast is it?

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::cli::common::use_threads;
use crate::evaluate::device::Wanted;
use crate::evaluate::memory;
use crate::files;
use crate::network::card::Card;
use crate::network::precision::Precision;
use crate::selftest::{self, Fault, Options, Part};

/// Checks the device against what the published implementation, double precision and a CPU give, in every precision
/// that it offers, and times it. Needs nothing beside this program: weights and pictures follow a formula. Every line
/// tells how far off something is and how far off it may be; one that is further off makes the command fail.
#[derive(clap::Args)]
pub struct Args {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: Wanted,
    /// Small networks and fewer checks: under a minute on two cores
    #[arg(long)]
    quick: bool,
    /// Only these parts, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    part: Vec<Part>,
    /// Make something wrong on purpose, to see that it is found
    #[arg(long, value_enum)]
    fault: Option<Fault>,
    /// Threads on the CPU [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// The record of all that was found, written anew after each part
    #[arg(long, value_name = "FILE", default_value = "selftest.json")]
    out: PathBuf,
    /// Write the scores that a CPU gives, against which methods are compared, and stop: for whoever changes a method
    #[arg(long, value_name = "FILE")]
    store_scores: Option<PathBuf>,
}

impl Args {
    pub fn run(self) -> Result<()> {
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
        ensure!(record.passed, "this device does not pass: {}", failed.join("; "));
        Ok(())
    }
}
