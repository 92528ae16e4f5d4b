//! Which kernels compute convolutions and batch norms of decoders on a CPU: libtorch's, or ours.

use std::ffi::{CStr, c_char, c_long, c_ulong, c_void};
use std::fmt;
use std::sync::OnceLock;

use anyhow::{Result, bail};
use tch::{Kind, Tensor};

unsafe extern "C" {
    fn medfsad_convolution(
        x: *const c_void,
        weight: *const c_void,
        message: *mut c_char,
        room: c_ulong,
    ) -> *mut c_void;
    fn medfsad_batch_norm(
        x: *const c_void,
        weight: *const c_void,
        bias: *const c_void,
        mean: *const c_void,
        variance: *const c_void,
        added: *const c_void,
        batches: c_long,
        momentum: f64,
        epsilon: f64,
        is_cut: bool,
        message: *mut c_char,
        room: c_ulong,
    ) -> *mut c_void;
}

/// `convolutions` or `products`: what is taken, whatever the processor; to compare them.
const SWITCH: &str = "MEDFSAD_KERNELS";

/// How pictures whose channels lie beside one another pass convolutions and batch norms on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// By oneDNN's convolutions and libtorch's batch norm.
    Convolutions,
    /// Transposed 2 x 2 convolutions as one matrix product. While they train, 3 x 3 ones by Winograd's minimal filtering, 16
    /// matrix products that take 4 multiplications where the convolution takes 9, gradients of 1 x 1 ones as matrix
    /// products, and batch norm, sum and ReLU by one kernel.
    Products,
}

impl Kernels {
    /// What is faster on this processor: products, where oneDNN has no AVX-512 to compute with. `benchmarks/README.md` has
    /// the times.
    ///
    /// # Errors
    /// Another value of `MEDFSAD_KERNELS`.
    pub fn of_processor() -> Result<Kernels> {
        match std::env::var_os(SWITCH) {
            Some(value) if value == "convolutions" => Ok(Kernels::Convolutions),
            Some(value) if value == "products" => Ok(Kernels::Products),
            Some(value) if !value.is_empty() => {
                bail!("{SWITCH} is {}; set it to convolutions or products, or not at all", value.display())
            }
            _ => Ok(Kernels::faster()),
        }
    }

    /// The same, once for the process; a wrong value, which programs refuse when they start, is as none.
    pub fn here() -> Kernels {
        static HERE: OnceLock<Kernels> = OnceLock::new();
        *HERE.get_or_init(|| Kernels::of_processor().unwrap_or_else(|_| Kernels::faster()))
    }

    fn faster() -> Kernels {
        if lacks_avx512() { Kernels::Products } else { Kernels::Convolutions }
    }

    /// What computes a convolution or a batch norm of `x`, `[n, c, h, w]`.
    pub(super) fn of(x: &Tensor) -> Kernels {
        if takes_products(x) { Kernels::here() } else { Kernels::Convolutions }
    }
}

impl fmt::Display for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kernels::Convolutions => "convolutions",
            Kernels::Products => "products",
        })
    }
}

/// Whether products compute on what lies so. A single position lies both ways, and belongs to networks that lie plain.
fn takes_products(x: &Tensor) -> bool {
    let size = x.size();
    let are_together = size.len() == 4 && x.stride()[1] == 1 && size[2] * size[3] > 1;
    are_together && !x.device().is_cuda() && matches!(x.kind(), Kind::Float | Kind::Double)
}

#[cfg(target_arch = "x86_64")]
fn lacks_avx512() -> bool {
    !is_x86_feature_detected!("avx512f")
}

/// Nobody has timed the kernels of other processors.
#[cfg(not(target_arch = "x86_64"))]
fn lacks_avx512() -> bool {
    false
}

/// A 1 x 1 or 3 x 3 convolution of stride 1 and zeros around, `[n, c_in, h, w] -> [n, c_out, h, w]`. Where the weights
/// train, 3 x 3 ones by Winograd's minimal filtering, and gradients in matrix products; by libtorch's own kernels elsewhere.
///
/// # Panics
/// With libtorch's message, where the sizes do not fit.
pub(super) fn convolution(x: &Tensor, weight: &Tensor) -> Tensor {
    // SAFETY: both are live tensors of libtorch.
    unsafe { taken(|message, room| medfsad_convolution(pointer(x), pointer(weight), message, room)) }
}

/// A batch norm in training.
pub(super) struct OwnStatistics<'a> {
    /// `[c]`, as the other three
    pub(super) weight: &'a Tensor,
    pub(super) bias: &'a Tensor,
    /// Mean and variance, into which each batch's are blended in turn.
    pub(super) stored: [&'a Tensor; 2],
    /// Of equal size, one after another along `n`, each with its own statistics.
    pub(super) batches: i64,
    /// Share of a batch in the stored statistics.
    pub(super) momentum: f64,
    /// Added to variances.
    pub(super) epsilon: f64,
}

/// Batch norm of `x`, `[n, c, h, w]`, plus `added` of the same size; negative values become zero where `is_cut`.
/// Sums of 64 positions are in the kind of `x`, those of these in double precision. Other batches than its own change nothing,
/// nor does the number of threads.
///
/// # Panics
/// With libtorch's message, where the sizes do not fit.
pub(super) fn batch_norm(x: &Tensor, added: Option<&Tensor>, is_cut: bool, norm: &OwnStatistics) -> Tensor {
    let OwnStatistics { weight, bias, stored: [mean, variance], batches, momentum, epsilon } = *norm;
    let [x, weight, bias, mean, variance] = [x, weight, bias, mean, variance].map(pointer);
    let added = added.map_or(std::ptr::null(), pointer);
    // SAFETY: all are live tensors of libtorch; `added` may be null.
    unsafe {
        taken(|message, room| {
            medfsad_batch_norm(
                x, weight, bias, mean, variance, added, batches, momentum, epsilon, is_cut, message, room,
            )
        })
    }
}

fn pointer(tensor: &Tensor) -> *const c_void {
    tensor.as_ptr().cast()
}

/// The tensor that `make` gives, given room for a message and its length.
///
/// # Safety
/// `make` gives a new tensor of libtorch, or null after it wrote a message that ends with a zero.
unsafe fn taken(make: impl FnOnce(*mut c_char, c_ulong) -> *mut c_void) -> Tensor {
    let mut message = [0; 1024];
    let made = make(message.as_mut_ptr(), message.len() as c_ulong);
    // SAFETY: as `make` promises.
    unsafe {
        assert!(!made.is_null(), "{}", CStr::from_ptr(message.as_ptr()).to_string_lossy());
        Tensor::from_ptr(made.cast())
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::network::layout::for_convolutions;

    #[test]
    fn products_compute_on_channels_beside_one_another_in_single_and_double_precision() {
        let plain = |kind: Kind| Tensor::zeros([2, 3, 4, 4], (kind, Device::Cpu));
        for (kind, are_taken) in [(Kind::Float, true), (Kind::Double, true), (Kind::BFloat16, false)] {
            assert!(!takes_products(&plain(kind)));
            assert_eq!(takes_products(&for_convolutions(&plain(kind))), are_taken, "{kind:?}");
        }
        assert!(!takes_products(&for_convolutions(&plain(Kind::Float).narrow(2, 0, 1).narrow(3, 0, 1))));
        assert!(!takes_products(&plain(Kind::Float).flatten(1, -1)));
    }
}
