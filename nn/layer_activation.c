/* SPDX-License-Identifier: MIT */
/* Activations as layers: those of the library as a normalization with mean 0 and rstd 1, so that there is one implementation of
 * each; and tanh. Where y tells how steep an activation was, y may overwrite x. */
#include "network_layer.h"

#include <math.h>
#include <stdlib.h>

#include "choices.h"
#include "vectorize.h"

struct activation_layer {
    nn_layer base;
    batchnorm_activation activation;
};

static const double zero = 0, one = 1;

static nn_error check(batchnorm_status status) { return status ? batchnorm_status_string(status) : NULL; }

static batchnorm_shape shape_of(const nn_layer *base, size_t n) {
    return (batchnorm_shape){1, 1, n * nn_shape_size(base->in), BATCHNORM_F32};
}

static nn_error forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const batchnorm_shape shape = shape_of(base, n);
    const batchnorm_strides strides = batchnorm_planar(shape);
    const batchnorm_normalize_call call = {.size = sizeof call,
                                           .shape = shape,
                                           .x = {a->x, strides},
                                           .y = {a->y, strides},
                                           .mean = &zero,
                                           .rstd = &one,
                                           .activation = ((struct activation_layer *)base)->activation};
    return check(batchnorm_normalize(&call, NULL));
}

static nn_error backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const batchnorm_shape shape = shape_of(base, n);
    const batchnorm_strides strides = batchnorm_planar(shape);
    const batchnorm_backward_call call = {.size = sizeof call,
                                          .shape = shape,
                                          .x = {base->uses.reads_x ? a->x : NULL, strides},
                                          .y = {base->uses.reads_y ? a->y : NULL, strides},
                                          .dy = {a->dy, strides},
                                          .dz = {a->dx, strides},
                                          .save_mean = &zero,
                                          .save_rstd = &one,
                                          .activation = ((struct activation_layer *)base)->activation,
                                          .flags = BATCHNORM_FROZEN};
    return check(batchnorm_backward(&call, NULL));
}

NN_VECTORIZED static void tanh_of(size_t count, const float *x, float *y) {
    NN_SIMD
    for (size_t i = 0; i < count; i++) y[i] = tanhf(x[i]);
}

NN_VECTORIZED static void tanh_gradient(size_t count, const float *y, const float *dy, float *dx) {
    for (size_t i = 0; i < count; i++) dx[i] = dy[i] * (1.0f - y[i] * y[i]);
}

static nn_error tanh_forward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = n * nn_shape_size(base->in);
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < nn_blocks(count); b++) tanh_of(nn_block_size(count, b), a->x + b * NN_BLOCK, a->y + b * NN_BLOCK);
    return NULL;
}

static nn_error tanh_backward(nn_layer *base, size_t n, const nn_arrays *a) {
    const size_t count = a->dx ? n * nn_shape_size(base->in) : 0;
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < nn_blocks(count); b++) {
        const size_t at = b * NN_BLOCK;
        tanh_gradient(nn_block_size(count, b), a->y + at, a->dy + at, a->dx + at);
    }
    return NULL;
}

static void destroy(nn_layer *base) { free(base); }

nn_error nn_layer_activation(nn_shape in, nn_activation activation, nn_layer **layer) {
#define KIND(kind, word, parameter, by_y) {word, forward, backward, NULL, destroy},
    static const nn_layer_kind kinds[] = {BATCHNORM_ACTIVATION_LIST(KIND){"tanh", tanh_forward, tanh_backward, NULL, destroy}};
    struct activation_layer *made = calloc(1, sizeof *made);
    *layer = NULL;
    if (!made) return NN_NO_MEMORY;
    const batchnorm_activation_kind kind = (batchnorm_activation_kind)activation;
    const bool by_y = activation == NN_TANH || nn_is_told_by_y(kind);
    made->base.kind = &kinds[activation];
    made->base.in = made->base.out = in;
    made->base.uses = (nn_uses){.reads_x = !by_y,
                                .reads_y = by_y && activation != NN_IDENTITY,
                                .y_may_be_x = by_y,
                                .dx_may_be_dy = true,
                                .dx_may_be_x = !by_y};
    if (activation != NN_TANH) made->activation = nn_usual_activation(kind);
    *layer = &made->base;
    return NULL;
}
