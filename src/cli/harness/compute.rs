//! Where networks run: arguments that several commands share.

use anyhow::Result;
use tch::Device;

use crate::cli::common::use_threads;
use crate::evaluate::device::Wanted;
use crate::evaluate::memory;
use crate::network::precision::Precision;

/// Device, precision and threads.
#[derive(clap::Args)]
pub struct Compute {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Wanted,
    /// What pretrained encoders and D2-4FAD's student multiply in: f32; tf32, faster on CUDA; bf16, faster and
    /// coarser still. Cells of different precisions are never mixed
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Precision,
    /// Threads; in a bench, cells computed at once on the CPU, one thread each, so that scores do not depend on it
    /// [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Compute {
    /// Sets the process up and opens the device.
    ///
    /// # Errors
    /// A device that is not there, or one without that precision.
    pub fn start(&self) -> Result<Device> {
        let device = self.open()?;
        self.set_up()?;
        Ok(device)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// A device that is not there, or one without that precision.
    pub fn open(&self) -> Result<Device> {
        self.device.open(self.precision)
    }

    /// Sets the process up without touching a device; returns the number of threads in use.
    ///
    /// # Errors
    /// No threads at all.
    pub fn set_up(&self) -> Result<usize> {
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        tch::set_num_threads(threads as i32);
        Ok(threads)
    }
}
