/* SPDX-License-Identifier: MIT */
/* y = x weight^T + bias, with x: [n][in], weight: [out][in], y: [n][out]; shard by shard, as a convolution. */
#include "network_layer.h"

#include <stdlib.h>
#include <string.h>

struct linear_layer {
    nn_layer base;
    nn_backend *backend;
};

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t in = nn_shape_size(base->in), out = base->out.channels;
    const nn_parameter *weight = &base->parameters[0], *bias = &base->parameters[1];
    const bool has_bias = base->parameter_count > 1;
    nn_error error = NULL;
    for (size_t i = 0; has_bias && i < n; i++) memcpy(a->y + i * out, bias->value, out * sizeof *a->y);
    for (size_t first = 0; first < n && !error; first += NN_SHARD)
        error = nn_gemm(((struct linear_layer *)base)->backend, false, true, nn_shard_size(n, first), out, in,
                        a->x + first * in, weight->value, has_bias ? 1.0f : 0.0f, a->y + first * out);
    return error;
}

static nn_error shard_gradients(nn_layer *base, size_t n, const nn_arrays *a, float *const grad[2]) {
    nn_backend *backend = ((struct linear_layer *)base)->backend;
    const size_t in = nn_shape_size(base->in), out = base->out.channels;
    nn_error error = nn_gemm(backend, true, false, out, in, n, a->dy, a->x, 0.0f, grad[0]);
    if (base->parameter_count > 1) nn_sum_rows(n, out, a->dy, grad[1]);
    if (!error && a->dx) error = nn_gemm(backend, false, false, n, in, out, a->dy, base->parameters[0].value, 0.0f, a->dx);
    return error;
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) { return nn_sum_shards(base, n, a, shard_gradients); }

static void destroy(nn_layer *base) {
    nn_free_parameters(base);
    free(base);
}

nn_error nn_layer_linear(nn_backend *backend, nn_rng *rng, nn_shape in, size_t out, bool bias, nn_layer **layer) {
    static const nn_layer_kind kind = {"linear", forward, backward, NULL, destroy};
    const size_t fan_in = nn_shape_size(in);
    const nn_parameter weight = {
        .name = "weight", .rank = 2, .out = out, .height = in.height, .width = in.width, .in = in.channels};
    const nn_parameter one = {.name = "bias", .rank = 1, .out = out, .height = 1, .width = 1, .in = 1};
    struct linear_layer *linear = calloc(1, sizeof *linear);
    *layer = NULL;
    if (!linear) return NN_NO_MEMORY;
    linear->base.kind = &kind;
    linear->base.in = in;
    linear->base.out = (nn_shape){1, 1, out};
    linear->base.uses.reads_x = true;
    linear->backend = backend;
    *layer = &linear->base;
    nn_error error = nn_add_parameter(*layer, &weight, fan_in, rng);
    if (!error && bias) error = nn_add_parameter(*layer, &one, fan_in, rng);
    return error;
}
