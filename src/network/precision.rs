//! How finely networks compute.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::context::Products;
use super::layout;

/// What pretrained encoders and D2-4FAD's student multiply in. Losses, statistics, weights of the optimiser and maps
/// are single precision always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout; on CUDA, TensorFloat-32 is switched off.
    #[default]
    F32,
    /// CUDA only: single precision, convolutions and matrix products of transformers that see pictures multiplied as
    /// TensorFloat-32 (10 bits of mantissa).
    Tf32,
    /// Convolutions, transformers that see pictures and what lies between in bfloat16 (7 bits of mantissa); on a CPU, faster only if that has
    /// instructions for it (`avx512_bf16` or `amx_bf16` among the flags in /proc/cpuinfo).
    Bf16,
}

impl Precision {
    /// Its name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }
    }

    /// Refuses what a device has not got.
    ///
    /// # Errors
    /// TensorFloat-32 off CUDA.
    pub fn check(self, on_cuda: bool) -> Result<()> {
        if self == Precision::Tf32 && !on_cuda {
            bail!("--precision tf32 exists on CUDA alone; use f32 or bf16 on the CPU");
        }
        Ok(())
    }

    /// Runs a transformer with matrix products in this precision. What surrounds it, such as distances, and gradients that pass
    /// back through it stay in single precision.
    pub(crate) fn in_tower<T>(self, compute: impl FnOnce() -> T) -> T {
        let _products = (self == Precision::Tf32).then(Products::in_tf32);
        compute()
    }

    /// A network's input in the kind that its convolutions shall have; double stays double, for tests. bfloat16 comes in
    /// the layout of [`layout::for_convolutions`], in which its kernels are up to twice as fast.
    pub(crate) fn enter(self, x: &Tensor) -> Tensor {
        match (self, x.kind()) {
            (Precision::Bf16, Kind::Float) => layout::for_convolutions(&x.to_kind(Kind::BFloat16)),
            _ => x.shallow_clone(),
        }
    }

    /// A network's output, single precision and in plain layout again.
    pub(crate) fn leave(self, x: &Tensor) -> Tensor {
        let x = if self == Precision::Bf16 { x.to_kind(Kind::Float) } else { x.shallow_clone() };
        layout::plain(&x)
    }
}
