/* SPDX-License-Identifier: MIT */
/* y = x weight^T + bias, with x: [n][in], weight: [out][in], y: [n][out]. */
#include "layer.h"

#include <stdlib.h>
#include <string.h>

struct linear_layer {
    nn_layer base;
    nn_backend *backend;
};

static nn_error forward(nn_layer *base, size_t n, const float *x, float *y) {
    const size_t in = nn_shape_size(base->in), out = base->out.channels;
    const nn_parameter *weight = &base->parameters[0], *bias = &base->parameters[1];
    const bool has_bias = base->parameter_count > 1;
    for (size_t i = 0; has_bias && i < n; i++) memcpy(y + i * out, bias->value, out * sizeof *y);
    return nn_gemm(((struct linear_layer *)base)->backend, false, true, n, out, in, x, weight->value, has_bias ? 1.0f : 0.0f,
                   y);
}

static void sum_rows(size_t rows, size_t columns, const float *x, float *sums) {
    memset(sums, 0, columns * sizeof *sums);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) sums[j] += x[i * columns + j];
    }
}

static nn_error backward(nn_layer *base, size_t n, const float *x, const float *y, const float *dy, float *dx) {
    (void)y;
    nn_backend *backend = ((struct linear_layer *)base)->backend;
    const size_t in = nn_shape_size(base->in), out = base->out.channels;
    const nn_parameter *weight = &base->parameters[0], *bias = &base->parameters[1];
    nn_error error = nn_gemm(backend, true, false, out, in, n, dy, x, 0.0f, weight->grad);
    if (base->parameter_count > 1) sum_rows(n, out, dy, bias->grad);
    if (!error && dx) error = nn_gemm(backend, false, false, n, in, out, dy, weight->value, 0.0f, dx);
    return error;
}

static void destroy(nn_layer *base) {
    nn_free_parameters(base);
    free(base);
}

nn_error nn_layer_linear(nn_backend *backend, nn_rng *rng, nn_shape in, size_t out, bool bias, nn_layer **layer) {
    static const nn_layer_kind kind = {"linear", forward, backward, NULL, destroy};
    const size_t fan_in = nn_shape_size(in);
    struct linear_layer *linear = calloc(1, sizeof *linear);
    if (!linear) return NN_NO_MEMORY;
    linear->base.kind = &kind;
    linear->base.in = in;
    linear->base.out = (nn_shape){1, 1, out};
    linear->backend = backend;
    *layer = &linear->base;
    nn_error error = nn_add_parameter(*layer, "weight", out * fan_in, fan_in, rng);
    if (!error && bias) error = nn_add_parameter(*layer, "bias", out, fan_in, rng);
    return error;
}
