//! Where networks run: arguments that several commands share.

use anyhow::Result;
use tch::Device;

use crate::cli::common::use_threads;
use crate::evaluate::device::Wanted;
use crate::evaluate::memory;
use crate::network::precision::Precision;

/// Device, precision and threads, the same in every command.
#[derive(clap::Args)]
pub(super) struct Compute {
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: Wanted,
    /// Precision of pretrained encoders and of D2-4FAD's student: f32; tf32 (CUDA only) and bf16 compute in
    /// lower precision, which is faster. Cells of different precisions are never mixed
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Precision,
    /// Worker threads; in `bench`, cells run in parallel on the CPU, one thread each [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Compute {
    /// Sets the process up and opens the device.
    ///
    /// # Errors
    /// A device that is not there, or one without that precision.
    pub(super) fn start(&self) -> Result<Device> {
        let device = self.open()?;
        self.set_up()?;
        Ok(device)
    }

    /// Opens the device.
    ///
    /// # Errors
    /// A device that is not there, or one without that precision.
    pub(super) fn open(&self) -> Result<Device> {
        self.device.open(self.precision)
    }

    /// Sets the process up without touching a device; returns the number of threads in use.
    ///
    /// # Errors
    /// No threads at all.
    pub(super) fn set_up(&self) -> Result<usize> {
        let threads = use_threads(self.threads)?;
        memory::keep_freed();
        tch::set_num_threads(threads as i32);
        Ok(threads)
    }
}
