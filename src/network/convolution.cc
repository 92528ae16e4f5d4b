// 3 x 3 convolutions and their gradients by Winograd's minimal filtering: of 4 x 4 positions in, 2 x 2 come out with 16
// multiplications, not 36, all of them in matrix products. In exact arithmetic the values are those of any other convolution.
//
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.1, F(2 x 2, 3 x 3):
// Y = A' [(G w G') o (B' d B)] A for each tile d of the input, with
//   B' = 1  0 -1  0     G = 1    0    0      A' = 1  1  1  0
//        0  1  1  0         1/2  1/2  1/2         0  1 -1 -1
//        0 -1  1  0         1/2 -1/2  1/2
//        0  1  0 -1         0    0    1
// Pictures are [n, h, w, c] here, tiles [16, tiles, c], transformed weights [16, c_out, c_in].

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <vector>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

namespace {

// Bytes of the tiles of as many pictures as are transformed at once; a processor's caches hold them.
constexpr int64_t CACHED = 2 << 20;
// Tiles at once, at least: products of fewer rows are slow.
constexpr int64_t ROWS = 256;

// How many tiles cover each picture.
struct Tiles {
    int64_t rows, columns;

    explicit Tiles(const Tensor &x) : rows((x.size(1) + 1) / 2), columns((x.size(2) + 1) / 2) {}
    int64_t each() const { return rows * columns; }
    int64_t pictures_at_once(int64_t channels, const Tensor &x) const {
        const int64_t bytes = 16 * each() * channels * static_cast<int64_t>(x.element_size());
        return std::max((ROWS + each() - 1) / each(), CACHED / bytes);
    }
};

// [16, 9]: G on both sides of a kernel.
Tensor kernel_transform(const Tensor &like) {
    constexpr double G[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
    std::vector<double> both;
    for (int at = 0; at < 16 * 9; ++at) {
        const int row = at / 9, column = at % 9;
        both.push_back(G[row / 4][column / 3] * G[row % 4][column % 3]);
    }
    return at::tensor(both, like.options().requires_grad(false)).view({16, 9});
}

// [c_out, c_in, 3, 3] -> [16, c_out, c_in]
Tensor transformed(const Tensor &weight) {
    return kernel_transform(weight).mm(weight.reshape({-1, 9}).t()).view({16, weight.size(0), weight.size(1)});
}

// Rows or columns of 2 * count + 2 positions along `axis` to those of B', along `to`'s `part`.
void into_tiles(const Tensor &from, int64_t axis, int64_t count, const Tensor &to, int64_t part) {
    const auto at = [&](int64_t first) { return from.slice(axis, first, first + 2 * count - 1, 2); };
    const auto line = [&](int64_t of) { return to.select(part, of); };
    Tensor zeroth = line(0), first = line(1), second = line(2), third = line(3);
    at::sub_out(zeroth, at(0), at(2));
    at::add_out(first, at(1), at(2));
    at::sub_out(second, at(2), at(1));
    at::sub_out(third, at(1), at(3));
}

// B' d B
Tensor tiles_of(const Tensor &x) {
    const Tiles tiles(x);
    const int64_t n = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
    const Tensor wide = at::constant_pad_nd(x, {0, 0, 1, 1 + w % 2, 1, 1 + h % 2});
    const Tensor halfway = at::empty({4, n, tiles.rows, 2 * tiles.columns + 2, c}, x.options());
    const Tensor whole = at::empty({4, 4, n, tiles.rows, tiles.columns, c}, x.options());
    into_tiles(wide, 1, tiles.rows, halfway, 0);
    into_tiles(halfway, 3, tiles.columns, whole, 1);
    return whole.view({16, n * tiles.each(), c});
}

// Four lines along `axis` to the two of A'.
void out_of_tiles(const Tensor &from, const Tensor &to, int64_t axis) {
    const auto line = [&](int64_t of) { return from.select(axis, of); };
    Tensor zeroth = to.select(axis, 0), first = to.select(axis, 1);
    at::add_out(zeroth, line(0), line(1)).add_(line(2));
    at::sub_out(first, line(1), line(2)).sub_(line(3));
}

// Pictures of even sides as 2 x 2 positions of each tile: [2, 2, n, rows, columns, c].
Tensor by_tile(const Tensor &x) {
    const Tiles tiles(x);
    const Tensor split = x.view({x.size(0), tiles.rows, 2, tiles.columns, 2, x.size(3)});
    return split.permute({2, 4, 0, 1, 3, 5});
}

// A' m A, into pictures of even sides.
void pictures_of(const Tensor &m, const Tensor &y) {
    const Tensor to = by_tile(y);
    const Tensor from = m.view({4, 4, to.size(2), to.size(3), to.size(4), to.size(5)});
    const Tensor halfway = at::empty({2, 4, to.size(2), to.size(3), to.size(4), to.size(5)}, m.options());
    out_of_tiles(from, halfway, 0);
    out_of_tiles(halfway, to, 1);
}

// Two lines along `axis` to the four of A.
void back_into_tiles(const Tensor &from, const Tensor &to, int64_t axis) {
    const Tensor upper = from.select(axis, 0), lower = from.select(axis, 1);
    Tensor first = to.select(axis, 1), second = to.select(axis, 2), third = to.select(axis, 3);
    to.select(axis, 0).copy_(upper);
    at::add_out(first, upper, lower);
    at::sub_out(second, upper, lower);
    at::neg_out(third, lower);
}

// A y A' of pictures of even sides
Tensor tiles_of_gradients(const Tensor &y) {
    const Tensor from = by_tile(y);
    const int64_t n = from.size(2), rows = from.size(3), columns = from.size(4), c = from.size(5);
    const Tensor halfway = at::empty({4, 2, n, rows, columns, c}, y.options());
    const Tensor whole = at::empty({4, 4, n, rows, columns, c}, y.options());
    back_into_tiles(from, halfway, 0);
    back_into_tiles(halfway, whole, 1);
    return whole.view({16, n * rows * columns, c});
}

// Zeros below and on the right, where a side is odd.
Tensor to_even_sides(const Tensor &x) {
    const int64_t h = x.size(1), w = x.size(2);
    return h % 2 + w % 2 == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, w % 2, 0, h % 2});
}

