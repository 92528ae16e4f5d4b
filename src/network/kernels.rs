//! Which of libtorch's kernels compute the convolutions that are trained on a CPU.

use std::ffi::{CStr, c_char, c_ulong, c_void};
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
}

/// Set to `convolutions` or `products`, that is what is taken, to compare them.
const SWITCH: &str = "MEDFSAD_KERNELS";

/// How convolutions whose channels lie beside one another are computed on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// By oneDNN's convolutions.
    Convolutions,
    /// Those that are one matrix product, and gradients of the others' weights, as such.
    Products,
}

impl Kernels {
    /// What is faster on this processor: without AVX-512, oneDNN takes twice as long as a matrix product for the gradients of
    /// weights, and four times for those of transposed convolutions. `benchmarks/README.md` has the gain.
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

    /// What computes a convolution of `x`, `[n, c, h, w]`.
    pub(super) fn of(x: &Tensor) -> Kernels {
        let are_together = x.dim() == 4 && x.stride()[1] == 1;
        let is_f32_or_f64 = matches!(x.kind(), Kind::Float | Kind::Double);
        let is_here = !x.device().is_cuda() && are_together && is_f32_or_f64;
        if is_here { Kernels::here() } else { Kernels::Convolutions }
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

#[cfg(target_arch = "x86_64")]
fn lacks_avx512() -> bool {
    !is_x86_feature_detected!("avx512f")
}

/// Nobody has timed the kernels of other processors.
#[cfg(not(target_arch = "x86_64"))]
fn lacks_avx512() -> bool {
    false
}

/// A convolution of odd kernel, stride 1 and zeros around, `[n, c_in, h, w] -> [n, c_out, h, w]`; the gradient of its
/// weights is a matrix product.
///
/// # Panics
/// As `tch`'s own convolution, where the sizes do not fit.
pub(super) fn convolution(x: &Tensor, weight: &Tensor) -> Tensor {
    let mut message = [0; 1024];
    // SAFETY: both are live tensors of libtorch; the message is as long as said and ends with a zero; what comes back is
    // a new tensor, which is ours.
    unsafe {
        let room = message.len() as c_ulong;
        let y = medfsad_convolution(x.as_ptr().cast(), weight.as_ptr().cast(), message.as_mut_ptr(), room);
        assert!(!y.is_null(), "{}", CStr::from_ptr(message.as_ptr()).to_string_lossy());
        Tensor::from_ptr(y.cast())
    }
}
