//! How pictures lie in memory while they pass convolutions.

use tch::Tensor;

/// On the CPU, channels beside one another (NHWC strides under NCHW sizes): oneDNN's convolutions read and write that
/// order as it is, and reorder any other at every layer. `benchmarks/README.md` holds the gain. On CUDA as given.
///
/// Its kernels are chosen by the size of the batch. Single-precision teachers therefore stay plain: there it gains little,
/// and features of a picture alone and in a batch would differ more.
pub(crate) fn for_convolutions(x: &Tensor) -> Tensor {
    if x.device().is_cuda() || x.dim() != 4 { x.shallow_clone() } else { channels_together(x) }
}

/// The same values with channels beside one another, `[n, c, h, w]`.
pub(super) fn channels_together(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Positions beside one another again, as sizes `[n, c, h, w]` say: what flattens or adds up values expects that.
pub(crate) fn plain(x: &Tensor) -> Tensor {
    x.contiguous()
}
