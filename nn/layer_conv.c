/* SPDX-License-Identifier: MIT */
/* Convolution, shard by shard. The backend computes; this keeps a prepared convolution for each size of a shard. What a
 * convolution library gives for a sample may depend on how many others it is given, and on no more. */
#include "network_layer.h"

#include <stdlib.h>

/* Sizes that occur: a full shard, the last of a batch, of an epoch, of an evaluation. */
enum { PLANS = 4 };

struct plan {
    size_t n;
    nn_conv *conv;
};

struct conv_layer {
    nn_layer base;
    nn_backend *backend;
    size_t kernel, stride;
    struct plan plans[PLANS];
    size_t next; /* the plan that a fifth size would replace */
};

static nn_error find_plan(struct conv_layer *layer, size_t n, nn_conv **conv) {
    for (size_t i = 0; i < PLANS; i++) {
        *conv = layer->plans[i].conv;
        if (*conv && layer->plans[i].n == n) return NULL;
    }
    const nn_layer *base = &layer->base;
    const nn_conv_shape shape = {.batch = n,
                                 .height = base->in.height,
                                 .width = base->in.width,
                                 .in = base->in.channels,
                                 .out = base->out.channels,
                                 .kernel = layer->kernel,
                                 .stride = layer->stride,
                                 .bias = base->parameter_count > 1};
    struct plan *plan = &layer->plans[layer->next];
    nn_conv_destroy(plan->conv);
    plan->n = n;
    nn_error error = nn_conv_create(layer->backend, &shape, &plan->conv);
    if (!error) layer->next = (layer->next + 1) % PLANS;
    *conv = plan->conv;
    return error;
}

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const nn_parameter *parameters = base->parameters;
    nn_error error = NULL;
    for (size_t first = 0; first < n && !error; first += NN_SHARD) {
        const nn_arrays part = nn_shard_arrays(base, first, a);
        nn_conv *conv;
        error = find_plan((struct conv_layer *)base, nn_shard_size(n, first), &conv);
        if (!error) error = nn_conv_forward(conv, part.x, parameters[0].value, parameters[1].value, part.y);
    }
    return error;
}

static nn_error shard_gradients(nn_layer *base, size_t n, const nn_arrays *a, float *const grad[2]) {
    nn_conv *conv;
    nn_error error = find_plan((struct conv_layer *)base, n, &conv);
    if (!error) error = nn_conv_backward_weights(conv, a->x, a->dy, grad[0], base->parameter_count > 1 ? grad[1] : NULL);
    if (!error && a->dx) error = nn_conv_backward_data(conv, a->dy, base->parameters[0].value, a->dx);
    return error;
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) { return nn_sum_shards(base, n, a, shard_gradients); }

static void destroy(nn_layer *base) {
    struct conv_layer *layer = (struct conv_layer *)base;
    for (size_t i = 0; i < PLANS; i++) nn_conv_destroy(layer->plans[i].conv);
    nn_free_parameters(base);
    free(layer);
}

nn_error nn_layer_conv(nn_backend *backend, nn_rng *rng, nn_shape in, const nn_conv_options *o, nn_layer **layer) {
    static const nn_layer_kind kind = {"conv", forward, backward, NULL, destroy};
    const size_t fan_in = o->kernel * o->kernel * in.channels;
    const nn_parameter weight = {
        .name = "weight", .rank = 4, .out = o->channels, .height = o->kernel, .width = o->kernel, .in = in.channels};
    const nn_parameter bias = {.name = "bias", .rank = 1, .out = o->channels, .height = 1, .width = 1, .in = 1};
    *layer = NULL;
    if ((o->kernel != 1 && o->kernel != 3) || (o->stride != 1 && o->stride != 2)) {
        return "a convolution has a kernel of 1 or 3 and a stride of 1 or 2";
    }
    struct conv_layer *conv = calloc(1, sizeof *conv);
    if (!conv) return NN_NO_MEMORY;
    conv->base.kind = &kind;
    conv->base.in = in;
    conv->base.out = (nn_shape){(in.height - 1) / o->stride + 1, (in.width - 1) / o->stride + 1, o->channels};
    conv->base.uses.reads_x = true;
    conv->backend = backend;
    conv->kernel = o->kernel;
    conv->stride = o->stride;
    *layer = &conv->base;
    nn_error error = nn_add_parameter(*layer, &weight, fan_in, rng);
    if (!error && o->bias) error = nn_add_parameter(*layer, &bias, fan_in, rng);
    return error;
}
