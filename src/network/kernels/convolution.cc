// Convolutions of stride 1 and their gradients in matrix products; those of 3 x 3 by Winograd's minimal filtering: of 4 x 4
// positions in, 2 x 2 come out with 16 multiplications, not 36. In exact arithmetic the values are those of any other
// convolution.
//
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.1, F(2 x 2, 3 x 3):
// Y = A' [(G w G') o (B' d B)] A for each tile d of the input, with
//   B' = 1  0 -1  0     G = 1    0    0      A' = 1  1  1  0
//        0  1  1  0         1/2  1/2  1/2         0  1 -1 -1
//        0 -1  1  0         1/2 -1/2  1/2
//        0  1  0 -1         0    0    1
// Pictures are [n, h, w, c] here, tiles [16, tiles, c], transformed weights [16, c_out, c_in].

#include "vectorised.h"

#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

using at::Tensor;
using medfsad::channels_last;
using medfsad::in_parallel;
using medfsad::pictures_like;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

namespace {

// Bytes of the tiles of as many pictures as are transformed at once; a processor's caches hold them.
constexpr int64_t CACHED = 2 << 20;
// Tiles at once, at least: products of fewer rows are slow.
constexpr int64_t ROWS = 256;

// One vector of channels at each of SIDE x SIDE positions.
template <typename T, int SIDE>
using Square = T *[SIDE][SIDE];

// A matrix on both sides of one that it is multiplied with, as sums along its columns and then its rows.
template <typename Transform, typename T, int FROM, int TO>
MEDFSAD_INLINE inline void on_both_sides(const T (&from)[FROM][FROM], T (&to)[TO][TO]) {
    T half[FROM][TO];
    for (int at = 0; at < FROM; ++at) {
        T line[FROM], sums[TO];
        for (int row = 0; row < FROM; ++row) {
            line[row] = from[row][at];
        }
        Transform::sum(line, sums);
        for (int row = 0; row < TO; ++row) {
            half[at][row] = sums[row];
        }
    }
    for (int row = 0; row < TO; ++row) {
        T line[FROM];
        for (int at = 0; at < FROM; ++at) {
            line[at] = half[at][row];
        }
        Transform::sum(line, to[row]);
    }
}

// B' d B
struct Input {
    static constexpr int FROM = 4, TO = 4;

    template <typename T>
    static MEDFSAD_INLINE inline void sum(const T (&d)[4], T (&to)[4]) {
        to[0] = d[0] - d[2];
        to[1] = d[1] + d[2];
        to[2] = d[2] - d[1];
        to[3] = d[1] - d[3];
    }
};

// A' m A
struct Output {
    static constexpr int FROM = 4, TO = 2;

    template <typename T>
    static MEDFSAD_INLINE inline void sum(const T (&m)[4], T (&to)[2]) {
        to[0] = m[0] + m[1] + m[2];
        to[1] = m[1] - m[2] - m[3];
    }
};

// A y A'
struct Gradient {
    static constexpr int FROM = 2, TO = 4;

    template <typename T>
    static MEDFSAD_INLINE inline void sum(const T (&y)[2], T (&to)[4]) {
        to[0] = y[0];
        to[1] = y[0] + y[1];
        to[2] = y[0] - y[1];
        to[3] = -y[1];
    }
};

// G w G'
struct Kernel {
    static constexpr int FROM = 3, TO = 4;

    template <typename T>
    static MEDFSAD_INLINE inline void sum(const T (&w)[3], T (&to)[4]) {
        const T outer = (w[0] + w[2]) * T(0.5), inner = w[1] * T(0.5);
        to[0] = w[0];
        to[1] = outer + inner;
        to[2] = outer - inner;
        to[3] = w[2];
    }
};

// G' u G
struct KernelGradient {
    static constexpr int FROM = 4, TO = 3;

    template <typename T>
    static MEDFSAD_INLINE inline void sum(const T (&u)[4], T (&to)[3]) {
        const T both = (u[1] + u[2]) * T(0.5);
        to[0] = u[0] + both;
        to[1] = (u[1] - u[2]) * T(0.5);
        to[2] = both + u[3];
    }
};

// A transform of all channels.
template <typename Transform, typename T, int FROM = Transform::FROM, int TO = Transform::TO>
void transform(const Square<T, FROM> &from, const Square<T, TO> &to, int64_t channels) {
    medfsad::vectorised([&]() MEDFSAD_INLINE {
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            T in[FROM][FROM], out[TO][TO];
            for (int row = 0; row < FROM; ++row) {
                for (int column = 0; column < FROM; ++column) {
                    in[row][column] = from[row][column][c];
                }
            }
            on_both_sides<Transform>(in, out);
            for (int row = 0; row < TO; ++row) {
                for (int column = 0; column < TO; ++column) {
                    to[row][column][c] = out[row][column];
                }
            }
        }
    });
}

