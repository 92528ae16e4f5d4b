// Batch norm of batches that lie one after another, each with its own statistics, with what is added to it and ReLU: memory is
// read once for the statistics and once for the rest.
//
// Pictures are [n, h, w, c] here: rows of c values, `batches` times as many as one batch has. Rows go in parts of equal
// size, whose sums are added up in their order in double precision: the same bits, however many threads there are.

#include "vectorised.h"

#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

using at::Tensor;
using medfsad::channels_last;
using medfsad::in_parallel;
using medfsad::pictures_like;
using medfsad::vectorised;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

namespace {

// Rows at once: their sums in single precision lose little, and caches hold them.
constexpr int64_t ROWS = 64;

struct Norm {
    int64_t batches;
    double momentum, epsilon;
    bool is_cut;
};

// Rows of all batches in parts.
struct Parts {
    int64_t c, batches, rows, in_batch;

    Parts(const Tensor &x, int64_t of)
        : c(x.size(3)), batches(of), rows(x.size(0) / of * x.size(1) * x.size(2)), in_batch((rows + ROWS - 1) / ROWS) {}

    // Calls `work(part, batch, first row, rows)` for each.
    template <typename Work>
    void for_each(const Work &work) const {
        in_parallel(batches * in_batch, [&](int64_t part) {
            const int64_t batch = part / in_batch, first = part % in_batch * ROWS;
            work(part, batch, batch * rows + first, std::min(ROWS, rows - first));
        });
    }

