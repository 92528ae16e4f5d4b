// What our kernels for CPUs share: AVX2 where the processor has it, libtorch's own threads, errors, and how pictures lie.

#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <exception>

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

// What `make` gives, for callers that know no exceptions: null with a message where it throws.
template <typename Make>
at::Tensor *made(const Make &make, char *message, unsigned long room) noexcept {
    try {
        return new at::Tensor(make());
    } catch (const std::exception &error) {
        std::strncpy(message, error.what(), room - 1);
    } catch (...) {
        std::strncpy(message, "an exception without a message", room - 1);
    }
    message[room - 1] = '\0';
    return nullptr;
}

// [n, c, h, w] -> [n, h, w, c], which lies so.
inline at::Tensor channels_last(const at::Tensor &x) { return x.permute({0, 2, 3, 1}).contiguous(); }

// [n, c, h, w] of `c` channels, and the pictures and kind of `x`, [n, h, w, any], with channels beside one another. No view:
// callers may change it in place.
inline at::Tensor pictures_like(const at::Tensor &x, int64_t c) {
    const auto options = x.options().requires_grad(false).memory_format(at::MemoryFormat::ChannelsLast);
    return at::empty({x.size(0), c, x.size(1), x.size(2)}, options);
}

}  // namespace medfsad