// One of 4 x 4 matrices `plane` apart, turned by half where it belongs to turned kernels: turning a kernel turns G w G' but
// for its two lines of halves.
template <typename T>
void planes(T *first, int64_t plane, bool is_turned, Square<T, 4> &to) {
    constexpr int TURNED[4] = {3, 1, 2, 0};
    for (int at = 0; at < 16; ++at) {
        const int row = at / 4, column = at % 4;
        const int from = is_turned ? 4 * TURNED[row] + TURNED[column] : at;
        to[row][column] = first + from * plane;
    }
}

// Tiles of 2 x 2 that cover pictures [n, h, w, c].
struct Tiles {
    int64_t n, h, w, c, rows, columns;

    explicit Tiles(const Tensor &x)
        : n(x.size(0)), h(x.size(1)), w(x.size(2)), c(x.size(3)), rows((h + 1) / 2), columns((w + 1) / 2) {}

    int64_t each() const { return rows * columns; }

    int64_t pictures_at_once(int64_t channels, const Tensor &x) const {
        const int64_t bytes = 16 * each() * channels * static_cast<int64_t>(x.element_size());
        return std::max((ROWS + each() - 1) / each(), CACHED / bytes);
    }

    // Calls `work(positions, tile)` for every tile of `pictures`: its 2 x 2 positions, or these and those around them, and
    // its vectors in `tiles`. What lies beyond a picture is zero, and nobody reads what is written there.
    template <int SIDE, typename T, typename Work>
    void for_each(T *pictures, T *tiles, bool is_turned, const Work &work) const {
        in_parallel(n * rows, [&](int64_t line) {
            std::vector<T> beyond(c);
            for (int64_t column = 0; column < columns; ++column) {
                Square<T, SIDE> positions;
                Square<T, 4> tile;
                const int64_t top = 2 * (line % rows) - SIDE / 4, left = 2 * column - SIDE / 4;
                for (int at = 0; at < SIDE * SIDE; ++at) {
                    const int64_t y = top + at / SIDE, x = left + at % SIDE;
                    const bool is_inside = y >= 0 && y < h && x >= 0 && x < w;
                    T *&position = positions[at / SIDE][at % SIDE];
                    position = is_inside ? pictures + ((line / rows * h + y) * w + x) * c : beyond.data();
                }
                planes(tiles + (line * columns + column) * c, n * each() * c, is_turned, tile);
                work(positions, tile);
            }
        });
    }
};

// [n, h, w, c] -> [16, tiles, c]
template <typename Transform>
Tensor tiles_of(const Tensor &x, bool is_turned = false) {
    const Tiles tiles(x);
    const Tensor to = at::empty({16, tiles.n * tiles.each(), tiles.c}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "tiles_of", [&] {
        auto *const from = x.data_ptr<scalar_t>();
        tiles.for_each<Transform::FROM>(from, to.data_ptr<scalar_t>(), is_turned, [&](auto &positions, auto &tile) {
            transform<Transform, scalar_t>(positions, tile, tiles.c);
        });
    });
    return to;
}

// [16, tiles, c] -> [n, h, w, c]
void pictures_of(const Tensor &from, const Tensor &y, bool is_turned) {
    const Tiles tiles(y);
    AT_DISPATCH_FLOATING_TYPES(y.scalar_type(), "pictures_of", [&] {
        auto *const to = y.data_ptr<scalar_t>();
        tiles.for_each<2>(to, from.data_ptr<scalar_t>(), is_turned, [&](auto &positions, auto &tile) {
            transform<Output, scalar_t>(tile, positions, tiles.c);
        });
    });
}

// Calls `work(kernels, tile)` for each row of weights [c_out, c_in, 3, 3], which lie as 3 x 3 vectors of `c_in` for it, and
// its vectors in transformed ones.
template <bool ARE_READ, typename T, typename Work>
void for_each_kernel(const Tensor &weight, const Tensor &planes_of, const Work &work) {
    const int64_t c_out = weight.size(0), c_in = weight.size(1);
    T *const weights = weight.data_ptr<T>(), *const transformed = planes_of.data_ptr<T>();
    in_parallel(c_out, [&](int64_t row) {
        std::vector<T> apart(9 * c_in);
        T *const here = weights + row * 9 * c_in;
        Square<T, 3> kernels;
        Square<T, 4> tile;
        for (int at = 0; at < 9; ++at) {
            kernels[at / 3][at % 3] = apart.data() + at * c_in;
        }
        planes(transformed + row * c_in, c_out * c_in, false, tile);
        for (int64_t at = 0; ARE_READ && at < 9 * c_in; ++at) {
            apart[at % 9 * c_in + at / 9] = here[at];
        }
        work(kernels, tile);
        for (int64_t at = 0; !ARE_READ && at < 9 * c_in; ++at) {
            here[at] = apart[at % 9 * c_in + at / 9];
        }
    });
}

// [c_out, c_in, 3, 3] -> [16, c_out, c_in]
Tensor transformed(const Tensor &weight) {
    const Tensor plain = weight.contiguous();
    const Tensor to = at::empty({16, weight.size(0), weight.size(1)}, weight.options().requires_grad(false));
    AT_DISPATCH_FLOATING_TYPES(weight.scalar_type(), "transformed", [&] {
        for_each_kernel<true, scalar_t>(plain, to, [&](auto &kernels, auto &tile) {
            transform<Kernel, scalar_t>(kernels, tile, weight.size(1));
        });
    });
    return to;
}