    // Calls `work(part, rows)` for each part of a batch, in order.
    template <typename Work>
    void of_batch(int64_t batch, const Work &work) const {
        for (int64_t at = 0; at < in_batch; ++at) {
            work(batch * in_batch + at, std::min(ROWS, rows - at * ROWS));
        }
    }
};

// Mean and inverse deviation of each batch and channel, `[batches, c]`, and what they do to the stored statistics.
template <typename T>
void statistics(
    const Parts &parts, const Norm &norm, const T *x, T *stored_mean, T *stored_variance, T *means, T *inverses) {
    const int64_t c = parts.c;
    std::vector<T> of_parts(2 * parts.batches * parts.in_batch * c);
    parts.for_each([&](int64_t part, int64_t, int64_t first, int64_t rows) {
        T *const mean = of_parts.data() + 2 * part * c, *const squares = mean + c;
        vectorised([&]() MEDFSAD_INLINE {
            for (int64_t row = 0; row < rows; ++row) {
                const T *const from = x + (first + row) * c;
#pragma GCC ivdep
                for (int64_t at = 0; at < c; ++at) {
                    mean[at] += from[at];
                }
            }
#pragma GCC ivdep
            for (int64_t at = 0; at < c; ++at) {
                mean[at] /= static_cast<T>(rows);
            }
            for (int64_t row = 0; row < rows; ++row) {
                const T *const from = x + (first + row) * c;
#pragma GCC ivdep
                for (int64_t at = 0; at < c; ++at) {
                    const T apart = from[at] - mean[at];
                    squares[at] += apart * apart;
                }
            }
        });
    });
    // Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979.
    std::vector<double> variances(parts.batches * c);
    in_parallel(parts.batches, [&](int64_t batch) {
        std::vector<double> mean(c), squares(c);
        int64_t before = 0;
        parts.of_batch(batch, [&](int64_t part, int64_t rows) {
            const T *const other = of_parts.data() + 2 * part * c;
            const double share = static_cast<double>(rows) / static_cast<double>(before + rows);
            for (int64_t at = 0; at < c; ++at) {
                const double apart = static_cast<double>(other[at]) - mean[at];
                mean[at] += apart * share;
                squares[at] += static_cast<double>(other[c + at]) + apart * apart * share * static_cast<double>(before);
            }
            before += rows;
        });
        for (int64_t at = 0; at < c; ++at) {
            const double variance = squares[at] / static_cast<double>(parts.rows);
            means[batch * c + at] = static_cast<T>(mean[at]);
            inverses[batch * c + at] = static_cast<T>(1 / std::sqrt(variance + norm.epsilon));
            variances[batch * c + at] = variance * static_cast<double>(parts.rows) / static_cast<double>(parts.rows - 1);
        }
    });
    const double rest = 1 - norm.momentum;
    for (int64_t at = 0; at < parts.batches * c; ++at) {
        T &mean = stored_mean[at % c], &variance = stored_variance[at % c];
        mean = static_cast<T>(norm.momentum * static_cast<double>(means[at]) + rest * static_cast<double>(mean));
        variance = static_cast<T>(norm.momentum * variances[at] + rest * static_cast<double>(variance));
    }
}

// y = (x - mean) / deviation * weight + bias, plus `added` where there is one, cut at zero where that is asked for.
template <typename T>
void normalise(
    const Parts &parts, const Norm &norm, const T *x, const T *added, const T *weight, const T *bias, const T *means,
    const T *inverses, T *y) {
    const int64_t c = parts.c;
    std::vector<T> factors(parts.batches * c), terms(parts.batches * c);
    for (int64_t at = 0; at < parts.batches * c; ++at) {
        factors[at] = inverses[at] * weight[at % c];
        terms[at] = bias[at % c] - means[at] * factors[at];
    }
    const T least = norm.is_cut ? T(0) : -std::numeric_limits<T>::infinity();
    parts.for_each([&](int64_t, int64_t batch, int64_t first, int64_t rows) {
        const T *const factor = factors.data() + batch * c, *const term = terms.data() + batch * c;
        vectorised([&]() MEDFSAD_INLINE {
            for (int64_t row = first; row < first + rows; ++row) {
                const T *const from = x + row * c;
                T *const to = y + row * c;
                if (added) {
                    const T *const other = added + row * c;
#pragma GCC ivdep
                    for (int64_t at = 0; at < c; ++at) {
                        const T value = from[at] * factor[at] + term[at] + other[at];
                        to[at] = value < least ? least : value;
                    }
                } else {
#pragma GCC ivdep
                    for (int64_t at = 0; at < c; ++at) {
                        const T value = from[at] * factor[at] + term[at];
                        to[at] = value < least ? least : value;
                    }
                }
            }
        });
    });
}

// From what comes back for y: what was cut away goes, in `uncut`, which is also what comes back for what was added; then the
// gradients of weight and bias; then of x.
template <typename T>
void backward(
    const Parts &parts, const T *x, const T *y, const T *back, const T *weight, const T *means, const T *inverses,
    T *uncut, T *of_x, T *of_weight, T *of_bias) {
    const int64_t c = parts.c;
    std::vector<T> of_parts(2 * parts.batches * parts.in_batch * c);
    parts.for_each([&](int64_t part, int64_t batch, int64_t first, int64_t rows) {
        T *const sum = of_parts.data() + 2 * part * c, *const product = sum + c;
        const T *const mean = means + batch * c;
        vectorised([&]() MEDFSAD_INLINE {
            for (int64_t row = first; row < first + rows; ++row) {
                const T *const from = x + row * c, *const gradient = back + row * c;
                if (uncut) {
                    const T *const cut = y + row * c;
                    T *const to = uncut + row * c;
#pragma GCC ivdep
                    for (int64_t at = 0; at < c; ++at) {
                        const T here = cut[at] <= 0 ? T(0) : gradient[at];
                        to[at] = here;
                        sum[at] += here;
                        product[at] += here * (from[at] - mean[at]);
                    }
                } else {
#pragma GCC ivdep
                    for (int64_t at = 0; at < c; ++at) {
                        sum[at] += gradient[at];
                        product[at] += gradient[at] * (from[at] - mean[at]);
                    }
                }
            }
        });
    });
    std::vector<double> sums(parts.batches * c), products(parts.batches * c);
    in_parallel(parts.batches, [&](int64_t batch) {
        parts.of_batch(batch, [&](int64_t part, int64_t) {
            const T *const sum = of_parts.data() + 2 * part * c;
            for (int64_t at = 0; at < c; ++at) {
                sums[batch * c + at] += static_cast<double>(sum[at]);
                products[batch * c + at] += static_cast<double>(sum[c + at]);
            }
        });
    });
    std::vector<double> weights(c), biases(c);
    std::vector<T> factors(parts.batches * c), slopes(parts.batches * c), terms(parts.batches * c);
    for (int64_t at = 0; at < parts.batches * c; ++at) {
        const double inverse = inverses[at], rows = static_cast<double>(parts.rows);
        weights[at % c] += products[at] * inverse;
        biases[at % c] += sums[at];
        // of_x = (back - sum / rows - (x - mean) inverse^2 product / rows) inverse weight
        const double factor = inverse * static_cast<double>(weight[at % c]);
        factors[at] = static_cast<T>(factor);
        slopes[at] = static_cast<T>(products[at] * inverse * inverse / rows * factor);
        terms[at] = static_cast<T>(sums[at] / rows * factor);
    }
    std::copy(weights.begin(), weights.end(), of_weight);
    std::copy(biases.begin(), biases.end(), of_bias);
    const T *const gradients = uncut ? uncut : back;
    parts.for_each([&](int64_t, int64_t batch, int64_t first, int64_t rows) {
        const int64_t of = batch * c;
        const T *const mean = means + of, *const factor = factors.data() + of, *const slope = slopes.data() + of,
                *const term = terms.data() + of;
        vectorised([&]() MEDFSAD_INLINE {
            for (int64_t row = first; row < first + rows; ++row) {
                const T *const from = x + row * c, *const gradient = gradients + row * c;
                T *const to = of_x + row * c;
#pragma GCC ivdep
                for (int64_t at = 0; at < c; ++at) {
                    to[at] = gradient[at] * factor[at] - (from[at] - mean[at]) * slope[at] - term[at];
                }
            }
        });
    });
}

struct BatchNorm : torch::autograd::Function<BatchNorm> {
    static Tensor forward(
        AutogradContext *context, const Tensor &x_given, const Tensor &weight, const Tensor &bias, const Tensor &mean,
        const Tensor &variance, const std::optional<Tensor> &added_given, const Norm &norm) {
        const bool adds = added_given.has_value();
        const Tensor x = channels_last(x_given), added = adds ? channels_last(*added_given) : Tensor();
        const Parts parts(x, norm.batches);
        const Tensor out = pictures_like(x, x.size(3)), y = channels_last(out);
        const Tensor own = at::empty({2, norm.batches, x.size(3)}, x.options());
        AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "batch_norm", [&] {
            const scalar_t *const from = x.data_ptr<scalar_t>();
            scalar_t *const means = own.data_ptr<scalar_t>(), *const inverses = means + norm.batches * x.size(3);
            statistics<scalar_t>(
                parts, norm, from, mean.data_ptr<scalar_t>(), variance.data_ptr<scalar_t>(), means, inverses);
            normalise<scalar_t>(
                parts, norm, from, adds ? added.data_ptr<scalar_t>() : nullptr, weight.data_ptr<scalar_t>(),
                bias.data_ptr<scalar_t>(), means, inverses, y.data_ptr<scalar_t>());
        });
        context->saved_data["batches"] = norm.batches;
        context->saved_data["adds"] = adds;
        context->save_for_backward({x_given, weight, own, norm.is_cut ? out : Tensor()});
        return out;
    }

