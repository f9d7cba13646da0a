/* SPDX-License-Identifier: MIT */
/* Convolution 3x3, stride 1, padding 1. The backend computes; this keeps a prepared convolution for each batch size. */
#include "layer.h"

#include <stdlib.h>

/* Sizes that occur: a full batch, the last of an epoch, the last of an evaluation. */
enum { PLANS = 4 };

struct plan {
    size_t n;
    nn_conv *conv;
};

struct conv_layer {
    nn_layer base;
    nn_backend *backend;
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
                                 .bias = base->parameter_count > 1};
    struct plan *plan = &layer->plans[layer->next];
    nn_conv_destroy(plan->conv);
    plan->n = n;
    nn_error error = nn_conv_create(layer->backend, &shape, &plan->conv);
    if (!error) layer->next = (layer->next + 1) % PLANS;
    *conv = plan->conv;
    return error;
}

static nn_error forward(nn_layer *base, size_t n, const float *x, float *y) {
    const nn_parameter *parameters = base->parameters;
    nn_conv *conv;
    nn_error error = find_plan((struct conv_layer *)base, n, &conv);
    return error ? error : nn_conv_forward(conv, x, parameters[0].value, parameters[1].value, y);
}

static nn_error backward(nn_layer *base, size_t n, const float *x, const float *y, const float *dy, float *dx) {
    (void)y;
    const nn_parameter *parameters = base->parameters;
    nn_conv *conv;
    nn_error error = find_plan((struct conv_layer *)base, n, &conv);
    if (!error) error = nn_conv_backward_weights(conv, x, dy, parameters[0].grad, parameters[1].grad);
    if (!error && dx) error = nn_conv_backward_data(conv, dy, parameters[0].value, dx);
    return error;
}

static void destroy(nn_layer *base) {
    struct conv_layer *layer = (struct conv_layer *)base;
    for (size_t i = 0; i < PLANS; i++) nn_conv_destroy(layer->plans[i].conv);
    nn_free_parameters(base);
    free(layer);
}

nn_error nn_layer_conv(nn_backend *backend, nn_rng *rng, nn_shape in, size_t out, bool bias, nn_layer **layer) {
    static const nn_layer_kind kind = {"conv3x3", forward, backward, NULL, destroy};
    const size_t fan_in = 9 * in.channels;
    struct conv_layer *conv = calloc(1, sizeof *conv);
    if (!conv) return NN_NO_MEMORY;
    conv->base.kind = &kind;
    conv->base.in = in;
    conv->base.out = (nn_shape){in.height, in.width, out};
    conv->backend = backend;
    *layer = &conv->base;
    nn_error error = nn_add_parameter(*layer, "weight", out * fan_in, fan_in, rng);
    if (!error && bias) error = nn_add_parameter(*layer, "bias", out, fan_in, rng);
    return error;
}
