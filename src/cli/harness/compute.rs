//! Where networks run: arguments that several commands share.

use anyhow::{Result, ensure};
use tch::Device;

use crate::cli::common::use_threads;
use crate::evaluate::device::Wanted;
use crate::evaluate::memory;
use crate::network::precision::Precision;
use crate::network::remembering::FeatureLimits;

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

/// How much of what teachers make of pictures is kept, the same in every command that trains.
#[derive(clap::Args)]
pub(super) struct FeatureArgs {
    /// Main memory for the teacher features of one training
    #[arg(long, value_name = "GIB", default_value_t = FeatureLimits::default().memory, value_parser = gib)]
    feature_memory: f64,
    /// Disk for teacher features, which methods, draws and epochs share on a CPU: at most this for the pictures of one
    /// training, and for all others; 0 keeps none. They lie beside the results until all of these are there
    #[arg(long, value_name = "GIB", default_value_t = FeatureLimits::default().disk, value_parser = gib)]
    feature_disk: f64,
}

impl FeatureArgs {
    pub(super) fn limits(&self) -> FeatureLimits {
        FeatureLimits { memory: self.feature_memory, disk: self.feature_disk }
    }
}

fn gib(text: &str) -> Result<f64> {
    let gib: f64 = text.parse()?;
    ensure!((0.0..1e6).contains(&gib), "a size in GiB is needed, such as 16 or 0.5; 0 for none");
    Ok(gib)
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
