/* SPDX-License-Identifier: MIT */
/* relu(x) = max(x, 0); sigmoid(x) = 1 / (1 + exp(-x)). Both gradients can be read off y, so y may overwrite x. */
#include "layer.h"

#include <math.h>
#include <stdlib.h>

/* A NaN passes: a diverging network must not look healthy. */
static nn_error relu_forward(nn_layer *base, size_t n, const float *x, float *y) {
    const size_t count = n * nn_shape_size(base->in);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i];
    return NULL;
}

static nn_error relu_backward(nn_layer *base, size_t n, const float *x, const float *y, const float *dy, float *dx) {
    (void)x;
    const size_t count = dx ? n * nn_shape_size(base->in) : 0;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        const float gradient = dy[i]; /* read in any case, or compilers cannot vectorize */
        dx[i] = y[i] > 0.0f ? gradient : 0.0f;
    }
    return NULL;
}

static nn_error sigmoid_forward(nn_layer *base, size_t n, const float *x, float *y) {
    const size_t count = n * nn_shape_size(base->in);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
    return NULL;
}

static nn_error sigmoid_backward(nn_layer *base, size_t n, const float *x, const float *y, const float *dy, float *dx) {
    (void)x;
    const size_t count = dx ? n * nn_shape_size(base->in) : 0;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) dx[i] = dy[i] * y[i] * (1.0f - y[i]);
    return NULL;
}

static void destroy(nn_layer *base) { free(base); }

nn_error nn_layer_activation(nn_shape in, nn_activation activation, nn_layer **layer) {
    static const nn_layer_kind relu = {"relu", relu_forward, relu_backward, NULL, destroy};
    static const nn_layer_kind sigmoid = {"sigmoid", sigmoid_forward, sigmoid_backward, NULL, destroy};
    *layer = calloc(1, sizeof **layer);
    if (!*layer) return NN_NO_MEMORY;
    (*layer)->kind = activation == NN_SIGMOID ? &sigmoid : &relu;
    (*layer)->in = (*layer)->out = in;
    (*layer)->y_may_be_x = (*layer)->dx_may_be_dy = true;
    return NULL;
}