    static tensor_list backward(AutogradContext *context, tensor_list gradients) {
        TORCH_CHECK(!at::GradMode::is_enabled(), "this batch norm has no second derivative");
        const auto saved = context->get_saved_variables();
        const Tensor x = channels_last(saved[0]), &weight = saved[1], &own = saved[2];
        const bool is_cut = saved[3].defined(), adds = context->saved_data["adds"].toBool();
        const Tensor y = is_cut ? channels_last(saved[3]) : Tensor(), back = channels_last(gradients[0]);
        const Tensor uncut = is_cut ? at::empty_like(x) : back, of_x = at::empty_like(x);
        const Tensor of_weight = at::empty_like(weight), of_bias = at::empty_like(weight);
        const Parts parts(x, context->saved_data["batches"].toInt());
        AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "batch_norm_backward", [&] {
            const scalar_t *const means = own.data_ptr<scalar_t>();
            ::backward<scalar_t>(
                parts, x.data_ptr<scalar_t>(), is_cut ? y.data_ptr<scalar_t>() : nullptr, back.data_ptr<scalar_t>(),
                weight.data_ptr<scalar_t>(), means, means + own.stride(0), is_cut ? uncut.data_ptr<scalar_t>() : nullptr,
                of_x.data_ptr<scalar_t>(), of_weight.data_ptr<scalar_t>(), of_bias.data_ptr<scalar_t>());
        });
        const Tensor of_added = adds ? uncut.permute({0, 3, 1, 2}) : Tensor();
        return {of_x.permute({0, 3, 1, 2}), of_weight, of_bias, Tensor(), Tensor(), of_added, Tensor()};
    }
};

}  // namespace

// `mean` and `variance` are the stored statistics, which change; `added` may be null. Null with a message where that cannot
// be.
extern "C" Tensor *medfsad_batch_norm(
    const Tensor *x, const Tensor *weight, const Tensor *bias, const Tensor *mean, const Tensor *variance,
    const Tensor *added, long batches, double momentum, double epsilon, bool is_cut, char *message, unsigned long room) noexcept {
    const auto normed = [&] {
        const Norm norm{batches, momentum, epsilon, is_cut};
        TORCH_CHECK(
            batches > 0 && x->size(0) % batches == 0, "cannot split ", x->size(0), " pictures into ", batches, " batches");
        TORCH_CHECK(x->numel() > batches * x->size(1), "expected more than one value per channel when training");
        TORCH_CHECK(!added || added->sizes() == x->sizes(), "expected ", x->sizes(), " to be added, but got ", added->sizes());
        for (const Tensor *values : {weight, bias, mean, variance}) {
            TORCH_CHECK(
                values->is_contiguous() && values->numel() == x->size(1), "expected one value for each of ", x->size(1),
                " channels, but got ", values->sizes());
        }
        const std::optional<Tensor> other = added ? std::optional<Tensor>(*added) : std::nullopt;
        return BatchNorm::apply(*x, *weight, *bias, *mean, *variance, other, norm);
    };
    return medfsad::made(normed, message, room);
}
