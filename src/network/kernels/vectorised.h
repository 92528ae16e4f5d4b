// What our kernels for CPUs share: vectors as wide as the processor has them, and libtorch's own threads.

#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define MEDFSAD_INLINE __attribute__((always_inline))
#define MEDFSAD_AVX2 __attribute__((target("avx2,fma")))
#else
#define MEDFSAD_INLINE
#define MEDFSAD_AVX2
#endif

namespace medfsad {

template <typename Work>
MEDFSAD_AVX2 void with_avx2(const Work &work) {
    work();
}

// Runs `work`, compiled for processors with AVX2 and FMA and for all others. It and all it calls are MEDFSAD_INLINE.
template <typename Work>
void vectorised(const Work &work) {
#if defined(__x86_64__) && defined(__GNUC__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2) {
        return with_avx2(work);
    }
#endif
    work();
}

// Calls `work(index)` for all of `count`, in as many threads as libtorch has.
template <typename Work>
void in_parallel(int64_t count, const Work &work) {
    const at::Tensor indices = at::arange(count, at::kLong);
    at::TensorIterator all = at::TensorIterator::borrowing_nullary_op(indices);
    const auto some = [&](char **data, const int64_t *strides, int64_t n) {
        for (int64_t at = 0; at < n; ++at) {
            work(*reinterpret_cast<const int64_t *>(data[0] + at * strides[0]));
        }
    };
    all.for_each(some, 1);
}

}  // namespace medfsad