// [16, c_out, c_in] -> [c_out, c_in, 3, 3]
Tensor gradient_of_transformed(const Tensor &from) {
    const Tensor to = at::empty({from.size(1), from.size(2), 3, 3}, from.options());
    AT_DISPATCH_FLOATING_TYPES(from.scalar_type(), "gradient_of_transformed", [&] {
        for_each_kernel<false, scalar_t>(to, from, [&](auto &kernels, auto &tile) {
            transform<KernelGradient, scalar_t>(tile, kernels, from.size(2));
        });
    });
    return to;
}

// Calls `work(start, count)` for pictures that are transformed at once.
template <typename Work>
void in_parts(const Tensor &x, int64_t channels, Work work) {
    const int64_t n = x.size(0), at_once = Tiles(x).pictures_at_once(channels, x);
    for (int64_t start = 0; start < n; start += at_once) {
        work(start, std::min(at_once, n - start));
    }
}

// [n, h, w, c] to [n, c_out, h, w], with kernels [16, c, c_out]
Tensor convolved(const Tensor &x, const Tensor &kernels, bool are_turned) {
    const int64_t c_out = kernels.size(2);
    const Tensor y = pictures_like(x, c_out), to = channels_last(y);
    in_parts(x, std::max(x.size(3), c_out), [&](int64_t start, int64_t count) {
        const Tensor tiles = tiles_of<Input>(x.narrow(0, start, count), are_turned).bmm(kernels);
        pictures_of(tiles, to.narrow(0, start, count), are_turned);
    });
    return y;
}

// [c_out, c_in, 3, 3] from what came in and what comes back
Tensor gradient_of_weight(const Tensor &x, const Tensor &back) {
    Tensor sum;
    in_parts(x, std::max(x.size(3), back.size(3)), [&](int64_t start, int64_t count) {
        const Tensor gradients = tiles_of<Gradient>(back.narrow(0, start, count)).transpose(1, 2);
        const Tensor tiles = tiles_of<Input>(x.narrow(0, start, count));
        sum = sum.defined() ? sum.baddbmm_(gradients, tiles) : gradients.bmm(tiles);
    });
    return gradient_of_transformed(sum);
}

// 3 x 3 with zeros around
struct Filtered : torch::autograd::Function<Filtered> {
    static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &weight) {
        const Tensor kernels = transformed(weight);
        context->save_for_backward({x, kernels});
        return convolved(channels_last(x), kernels.transpose(1, 2), false);
    }

    static tensor_list backward(AutogradContext *context, tensor_list gradients) {
        TORCH_CHECK(!at::GradMode::is_enabled(), "this convolution has no second derivative");
        const auto saved = context->get_saved_variables();
        const Tensor x = channels_last(saved[0]), &kernels = saved[1], back = channels_last(gradients[0]);
        tensor_list both(2);
        if (context->needs_input_grad(0)) {
            both[0] = convolved(back, kernels, true);
        }
        if (context->needs_input_grad(1)) {
            both[1] = gradient_of_weight(x, back);
        }
        return both;
    }
};

// 1 x 1
struct Pointwise : torch::autograd::Function<Pointwise> {
    static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &weight) {
        context->save_for_backward({x, weight});
        return at::conv2d(x, weight);
    }

    static tensor_list backward(AutogradContext *context, tensor_list gradients) {
        const auto saved = context->get_saved_variables();
        const Tensor x = channels_last(saved[0]), &weight = saved[1], back = channels_last(gradients[0]);
        const Tensor vectors = back.flatten(0, 2);
        tensor_list both(2);
        if (context->needs_input_grad(0)) {
            both[0] = vectors.mm(weight.flatten(1)).view_as(x).permute({0, 3, 1, 2});
        }
        if (context->needs_input_grad(1)) {
            both[1] = vectors.t().mm(x.flatten(0, 2)).view_as(weight);
        }
        return both;
    }
};

Tensor convolution(const Tensor &x, const Tensor &weight) {
    const bool trains = at::GradMode::is_enabled() && weight.requires_grad(), is_pointwise = weight.size(2) == 1;
    if (!trains) {
        return at::conv2d(x, weight, {}, 1, is_pointwise ? 0 : 1);
    }
    TORCH_CHECK(x.size(1) == weight.size(1), "expected input to have ", weight.size(1), " channels, but got ", x.size(1));
    return is_pointwise ? Pointwise::apply(x, weight) : Filtered::apply(x, weight);
}

}  // namespace

// 1 x 1, or 3 x 3 with zeros around, of stride 1. Where the weights do not train, libtorch's own. Null with a message where
// that cannot be.
extern "C" Tensor *medfsad_convolution(
    const Tensor *x, const Tensor *weight, char *message, unsigned long room) noexcept {
    return medfsad::made([&] { return convolution(*x, *weight); }, message, room);
}