// Calls `work(start, count)` for pictures that are transformed at once.
template <typename Work>
void in_parts(const Tensor &x, int64_t channels, Work work) {
    const int64_t n = x.size(0), at_once = Tiles(x).pictures_at_once(channels, x);
    for (int64_t start = 0; start < n; start += at_once) {
        work(start, std::min(at_once, n - start));
    }
}

Tensor convolved(const Tensor &x, const Tensor &weight) {
    const Tiles tiles(x);
    const Tensor kernels = transformed(weight).transpose(1, 2);
    const int64_t h = x.size(1), w = x.size(2), c_out = weight.size(0);
    const Tensor y = at::empty({x.size(0), 2 * tiles.rows, 2 * tiles.columns, c_out}, x.options());
    in_parts(x, std::max(x.size(3), c_out), [&](int64_t start, int64_t count) {
        pictures_of(tiles_of(x.narrow(0, start, count)).bmm(kernels), y.narrow(0, start, count));
    });
    return y.narrow(1, 0, h).narrow(2, 0, w).contiguous();
}

// [c_out, c_in, 3, 3] from what came in and what comes back
Tensor gradient_of_weight(const Tensor &x, const Tensor &back) {
    const int64_t c_in = x.size(3), c_out = back.size(3);
    const Tensor even = to_even_sides(back), sum = at::zeros({16, c_out, c_in}, x.options());
    in_parts(x, std::max(c_in, c_out), [&](int64_t start, int64_t count) {
        const Tensor gradients = tiles_of_gradients(even.narrow(0, start, count));
        sum.baddbmm_(gradients.transpose(1, 2), tiles_of(x.narrow(0, start, count)));
    });
    return sum.view({16, -1}).t().mm(kernel_transform(x)).view({c_out, c_in, 3, 3});
}

Tensor channels_last(const Tensor &x) { return x.permute({0, 2, 3, 1}).contiguous(); }
Tensor channels_second(const Tensor &x) { return x.permute({0, 3, 1, 2}); }

struct Convolution : torch::autograd::Function<Convolution> {
    static Tensor forward(AutogradContext *context, const Tensor &x, const Tensor &weight) {
        context->save_for_backward({x, weight});
        return channels_second(convolved(channels_last(x), weight));
    }

    static tensor_list backward(AutogradContext *context, tensor_list gradients) {
        const auto saved = context->get_saved_variables();
        const Tensor x = channels_last(saved[0]), &weight = saved[1], back = channels_last(gradients[0]);
        tensor_list both(2);
        if (context->needs_input_grad(0)) {
            both[0] = channels_second(convolved(back, weight.flip({2, 3}).transpose(0, 1)));
        }
        if (context->needs_input_grad(1)) {
            both[1] = gradient_of_weight(x, back);
        }
        return both;
    }
};

}  // namespace

// Stride 1, zeros around. Where the weights do not train, libtorch's own. Null with a message where libtorch has none.
extern "C" Tensor *medfsad_convolution(
    const Tensor *x, const Tensor *weight, char *message, unsigned long room) noexcept {
    const char *text = "an exception without a message";
    try {
        const bool trains = at::GradMode::is_enabled() && weight->requires_grad();
        return new Tensor(trains ? Convolution::apply(*x, *weight) : at::conv2d(*x, *weight, {}, 1, 1));
    } catch (const std::exception &error) {
        std::strncpy(message, error.what(), room - 1);
    } catch (...) {
        std::strncpy(message, text, room - 1);
    }
    message[room - 1] = '\0';
    return nullptr;
}
